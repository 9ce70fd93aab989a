/**
 * One contestant, from its start to its end: up, ready (a round trip through it works), the machine quiet, load as often
 * as the caller wants, down. Only one is up at a time: programs that a proxy puts on an interface would cost the others.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prime, Session } from './figures/figure.js';
import { ANNOUNCEMENT, parseResult, resultOf } from './load-result.js';
import type { Contestant, Lab, LoadResult, Output, Running, Workload } from './model.js';
import { pin, UNBOUND } from './pinning.js';
import type { Pinning } from './pinning.js';
import { ofProxyMachine, readTicks, waitForQuiet } from './processor-time.js';
import type { Ticks } from './processor-time.js';
import { abortable } from './stop.js';
import {
  PROXY_PORT,
  readyArguments,
  routeArguments,
  TARGET_PORT,
  watchArguments,
  workloadArguments,
} from './workload.js';

export interface SessionSetting {
  readonly lab: Lab;
  /** The load generator, and its server, which runs. */
  readonly load: string;
  readonly server: Running;
  readonly processors: number;
  /** For contestants' logs. */
  readonly directory: string;
  readonly seconds: number;
  readonly warmup: number;
  /** Seconds to wait at most until the machine is quiet. */
  readonly quietWait: number;
  readonly signal: AbortSignal;
  /** How long a contestant may take until it is ready. **Default:** 15 s. */
  readonly readyMs?: number;
}

// Far more than any needs: in an emulated machine beside other work splice-socks needed more than 15 s.
const READY_MS = 60_000;
const READY_AGAIN_MS = 50;
/** For connecting, warm-up's errors and the end of an upload, beyond the intervals. */
const GRACE_MS = 30_000;
/** To fill a cache, with a gigabyte or with thousands of small objects. */
const PRIME_SECONDS = 60;

/** @param limit processors that the contestant may use, if not all of them */
export async function openSession(
  contestant: Contestant,
  setting: SessionSetting,
  limit: number = setting.processors,
): Promise<Session> {
  const { lab, directory, processors, signal, quietWait } = setting;
  const file = contestant.name.replace(/[^\w.-]+/g, '_');
  const scratch = `${lab.proxy.scratch}/${file}`;
  const logs = join(directory, 'logs');
  await Promise.all([mkdir(logs, { recursive: true }), lab.proxy.run(['mkdir', '-p', scratch])]);
  const start = await contestant.prepare({
    host: lab.proxy,
    addresses: lab.addresses,
    proxyPort: PROXY_PORT,
    targetPort: TARGET_PORT,
    scratch,
    processors: Math.min(limit, processors),
  });
  const pinning = limit < processors ? await pin(lab, setting.server, limit) : UNBOUND;
  let running: Running | undefined;
  try {
    if (start !== undefined) {
      running = await lab.proxy.start([...pinning.contestant, ...start.command], {
        ...(start.env === undefined ? {} : { env: start.env }),
        log: join(logs, `${file}.log`),
      });
    }
  } catch (error) {
    await pinning.release();
    throw error;
  }
  const session = new ContestantSession(contestant, running, setting, pinning);
  try {
    await session.ready();
    await waitForQuiet(lab, quietWait, signal);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

class ContestantSession implements Session {
  readonly contestant: Contestant;
  readonly running: Running | undefined;
  readonly route: readonly string[];
  readonly #setting: SessionSetting;
  readonly #pinning: Pinning;
  /** Responses up to this number are in the cache. */
  #known = 0;
  #closed = false;

  constructor(contestant: Contestant, running: Running | undefined, setting: SessionSetting, pinning: Pinning) {
    this.contestant = contestant;
    this.running = running;
    this.route = routeArguments(contestant.via, setting.lab.addresses);
    this.#setting = setting;
    this.#pinning = pinning;
  }

  async ready(): Promise<void> {
    const { readyMs = READY_MS, signal } = this.#setting;
    let last = '';
    for (const end = Date.now() + readyMs; Date.now() < end; await abortable(sleep(READY_AGAIN_MS), signal)) {
      if (this.running?.ended === true) throw new Error(`it ended at once: ${this.#tail()}`);
      const { out, err } = await this.generate(readyArguments(this.contestant.via), { timeoutMs: 5000 });
      const result = parseResult(out);
      if (result?.clean === true) return;
      last = result?.firstError ?? err.trim();
    }
    const what = [this.#tail(), last].filter((text) => text !== '').join('; ');
    throw new Error(`not ready after ${readyMs / 1000} s: ${what}`);
  }

  async prime({ count, ...workload }: Prime): Promise<void> {
    const limits = ['--count', String(count), '--timeout', String(PRIME_SECONDS)];
    const options = { timeoutMs: PRIME_SECONDS * 1000 + GRACE_MS };
    const result = resultOf(await this.generate([...workloadArguments(workload), ...limits], options));
    if (!result.clean) throw new Error(`its cache cannot be filled: ${result.firstError}`);
    this.#known = Math.max(this.#known, result.lastSerial ?? 0);
  }

  async run(workload: Workload, interval?: { seconds: number; warmup: number }): Promise<LoadResult> {
    const { lab, server } = this.#setting;
    const { seconds, warmup } = interval ?? this.#setting;
    const args = [
      ...workloadArguments(workload),
      ...['--seconds', String(seconds), '--warmup', String(warmup)],
      ...watchArguments(lab, server, this.running),
      ...(this.#known > 0 ? ['--known', String(this.#known)] : []),
    ];
    const timeoutMs = (seconds + warmup) * 1000 + GRACE_MS;
    if (lab.oneMachine) return resultOf(await this.generate(args, { timeoutMs }));
    // The load generator says when the measured interval begins; then, and at its end, the proxy's own machine is read.
    let before: Promise<Ticks> | undefined;
    const onError = (text: string): void => {
      if (before !== undefined || !text.includes(ANNOUNCEMENT)) return;
      before = readTicks(lab.proxy);
      // Its failure is the trial's, below; until then nobody waits for it.
      before.catch(() => undefined);
    };
    const output = await this.generate([...args, '--announce'], { timeoutMs, onError });
    const result = resultOf(output);
    if (before === undefined) throw new Error('the load generator did not say when it began to measure');
    return { ...result, cpu: ofProxyMachine(result.cpu, await before, await readTicks(lab.proxy)) };
  }

  generate(
    args: readonly string[],
    options: { timeoutMs?: number; onError?: (text: string) => void } = {},
  ): Promise<Output> {
    const { lab, load, signal } = this.#setting;
    return abortable(lab.client.run([...this.#pinning.load, load, 'run', ...this.route, ...args], options), signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.running?.stop();
    await this.#pinning.release();
    await this.contestant.tidy?.(this.#setting.lab.proxy);
  }

  #tail(): string {
    return this.running === undefined ? 'no route to the server' : lastWords(this.running);
  }
}

/** The end of what a process printed, on one line: contestants log, and only the last of it says why they ended. */
export function lastWords(running: Running): string {
  const lines = running.tail().trim().split('\n');
  return lines.slice(-3).join(' | ').slice(-300);
}
