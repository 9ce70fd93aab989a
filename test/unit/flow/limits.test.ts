/** Limits over the addon's quota: two of them in one pool are two threads of one server. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Limits } from '../../../src/flow/limits.js';
import { native, type Quota } from '../../../src/native.js';

const NONE = { connections: Infinity, perClient: Infinity, perUser: Infinity };
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

let quota: Quota;
let other: Quota;

beforeEach(() => {
  quota = new (native().Quota)(undefined, () => undefined);
  other = new (native().Quota)(quota.pool(), () => undefined);
});
afterEach(() => {
  quota.close();
  other.close();
});

describe('counting', () => {
  test('clients count together in all threads, and each for itself', () => {
    const a = new Limits({ ...NONE, perClient: 2 }, quota);
    const b = new Limits({ ...NONE, perClient: 2 }, other);
    expect([a.enter('x'), b.enter('x'), a.enter('x'), b.enter('x')]).toEqual([
      'counted',
      'counted',
      'refused',
      'refused',
    ]);
    expect(b.enter('y')).toBe('counted');
    expect([a.total, b.total]).toEqual([1, 2]);
    b.leave('x', 'counted');
    expect([a.enter('x'), b.enter('x')]).toEqual(['counted', 'refused']);
  });

  test('a seat that was given back before its connection left is not given back twice', () => {
    let left = 0;
    const counting = { limitSeats: () => undefined, leaveSeat: () => left++ } as unknown as Quota;
    const a = new Limits(NONE, counting);
    a.enter('x');
    a.enter('y');
    a.vacate();
    expect([left, a.total]).toEqual([1, 2]);
    a.leave('x', 'uncounted', true);
    expect([left, a.total]).toEqual([1, 1]);
    a.leave('y', 'uncounted');
    expect([left, a.total]).toEqual([2, 0]);
  });

  test('users count together too, and are no clients', () => {
    const a = new Limits({ ...NONE, perClient: 1, perUser: 1 }, quota);
    const b = new Limits({ ...NONE, perClient: 1, perUser: 1 }, other);
    expect(a.enter('10.0.0.1')).toBe('counted');
    expect([b.enterUser('10.0.0.1'), a.enterUser('10.0.0.1')]).toEqual([true, false]);
    b.leaveUser('10.0.0.1');
    expect(a.enterUser('10.0.0.1')).toBe(true);
  });

  test('a limit that is lowered cuts nobody off and lets nobody in', () => {
    const limits = new Limits({ ...NONE, perClient: 3 }, quota);
    expect([limits.enter('x'), limits.enter('x')]).toEqual(['counted', 'counted']);
    limits.settings = { ...NONE, perClient: 2 };
    expect(limits.enter('x')).toBe('refused');
    limits.leave('x', 'counted');
    expect(limits.enter('x')).toBe('counted');
  });

  test('a limit that is set counts those that come after it', () => {
    const limits = new Limits(NONE, quota);
    expect(limits.enter('x')).toBe('uncounted');
    limits.settings = { ...NONE, perClient: 1 };
    expect([limits.enter('x'), limits.enter('x')]).toEqual(['counted', 'refused']);
    limits.leave('x', 'uncounted');
    expect(limits.enter('x')).toBe('refused');
    limits.leave('x', 'counted');
    expect(limits.enter('x')).toBe('counted');
  });

  test('pools are strangers to each other', () => {
    const stranger = new (native().Quota)(undefined, () => undefined);
    expect(quota.enter('x', 1)).toBe(true);
    expect(other.enter('x', 1)).toBe(false);
    expect(stranger.enter('x', 1)).toBe(true);
    stranger.close();
  });

  test('a pool that nobody has is an error, not a new one', () => {
    expect(() => new (native().Quota)(2 ** 31, () => undefined)).toThrow(/ENOENT/);
  });
});

describe('closing', () => {
  test('twice is once, and nobody is called after it', async () => {
    let calls = 0;
    const closed = new (native().Quota)(quota.pool(), () => calls++);
    closed.close();
    closed.close();
    quota.limitSeats(1);
    await settle();
    expect(calls).toBe(0);
    expect(quota.seats()).toBe(0);
  });
});
