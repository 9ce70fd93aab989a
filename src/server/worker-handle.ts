/** One worker thread as the main thread sees it: started, asked, stopped, or found dead. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { noNumbers } from '../control/metric-counts.js';
import { assertNever, SpliceError } from '../errors.js';
import { packageRoot } from '../native.js';
import type { HostPort } from './config.js';
import type { BackendChoiceInfo } from './server-interface.js';
import {
  unpackError,
  type NumberedOrder,
  type Order,
  type WorkerMessage,
  type WorkerReport,
  type WorkerStart,
} from './worker-protocol.js';

/** Node loads no TypeScript into a worker, so the compiled file serves a test runner too. */
const ENTRY = join(packageRoot, 'dist/server/worker.js');
/** Milliseconds that a worker gets to end by itself once it was told to stop. */
const STOP_MS = 5000;

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerHandle {
  readonly worker: number;
  /** Resolves when the thread has ended, with the reason if it was not told to. Never rejects. */
  readonly gone: Promise<Error | undefined>;
  listening: readonly HostPort[] = [];
  backend: BackendChoiceInfo = { name: '', reason: '' };
  /** What came with the latest answer. */
  latest: WorkerReport = { numbers: noNumbers(), handshakes: 0, flows: [], packet: undefined };
  readonly #thread: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;
  #stopping = false;
  #cause: unknown;
  #dead: Error | undefined;

  private constructor(start: WorkerStart) {
    this.worker = start.worker;
    this.#thread = new Worker(ENTRY, { workerData: start });
    this.#thread.on('error', (error) => (this.#cause = error));
    this.gone = new Promise((resolve) => this.#thread.on('exit', (code) => resolve(this.#ended(code))));
  }

  /** Resolves when the worker accepts connections. Rejects with its mistake, and the thread is gone then. */
  static async start(start: WorkerStart): Promise<WorkerHandle> {
    const handle = new WorkerHandle(start);
    const failure = await new Promise<Error | undefined>((resolve) => {
      handle.#thread.on('message', (message: WorkerMessage) => {
        if (message.kind === 'started') resolve(undefined);
        if (message.kind === 'not-started') resolve(unpackError(message.error));
        handle.#hear(message);
      });
      void handle.gone.then(resolve);
    });
    if (failure === undefined) return handle;
    await handle.#end();
    throw failure;
  }

  /** Resolves when the worker has done it, with its answer if it has one; rejects with what went wrong, or when the worker is dead. */
  ask(order: Order): Promise<unknown> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#thread.postMessage({ ...order, id } satisfies NumberedOrder);
    });
  }

  /** A fresh report, or the latest one if the worker is too busy to answer within `ms`, or dead. */
  async report(ms: number): Promise<WorkerReport> {
    await within(ms, this.ask({ kind: 'report' })).catch(() => undefined);
    return this.latest;
  }

  /** Resolves when the thread has ended, at the latest after some seconds; says whether it ended by itself. */
  async stop(keep: boolean): Promise<boolean> {
    this.#stopping = true;
    // One that is dead, or dies of it, has nothing more to stop.
    void this.ask({ kind: 'stop', keep }).catch(() => undefined);
    const ended = await within(
      STOP_MS,
      this.gone.then(() => true),
    );
    if (ended === undefined) await this.#end();
    return ended === true;
  }

  async #end(): Promise<void> {
    this.#stopping = true;
    await this.#thread.terminate();
  }

  #hear(message: WorkerMessage): void {
    switch (message.kind) {
      case 'started':
        this.listening = message.listening;
        this.backend = message.backend;
        return;
      case 'not-started':
        return;
      case 'done':
        this.latest = message.report;
        this.#take(message.id)?.resolve(message.answer);
        return;
      case 'failed':
        this.#take(message.id)?.reject(unpackError(message.error));
        return;
      default:
        assertNever(message);
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #ended(code: number): Error | undefined {
    const why = this.#cause instanceof Error ? this.#cause.message : `exit code ${code}`;
    this.#dead = new SpliceError('ERR_SPLICE_SYSTEM', `worker ${this.worker} has died: ${why}`, { cause: this.#cause });
    for (const { reject } of this.#waiting.values()) reject(this.#dead);
    this.#waiting.clear();
    return this.#stopping ? undefined : this.#dead;
  }
}

/** The promise's value, or undefined after so many milliseconds. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
