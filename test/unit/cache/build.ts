/** Heads, stored responses and whole exchanges for the tests of the cache, in as few words as a table row affords. */
import { expect } from 'vitest';
import { NO_REQUEST_DIRECTIVES } from '../../../src/cache/cache-control.js';
import { decideRequest, decideResponse, finishFill } from '../../../src/cache/decide.js';
import type { Forward, RequestDecision, ResponseDecision } from '../../../src/cache/decide.js';
import { type CachePolicy, DEFAULT_POLICY } from '../../../src/cache/policy.js';
import { wholeExtent } from '../../../src/cache/spans.js';
import { type Arrival } from '../../../src/cache/storable.js';
import { type StoredRecord, type StoredResponse, restoreStored } from '../../../src/cache/stored.js';
import { selectionOf, varyNames } from '../../../src/cache/vary.js';
import { formatHttpDate } from '../../../src/http/dates.js';
import { Fields, HTTP_1_1, type RequestHead, type ResponseHead } from '../../../src/http/head.js';

/** A whole second, as Date is. */
export const T0 = Date.UTC(2026, 0, 15, 12, 0, 0);
export const SECOND = 1000;
export const HOUR = 3_600_000;
export const URI = 'http://example.org/a';

/** `date(-10)`: ten seconds before T0, as HTTP writes it. */
export function date(seconds = 0): string {
  return formatHttpDate(T0 + seconds * SECOND);
}

export type Lines = Readonly<Record<string, string | readonly string[]>>;

export function fields(lines: Lines): Fields {
  return Fields.from(
    Object.entries(lines).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).map((each) => [name, each] as const),
    ),
  );
}

export function get(lines: Lines = {}, method = 'GET'): RequestHead {
  return { method, target: '/a', version: HTTP_1_1, fields: fields({ Host: 'example.org', ...lines }) };
}

export function response(lines: Lines = {}, status = 200): ResponseHead {
  return { status, reason: '', version: HTTP_1_1, fields: fields(lines) };
}

export function policy(changes: Partial<CachePolicy> = {}): CachePolicy {
  return { ...DEFAULT_POLICY, ...changes };
}

export interface Keep {
  readonly id?: string;
  readonly status?: number;
  readonly request?: Lines;
  readonly record?: Partial<StoredRecord>;
  readonly policy?: CachePolicy;
}

/** A response that arrived at T0, with a Date of T0 and ten bytes unless said otherwise. */
export function stored(lines: Lines, keep: Keep = {}): StoredResponse {
  const kept = fields({ Date: date(), ...lines });
  const names = varyNames(kept);
  const record: StoredRecord = {
    status: keep.status ?? 200,
    reason: 'OK',
    fields: kept.raw,
    selections: [selectionOf(names === '*' ? [] : names, fields(keep.request ?? {}))],
    requestTime: T0,
    responseTime: T0,
    extent: wholeExtent(10),
    ...keep.record,
  };
  return restoreStored(keep.id ?? 'one', record, keep.policy ?? DEFAULT_POLICY);
}

export function arrival(answer: ResponseHead, request: RequestHead = get(), asked = NO_REQUEST_DIRECTIVES): Arrival {
  return { request, uri: URI, directives: asked, response: answer, times: { requestTime: T0, responseTime: T0 } };
}

const boundary = (): string => 'boundary';

export function ask(
  request: RequestHead,
  cached: readonly StoredResponse[],
  now = T0 + SECOND,
  how: CachePolicy = DEFAULT_POLICY,
): RequestDecision {
  return decideRequest({ request, uri: URI, key: URI, stored: cached, now, policy: how, boundary });
}

/** The forward that `ask` must give. */
export function forwarded(decision: RequestDecision): Forward {
  expect(decision.kind).toBe('forward');
  if (decision.kind !== 'forward') throw new TypeError(decision.kind);
  return decision.forward;
}

export function answered(
  decision: RequestDecision | ResponseDecision,
): Extract<RequestDecision, { kind: 'answer' }>['answer'] {
  expect(decision.kind).toBe('answer');
  if (decision.kind !== 'answer') throw new TypeError(decision.kind);
  return decision.answer;
}

export function reply(
  forward: Forward,
  answer: ResponseHead,
  cached: readonly StoredResponse[],
  at = T0 + SECOND,
  how: CachePolicy = DEFAULT_POLICY,
): ResponseDecision {
  const times = { requestTime: at, responseTime: at };
  return decideResponse({
    forward,
    uri: URI,
    key: URI,
    response: answer,
    times,
    stored: cached,
    policy: how,
    boundary,
  });
}

/**
 * A cache of one key in memory, and an origin that is a function: for tests about what a client gets in the end. Time
 * stands still unless the test moves `now`.
 */
export class Bench {
  now = T0;
  /** Every request that reached the origin. */
  readonly seen: Fields[] = [];
  #kept: { id: string; record: StoredRecord }[] = [];
  #ids = 0;
  readonly #policy: CachePolicy;
  readonly #origin: (request: RequestHead) => { head: ResponseHead; bytes?: number; whole?: boolean };

  constructor(
    origin: (request: RequestHead) => { head: ResponseHead; bytes?: number; whole?: boolean },
    how: CachePolicy = DEFAULT_POLICY,
  ) {
    this.#origin = origin;
    this.#policy = how;
  }

  get stored(): StoredResponse[] {
    return this.#kept.map(({ id, record }) => restoreStored(id, record, this.#policy));
  }

  /** The head that a client gets. */
  send(request: RequestHead): ResponseHead {
    const decision = ask(request, this.stored, this.now, this.#policy);
    if (decision.kind === 'error') return response({ 'Cache-Status': decision.cacheStatus }, decision.status);
    if (decision.kind === 'forward') return this.#fetch(decision.forward, request, true);
    if (decision.background !== undefined) this.#fetch(decision.background, decision.background.request, true);
    return decision.answer.head;
  }

  #fetch(forward: Forward, request: RequestHead, mayRetry: boolean): ResponseHead {
    this.seen.push(forward.fields);
    const { head, bytes = 10, whole = true } = this.#origin({ ...request, fields: forward.fields });
    const decision = reply(forward, head, this.stored, this.now, this.#policy);
    const { changes } = decision;
    for (const { id, record } of changes.update) this.#put(id, record);
    this.#kept = this.#kept.filter(({ id }) => !changes.drop.includes(id));
    if (changes.invalidate.includes(URI)) this.#kept = [];
    if (decision.kind === 'retry') {
      if (!mayRetry) throw new Error('asked a third time');
      return this.#fetch(decision.forward, request, false);
    }
    if (decision.kind === 'answer') return decision.answer.head;
    const { fill } = decision;
    const record = fill === undefined ? undefined : finishFill(fill, bytes, whole, this.#policy);
    if (fill !== undefined && record !== undefined) {
      if (fill.kind === 'new') {
        this.#kept = this.#kept.filter(({ id }) => !fill.replaces.includes(id));
        this.#kept.push({ id: String(++this.#ids), record });
      } else {
        this.#put(fill.base.id, record);
      }
    }
    return decision.head;
  }

  #put(id: string, record: StoredRecord): void {
    const found = this.#kept.find((each) => each.id === id);
    if (found !== undefined) found.record = record;
  }
}
