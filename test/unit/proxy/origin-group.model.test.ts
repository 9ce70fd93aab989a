/**
 * The pool's accounting under every interleaving: acquires, releases, aborts, failures, and peers that end, break or
 * talk, at any moment, also between the grant of a connection and the turn in which its borrower gets it.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OriginGroup } from '../../../src/proxy/origin-group.js';
import { OriginError, type Acquire, type OriginConnection } from '../../../src/proxy/origin.js';
import { FakeDialer, fakeOrigin, flush, type FakeWire, type PendingDial } from './origin-fakes.js';

/** `granted`: its dial has succeeded, and it has not heard of it. Failures are noted when they happen, not when heard of. */
type State = 'waiting' | 'dialling' | 'granted' | 'lent' | 'over';

interface Asker {
  readonly want: Acquire;
  readonly abort: AbortController;
  readonly deadline: number;
  state: State;
  connection: OriginConnection | undefined;
  failure: string | undefined;
}

const LIMIT_MS = 100;

class Bed {
  readonly dialer = new FakeDialer();
  readonly askers: Asker[] = [];
  readonly group: OriginGroup;
  readonly max: number;
  readonly keepAlive: number;
  now = 0;
  connected = 0;
  failed = 0;
  /** A granted wire was lost before it was delivered; its asker is back in the queue, behind its turn. */
  disturbed = false;
  sweptAt = 0;
  /** What should never be; gathered, because much of this runs where a throw would reach nobody. */
  readonly wrong: string[] = [];

  constructor(max: number, keepAlive: number) {
    this.max = max;
    this.keepAlive = keepAlive;
    this.group = new OriginGroup('origin', {
      dial: this.dialer.dial,
      now: () => this.now,
      sink: { connected: () => this.connected++, originFailed: () => this.failed++ },
    });
    this.dialer.onDial = (want) => this.#proceeds(this.by(want), 'dialling');
  }

  acquire(maxIdle: number, only: string | undefined): void {
    const abort = new AbortController();
    const allows = only === undefined ? undefined : (address: string) => address === only;
    const asker: Asker = {
      want: { maxIdle, client: undefined, signal: abort.signal, allows },
      abort,
      deadline: this.now + LIMIT_MS,
      state: 'waiting',
      connection: undefined,
      failure: undefined,
    };
    this.askers.push(asker);
    const outcome = this.group.acquire(
      fakeOrigin({ maxConnections: this.max, keepAlive: this.keepAlive, connectTimeout: LIMIT_MS }),
      asker.want,
    );
    if (!(outcome instanceof Promise)) {
      this.#lent(asker, outcome);
      return;
    }
    outcome.then(
      (connection) => this.#lent(asker, connection),
      (error: unknown) => {
        asker.state = 'over';
        asker.failure = (error as OriginError).failure;
      },
    );
  }

