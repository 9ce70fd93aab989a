/**
 * Logs: JSON or pretty lines on stderr, written synchronously and in this process, some milliseconds after they are
 * made: thousands of flows can end in a second, and a write(2) for each of their lines would be felt. Only SIGKILL can
 * lose lines, those of the last milliseconds. Used by every part of the server; stdout belongs to the command line.
 */
import pino from 'pino';
import type { DestinationStream, Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { formatRefusals } from '../control/flow-info.js';
import type { Refusal } from '../control/flow-info.js';
import type { AccessRecord as RequestRecord } from '../proxy/access.js';
import type { LogFormat, LogLevel } from './config-settings.js';
import { requestFields } from './http-log-line.js';

export type { Logger } from 'pino';

/** Bytes that one write(2) puts into a pipe without another writer's in between (pipe(7)). */
const PIPE_BUF = 4096;

export interface LoggingOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Whether the destination is a terminal; decides what `auto` means, and colours. */
  readonly terminal: boolean;
  /** The number of the thread, if there are several: a field of every line. */
  readonly worker?: number;
  /** Where lines go. **Default:** descriptor 2, synchronously. */
  readonly destination?: DestinationStream;
}

export function createLogger({ level, format, terminal, worker, destination }: LoggingOptions): Logger {
  const piece = worker === undefined ? Infinity : PIPE_BUF;
  const out = destination ?? new LineBuffer(pino.destination({ dest: 2, sync: true }), piece);
  const pretty = format === 'pretty' || (format === 'auto' && terminal);
  const options = {
    level,
    base: { pid: process.pid, ...(worker !== undefined && { worker }) },
    timestamp: isoTime,
  };
  if (!pretty) {
    const logger = pino({ ...options, formatters: { level: (label) => ({ level: label }) } }, out);
    const base = `,"pid":${process.pid}${worker === undefined ? '' : `,"worker":${worker}`}`;
    PLAIN.set(logger, { out, base });
    return logger;
  }
  const print = prettyFactory({
    colorize: terminal,
    singleLine: true,
    ignore: 'pid',
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
  });
  return pino(options, { write: (line: string) => out.write(withoutControls(print(line))) });
}

/** Loggers that write JSON as it is, and what they put into each line: for lines that are built without pino. */
const PLAIN = new WeakMap<Logger, { readonly out: DestinationStream; readonly base: string }>();

// JSON leaves DEL and the C1 characters as they are, and terminals obey them: U+009B begins a sequence as ESC [ does.
// Names come from clients.
function withoutControls(line: string): string {
  return line.replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

let lastTime = { ms: 0, text: '' };

/** The time as ISO 8601; lines of one millisecond share the text, which is dear to make. */
function isoTime(): string {
  const ms = Date.now();
  if (ms !== lastTime.ms) lastTime = { ms, text: `,"time":"${new Date(ms).toISOString()}"` };
  return lastTime.text;
}

/** Milliseconds that a line may wait for others. */
const GATHER_MS = 10;

/** Those with lines that wait: flushed by one listener, since Node takes more than ten of an event for a leak. */
const waiting = new Set<LineBuffer>();
process.on('exit', () => waiting.forEach((buffer) => buffer.flush()));

/**
 * Gathers lines for a moment and writes them as one; leaves nothing behind when the process exits. `piece` bounds the
 * bytes of one write, as far as whole lines allow, so that several threads can share a pipe.
 */
export class LineBuffer implements DestinationStream {
  readonly #out: DestinationStream;
  readonly #piece: number;
  #lines = '';
  #bytes = 0;

  constructor(out: DestinationStream, piece = Infinity) {
    this.#out = out;
    this.#piece = piece;
  }

  write(line: string): void {
    if (this.#piece !== Infinity) {
      const bytes = Buffer.byteLength(line);
      if (this.#bytes + bytes > this.#piece) this.flush();
      this.#bytes += bytes;
    }
    if (this.#lines === '') {
      waiting.add(this);
      setTimeout(() => this.flush(), GATHER_MS);
    }
    this.#lines += line;
  }

  flush(): void {
    const lines = this.#lines;
    this.#lines = '';
    this.#bytes = 0;
    waiting.delete(this);
    if (lines !== '') this.#out.write(lines);
  }
}

/** The end of one flow, or of a connection that never became one. */
export interface AccessRecord {
  /** `HOST:PORT` of the client. */
  readonly client: string;
  readonly user?: string | undefined;
  /** What the client asked for, `NAME:PORT`; undefined if it never asked. */
  readonly target?: string | undefined;
  /** `HOST:PORT` connected to; undefined if none was. */
  readonly upstream?: string | undefined;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly durationMs: number;
  /** Undefined if the connection was never relayed. */
  readonly backend?: string | undefined;
  readonly refusals?: readonly Refusal[] | undefined;
  /** Why it ended. */
  readonly reason: string;
}

/** The fields of an access line; the names are part of the interface to log tools. Unknown ones are left out. */
export interface AccessFields {
  readonly client: string;
  readonly user: string | undefined;
  readonly target: string | undefined;
  readonly upstream: string | undefined;
  readonly bytes_up: number;
  readonly bytes_down: number;
  readonly duration_ms: number;
  readonly backend: string | undefined;
  /** Why no better backend carried it. */
  readonly refused: string | undefined;
  readonly reason: string;
}

export function accessLine(record: AccessRecord): AccessFields {
  return {
    client: record.client,
    user: record.user,
    target: record.target,
    upstream: record.upstream,
    bytes_up: record.bytesUp,
    bytes_down: record.bytesDown,
    duration_ms: Math.round(record.durationMs),
    backend: record.backend,
    refused: formatRefusals(record.refusals ?? []),
    reason: record.reason,
  };
}

/** Writes the access line, at level info. Costs nothing when that level is off. */
export function logAccess(logger: Logger, record: AccessRecord): void {
  if (logger.isLevelEnabled('info')) logger.info(accessLine(record), 'flow closed');
}

/** Writes the access line of a request, at level info. Costs nothing when that level is off. */
export function logRequest(logger: Logger, record: RequestRecord): void {
  if (!logger.isLevelEnabled('info')) return;
  const fields = requestFields(record);
  const plain = PLAIN.get(logger);
  if (plain !== undefined) plain.out.write(`{"level":"info"${isoTime()}${plain.base}${fields},"msg":"request"}\n`);
  else logger.info(JSON.parse(`{${fields.slice(1)}}`), 'request');
}
