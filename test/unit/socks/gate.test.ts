import { expect, test } from 'vitest';
import { Gate } from '../../../src/socks/gate.js';

function job(): { run: () => Promise<string>; end: (value: string) => void; fail: () => void; started: () => boolean } {
  let started = false;
  let end: (value: string) => void = () => undefined;
  let fail: () => void = () => undefined;
  const promise = new Promise<string>((resolve, reject) => {
    end = resolve;
    fail = () => reject(new Error('no'));
  });
  const run = (): Promise<string> => {
    started = true;
    return promise;
  };
  return { run, end: (value) => end(value), fail: () => fail(), started: () => started };
}

test('runs as many as it is wide, lets some wait in order, turns the rest away', async () => {
  const gate = new Gate(2, 1);
  const [a, b, c, d] = [job(), job(), job(), job()];
  const first = gate.run(a.run);
  const second = gate.run(b.run);
  const third = gate.run(c.run);
  expect(gate.run(d.run)).toBeUndefined();
  expect([a, b, c, d].map((each) => each.started())).toEqual([true, true, false, false]);
  expect([gate.running, gate.waiting]).toEqual([2, 1]);

  b.end('b');
  expect(await second).toBe('b');
  expect(c.started()).toBe(true);
  expect([gate.running, gate.waiting]).toEqual([2, 0]);

  a.end('a');
  c.end('c');
  expect(await Promise.all([first, third])).toEqual(['a', 'c']);
  expect(gate.running).toBe(0);
});

test('a job that fails makes room', async () => {
  const gate = new Gate(1, 1);
  const [a, b] = [job(), job()];
  const first = gate.run(a.run);
  const second = gate.run(b.run);
  a.fail();
  b.end('b');
  await expect(first).rejects.toThrow('no');
  expect(await second).toBe('b');
  expect(gate.running).toBe(0);
});