  #lent(asker: Asker, connection: OriginConnection): void {
    // Its owner is the borrower from this moment on: nothing can have happened to it that nobody heard of.
    const { wire, used } = connection;
    if (!wire.open || wire.ended) this.wrong.push('lent what is gone');
    if (used && ((wire as FakeWire).pending || (wire as FakeWire).talked))
      this.wrong.push('lent with bytes of somebody else');
    if (asker.abort.signal.aborted) this.wrong.push('lent to somebody who has left');
    if (asker.want.allows?.(wire.peer.address) === false) this.wrong.push('lent against the rules');
    if (used && asker.want.maxIdle === 0) this.wrong.push('lent a used one where a new one was wanted');
    if (this.of('lent').some((other) => other.connection!.wire === wire)) this.wrong.push('lent twice');
    this.#proceeds(asker, 'lent');
    asker.connection = connection;
    connection.wire.owner = { onData: nothing, onEnd: nothing, onBroken: nothing, onDrained: nothing };
    connection.wire.resume();
  }

  /** Nobody who came before is still in the queue. */
  #proceeds(asker: Asker, state: State): void {
    const first = asker.state === 'waiting';
    asker.state = state;
    if (!first || this.disturbed) return;
    const before = this.askers.slice(0, this.askers.indexOf(asker));
    const waiting = before.filter((each) => each.state === 'waiting' && each.deadline > this.sweptAt);
    // Some of them have theirs already and have not heard of it.
    const granted = this.group.stats().busy - this.of('granted').length - this.of('lent').length;
    if (waiting.length > granted) this.wrong.push('out of turn');
  }

  by(want: Acquire): Asker {
    return this.askers.find((each) => each.want === want)!;
  }

  of(state: State): Asker[] {
    return this.askers.filter((each) => each.state === state);
  }

  fail(dial: PendingDial): void {
    this.by(dial.want).state = 'over';
    dial.fail();
  }

  leave(asker: Asker): void {
    if (asker.state !== 'lent') asker.state = 'over';
    asker.abort.abort();
  }

  /** Connections that are open and nobody's. */
  get unlent(): FakeWire[] {
    const lent = new Set(this.of('lent').map((each) => each.connection!.wire));
    return this.dialer.wires.filter((wire) => wire.open && !lent.has(wire));
  }

  check(): void {
    expect(this.wrong).toEqual([]);
    const { busy, idle, connecting, waiting } = this.group.stats();
    const held = this.of('lent').filter((each) => !each.connection!.wire.open).length;
    expect(busy + idle + connecting).toBeLessThanOrEqual(this.max);
    expect(connecting).toBe(this.dialer.pending.length);
    // What is broken counts until it is given back.
    expect(busy + idle).toBeGreaterThanOrEqual(this.dialer.wires.filter((wire) => wire.open).length + held);
    if (waiting > 0) {
      expect(idle).toBe(0);
      expect(busy + connecting).toBe(this.max);
    }
  }

  /** What holds once no grant is on its way. */
  checkSettled(): void {
    const { busy, idle, connecting, waiting } = this.group.stats();
    expect(busy).toBe(this.of('lent').length);
    expect(waiting).toBe(this.of('waiting').length);
    expect(connecting).toBe(this.of('dialling').length);
    expect(idle).toBe(this.unlent.length);
    expect(this.unlent.every((wire) => !wire.paused)).toBe(true);
  }
}

const nothing = (): void => undefined;

type Step = (bed: Bed) => void;
const one = <T>(list: readonly T[], at: number, act: (entry: T) => void): void => {
  if (list.length > 0) act(list[at % list.length]!);
};
const at = fc.nat(50);
const ADDRESSES = ['192.0.2.80', '192.0.2.81'];

/** An event on a wire that is idle, or granted and not delivered yet. */
function disturb(bed: Bed, index: number, act: (wire: FakeWire) => void): void {
  one(bed.unlent, index, (wire) => {
    if (bed.unlent.length > bed.group.stats().idle) bed.disturbed = true;
    act(wire);
  });
}

const acquires: fc.Arbitrary<Step> = fc
  .tuple(fc.constantFrom(0, 20, Infinity, Infinity), fc.constantFrom(undefined, undefined, ...ADDRESSES))
  .map(
    ([maxIdle, only]) =>
      (bed) =>
        bed.acquire(maxIdle, only),
  );

const succeeds: fc.Arbitrary<Step> = fc.tuple(at, fc.constantFrom(...ADDRESSES)).map(([i, address]) => (bed) => {
  one(bed.dialer.pending, i, (dial) => {
    dial.succeed(dial.want.allows?.(address) === false ? ADDRESSES.find(dial.want.allows) : address);
  });
});

const releases: fc.Arbitrary<Step> = at.map((i) => (bed) => {
  one(bed.of('lent'), i, (asker) => {
    asker.state = 'over';
    asker.connection!.release();
  });
});

