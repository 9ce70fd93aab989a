/** Those who linger: how many, for how long, and who goes first. */
import { expect, test } from 'vitest';
import { Lingering, type Leaver } from '../../../src/flow/lingering.js';

class Guest implements Leaver {
  gone = false;

  cut(): void {
    this.gone = true;
  }
}

test('who is turned away lingers, but not without bound: the oldest makes room', () => {
  const lingering = new Lingering(1000);
  const guests = Array.from({ length: 1000 }, () => new Guest());
  for (const guest of guests) lingering.add(guest);
  expect(lingering.size).toBe(256);
  expect(guests.map(({ gone }) => gone)).toEqual(guests.map((_, index) => index < 744));
});

test('who gets further has its time anew, and is not the oldest any more', () => {
  const lingering = new Lingering(1000, 2);
  const [slow, idle, third] = [new Guest(), new Guest(), new Guest()];
  lingering.add(slow);
  lingering.add(idle);
  lingering.add(slow);
  expect(lingering.size).toBe(2);
  lingering.add(third);
  expect([slow.gone, idle.gone, third.gone]).toEqual([false, true, false]);
});

test('a sweep cuts those whose time is over, once; who has left is left alone', () => {
  const lingering = new Lingering(1000);
  const [stays, leaves] = [new Guest(), new Guest()];
  lingering.add(stays);
  lingering.add(leaves);
  lingering.delete(leaves);
  lingering.sweep(performance.now());
  expect(stays.gone).toBe(false);
  lingering.sweep(performance.now() + 2000);
  expect([stays.gone, leaves.gone, lingering.size]).toEqual([true, false, 0]);
});
