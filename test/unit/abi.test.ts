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

test.each([
  ['FLOW_STATE', abi.FLOW_STATE, abi.FLOW_STATE_NAMES],
  ['CLOSE_REASON', abi.CLOSE_REASON, abi.CLOSE_REASON_NAMES],
  ['REACTOR_EVENT', abi.REACTOR_EVENT, abi.REACTOR_EVENT_NAMES],
])('%s: the list of names is in the order of the values, without gaps', (_name, values, names) => {
  expect(names.map((name) => (values as Record<string, number>)[name])).toEqual(names.map((_, index) => index));
  expect(Object.keys(values)).toEqual([...names]);
});