const others: fc.Arbitrary<Step>[] = [
  at.map((i) => (bed) => one(bed.dialer.pending, i, (dial) => bed.fail(dial))),
  fc.tuple(at, fc.boolean()).map(([i, reset]) => (bed) => {
    one(bed.of('lent'), i, (asker) => {
      asker.state = 'over';
      asker.connection!.discard(reset);
      expect(asker.connection!.wire.open).toBe(false);
    });
  }),
  // A second word about a connection that may be another's by now.
  at.map((i) => (bed) => {
    one(
      bed.of('over').filter((each) => each.connection !== undefined),
      i,
      (asker) => {
        asker.connection!.discard();
        asker.connection!.release();
      },
    );
  }),
  at.map((i) => (bed) => one(bed.askers, i, (asker) => bed.leave(asker))),
  at.map((i) => (bed) => disturb(bed, i, (wire) => wire.ends())),
  at.map((i) => (bed) => disturb(bed, i, (wire) => wire.breaks())),
  at.map((i) => (bed) => disturb(bed, i, (wire) => wire.says('HTTP/1.1 408 '))),
  fc.tuple(at, fc.constantFrom('ends', 'breaks', 'pause', 'unread', 'unsent')).map(([i, how]) => (bed) => {
    one(bed.of('lent'), i, ({ connection }) => {
      const wire = connection!.wire as FakeWire;
      if (how === 'ends') wire.ends();
      else if (how === 'breaks') wire.breaks();
      else if (how === 'pause') wire.pause();
      else if (how === 'unread') wire.pending = true;
      else wire.unsent = 1;
    });
  }),
  fc.nat(60).map((ms) => (bed) => {
    bed.now += ms;
    bed.sweptAt = bed.now;
    bed.group.sweep(bed.now);
  }),
  fc.constant((bed) => bed.group.closeIdle()),
];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: acquires },
  { weight: 3, arbitrary: succeeds },
  { weight: 3, arbitrary: releases },
  ...others.map((arbitrary) => ({ weight: 1, arbitrary })),
);

test('never more than the limit, nobody forgotten, nobody out of turn, nothing left at the end', async () => {
  let reused = 0;
  let waited = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.constantFrom(0, 30, 1e6, 1e6),
      fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 120, size: 'max' }),
      fc.boolean(),
      async (max, keepAlive, program, closing) => {
        const bed = new Bed(max, keepAlive);
        for (const [act, settle] of program) {
          act(bed);
          bed.check();
          waited += bed.group.stats().waiting;
          if (!settle) continue;
          await flush();
          bed.check();
          bed.checkSettled();
        }
        reused += bed.group.stats().reused;
        if (closing) bed.group.close();
        else bed.now += 2 * LIMIT_MS;
        // A grant that failed may put its asker back, which then dials: until nothing moves any more.
        for (let quiet = false; !quiet;) {
          bed.group.sweep(bed.now);
          await flush();
          quiet = bed.of('lent').length === 0 && bed.dialer.pending.length === 0;
          for (const asker of bed.of('lent')) {
            asker.connection!.release();
            asker.state = 'over';
          }
          for (const dial of [...bed.dialer.pending]) bed.fail(dial);
        }
        bed.group.closeIdle();
        expect(bed.wrong).toEqual([]);
        expect(bed.group.stats()).toMatchObject({ busy: 0, idle: 0, connecting: 0, waiting: 0 });
        expect(bed.askers.filter((each) => each.state !== 'over')).toEqual([]);
        expect(bed.dialer.wires.filter((wire) => wire.open)).toEqual([]);
        expect(bed.connected).toBe(bed.askers.filter((each) => each.connection !== undefined).length);
        const told = bed.askers.filter((each) => each.failure !== undefined && each.failure !== 'aborted');
        expect(bed.failed).toBe(told.length);
      },
    ),
    { numRuns: 400 },
  );
  // The programs did what they are for.
  expect(reused).toBeGreaterThan(100);
  expect(waited).toBeGreaterThan(100);
});
