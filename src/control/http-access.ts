/**
 * Stage teardown: hears of every request that is over, of fills and of connections to origins; counts them, and writes
 * the access line. Called tens of thousands of times a second by the proxy, in its thread; must never throw or wait.
 */
import type { AccessRecord, AccessSink } from '../proxy/access.js';
import { logRequest, type Logger } from '../server/logging.js';
import { HttpCounts } from './http-counts.js';

export class HttpAccess implements AccessSink {
  readonly #logger: Logger;
  readonly #counts: HttpCounts;
  /** Whether requests are logged; they are counted in any case. A reload changes it. */
  logs: boolean;

  constructor({ logger, counts, logs = true }: { logger: Logger; counts: HttpCounts; logs?: boolean }) {
    this.#logger = logger;
    this.#counts = counts;
    this.logs = logs;
  }

  request(record: AccessRecord): void {
    this.#counts.request(record);
    if (this.logs) logRequest(this.#logger, record);
  }

  fillBegan(): void {
    this.#counts.fillBegan();
  }

  fillEnded(stored: boolean, reason: string, bytes: number): void {
    this.#counts.fillEnded(stored, reason, bytes);
  }

  connected(origin: string, reused: boolean): void {
    this.#counts.connected(origin, reused);
  }

  originFailed(origin: string, failure: string): void {
    this.#counts.originFailed(origin, failure);
  }
}
