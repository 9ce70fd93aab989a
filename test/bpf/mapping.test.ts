/** The contract's arithmetic in three compilers: what C answers in ring 1, BPF must answer in the kernel. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BpfObject } from '../../src/engine/bpf-object.js';
import { bpfExcused, root } from './support.js';

const excused = bpfExcused();

/** Each line: the call, its three words, the answer. */
function callsOf(program: string): number[][] {
  const text = execFileSync(`${root}/build/contract/${program}`, ['cases'], { encoding: 'utf8' });
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
}

test('C and C++ answer alike', () => {
  const calls = callsOf('contract-mapping-c');
  expect(calls.length).toBeGreaterThan(2000);
  expect(callsOf('contract-mapping-cxx')).toEqual(calls);
});

test.skipIf(excused !== undefined)(`BPF answers as C does${excused === undefined ? '' : ` (${excused})`}`, () => {
  const object = BpfObject.open('mapping', {}, readFileSync(`${root}/build/test-bpf/mapping.bpf.o`));
  const different: string[] = [];
  try {
    object.load();
    const packet = Buffer.alloc(60);
    for (const [call = 0, a = 0, b = 0, c = 0, expected = 0] of callsOf('contract-mapping-c')) {
      [call, a, b, c].forEach((word, index) => packet.writeUInt32LE(word, 14 + 4 * index));
      const { result, packet: answer } = object.testRun('mapping', packet);
      const got = Buffer.from(answer).readUInt32LE(18);
      if (result !== 0 || got !== expected) different.push(`${call}(${a}, ${b}, ${c}): ${got}, not ${expected}`);
    }
  } finally {
    object.close();
  }
  expect(different).toEqual([]);
});
