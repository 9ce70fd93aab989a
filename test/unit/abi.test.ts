/** src/abi.gen.ts is what the header says, and the addon was built from the same header. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { generate } from '../../scripts/gen-abi.mjs';
import * as abi from '../../src/abi.gen.js';
import { native } from '../../src/native.js';

test('src/abi.gen.ts is current: "npm run gen" would change nothing', async () => {
  const text = await generate();
  expect(readFileSync(new URL('../../src/abi.gen.ts', import.meta.url), 'utf8')).toBe(text);
});

test('the addon speaks the same version', () => {
  expect(native().abiVersion).toBe(abi.ABI_VERSION);
});

test('every state of a side is reached, and every event used, by some transition', () => {
  expect(new Set(abi.SIDE_TRANSITIONS.map(([, , to]) => to))).toEqual(new Set(abi.SIDE_STATE_NAMES));
  expect(new Set(abi.SIDE_TRANSITIONS.map(([, on]) => on))).toEqual(new Set(abi.SIDE_EVENT_NAMES));
});

test.each([
  ['FLOW_STATE', abi.FLOW_STATE, abi.FLOW_STATE_NAMES],
  ['CLOSE_REASON', abi.CLOSE_REASON, abi.CLOSE_REASON_NAMES],
  ['REACTOR_EVENT', abi.REACTOR_EVENT, abi.REACTOR_EVENT_NAMES],
  ['SIDE_STATE', abi.SIDE_STATE, abi.SIDE_STATE_NAMES],
  ['SIDE_EVENT', abi.SIDE_EVENT, abi.SIDE_EVENT_NAMES],
  ['PACKET_PHASE', abi.PACKET_PHASE, abi.PACKET_PHASE_NAMES],
  ['PACKET_WAY', abi.PACKET_WAY, abi.PACKET_WAY_NAMES],
  ['PACKET_ANSWER', abi.PACKET_ANSWER, abi.PACKET_ANSWER_NAMES],
  ['PACKET_COUNTER', abi.PACKET_COUNTER, abi.PACKET_COUNTER_NAMES],
])('%s: the list of names is in the order of the values, without gaps', (_name, values, names) => {
  expect(names.map((name) => (values as Record<string, number>)[name])).toEqual(names.map((_, index) => index));
  expect(Object.keys(values)).toEqual([...names]);
});
