/**
 * No counter and no edge of the state machine without a test. What ring 2 has not seen itself must be asked for by
 * name in the file that is said to do so, or stand here with the reason why no test can make it happen.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  PACKET_ANSWER_NAMES,
  PACKET_COUNTER_NAMES,
  SIDE_TRANSITIONS,
  type PacketAnswer,
  type PacketCounter,
} from '../../src/abi.gen.js';
import type { PacketBench } from './packet-bench.js';
import { root } from './support.js';

/** Counters that are the matter of another file. */
const elsewhere: Partial<Record<PacketCounter, string>> = {
  'too-big': 'test/bpf/packet-icmp.test.ts',
  'drop-too-big': 'test/bpf/packet-icmp.test.ts',
  'icmp-no-flow': 'test/bpf/packet-icmp.test.ts',
  'icmp-local': 'test/bpf/packet-icmp.test.ts',
  'icmp-translated': 'test/bpf/packet-icmp.test.ts',
  'icmp-dropped': 'test/bpf/packet-icmp.test.ts',
  'guard-syn': 'test/bpf/packet-syn.test.ts',
};

/** What only a kernel without memory does: each is one failed allocation in a helper, with nothing behind it but the exit. */
const withoutMemory: readonly PacketCounter[] = ['drop-rewrite', 'drop-trim'];

/**
 * Needs a socket that TCP_REPAIR cannot make, and modules that not every kernel has; or, for Accurate ECN, Linux 7.0,
 * where ring 4 (`module-newer`) asks the module for the same refusal.
 */
const notByRepair: readonly PacketAnswer[] = ['ulp', 'mptcp', 'accurate-ecn'];

export function coverage(bench: () => PacketBench): void {
  describe('coverage', () => {
    test.each(PACKET_COUNTER_NAMES.filter((name) => !withoutMemory.includes(name)).map((name) => [name]))(
      'counter %s',
      (name) => {
        const file = elsewhere[name];
        if (file === undefined) expect([...bench().seenCounters]).toContain(name);
        else expect(readFileSync(`${root}/${file}`, 'utf8')).toContain(`'${name}'`);
      },
    );

    const answers = PACKET_ANSWER_NAMES.filter((name) => !notByRepair.includes(name));
    test.each(answers.map((name) => [name]))('answer %s', (name) => {
      expect([...bench().seenAnswers]).toContain(name);
    });

    const edges = SIDE_TRANSITIONS.map(([from, event]) => `${from} ${event}`);
    test.each(edges.map((edge) => [edge]))('edge %s', (edge) => {
      expect([...bench().seenEdges]).toContain(edge);
    });

    test('and no edge was taken that the table does not have', () => {
      expect([...bench().seenEdges].filter((edge) => !edges.includes(edge))).toEqual([]);
    });
  });
}
