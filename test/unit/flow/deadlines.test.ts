import { describe, expect, test } from 'vitest';
import { DeadlineQueue } from '../../../src/flow/deadlines.js';

const now = (): number => performance.now();

describe('DeadlineQueue', () => {
  test('nothing expires before its time, everything after it, the oldest first', () => {
    const queue = new DeadlineQueue<string>(1000);
    for (const entry of ['a', 'b', 'c']) queue.add(entry);
    expect([...queue.expired(now())]).toEqual([]);
    expect(queue.size).toBe(3);
    expect([...queue.expired(now() + 1000)]).toEqual(['a', 'b', 'c']);
    expect(queue.size).toBe(0);
  });

  test('an entry that is added again starts anew, behind the others', () => {
    const queue = new DeadlineQueue<string>(1000);
    queue.add('a');
    queue.add('b');
    queue.add('a');
    expect([...queue.entries()]).toEqual(['b', 'a']);
    expect([...queue.expired(Infinity)]).toEqual(['b', 'a']);
  });

  test('what is deleted does not expire, also while the expired are taken out', () => {
    const queue = new DeadlineQueue<string>(0);
    for (const entry of ['a', 'b', 'c', 'd']) queue.add(entry);
    queue.delete('b');
    const taken: string[] = [];
    for (const entry of queue.expired(now())) {
      taken.push(entry);
      queue.delete('c');
    }
    expect(taken).toEqual(['a', 'd']);
  });

  test('a shorter duration holds for new entries and for those that are there', () => {
    const queue = new DeadlineQueue<string>(1_000_000);
    queue.add('old');
    queue.durationMs = 1000;
    queue.add('new');
    expect([...queue.expired(now() + 1001)]).toEqual(['old', 'new']);
  });
});
