/** The doctor on the machine at hand: what it must find here, and that it leaves nothing behind. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { probeMachine } from '../../src/engine/doctor.js';
import { bpfExcused, root } from './support.js';

const excused = bpfExcused();

test('every row is filled, and what is not ok says why or what to do', async () => {
  const rows = await probeMachine();
  expect(rows.length).toBeGreaterThan(30);
  for (const { name, group, status, found, enables, advice } of rows) {
    expect([name, group, found, enables].filter((text) => text === '')).toEqual([]);
    if (status === 'missing') expect(advice, name).not.toBe('');
    if (status === 'limited') expect(advice !== '' || found.startsWith('unknown: '), name).toBe(true);
  }
  const keys = rows.map(({ name, group }) => `${group}/${name}`);
  expect(new Set(keys).size).toBe(keys.length);
});

test('splice(2) and tee(2) work on every machine we build on', async () => {
  const rows = await probeMachine();
  expect(rows.filter(({ name }) => name === 'splice(2)' || name === 'tee(2)').map(({ status }) => status)).toEqual([
    'ok',
    'ok',
  ]);
});

test('asking again and again leaves no descriptor and no network interface', async () => {
  await probeMachine();
  const seen = (): [number, string] => [
    readdirSync('/proc/self/fd').length,
    readFileSync('/proc/net/dev', 'utf8').replace(/\d+/g, ''),
  ];
  const before = seen();
  for (let i = 0; i < 20; i++) await probeMachine();
  expect(seen()).toEqual(before);
});

describe.skipIf(excused !== undefined)(
  `where BPF must work${excused === undefined ? '' : ` (skipped: ${excused})`}`,
  () => {
    test('program types, maps, helpers and the sockmap object are ok', async () => {
      const rows = (await probeMachine()).filter(
        ({ group, name }) => group.startsWith('BPF ') || name === 'sockmap relay' || name === 'BTF',
      );
      expect(rows.filter(({ status }) => status !== 'ok')).toEqual([]);
    });

    test('a process without privilege is told EPERM, not "unsupported" or "works"', () => {
      // The addon is loaded first: the user that comes after may not be able to read the directory.
      const program = `
      const { probe } = require(${JSON.stringify(`${root}/build/Release/symsplice.node`)});
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      console.log(JSON.stringify([probe.programType('sched_cls'), probe.mapType('sockhash'),
        probe.helper('sched_cls', 'bpf_redirect_neigh'), probe.clsact(), probe.tcpRepair(), probe.splice(), probe.tee()]));`;
      const answers: unknown = JSON.parse(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' }));
      expect(answers).toEqual([-1, -1, -1, -1, -1, 1, 1]);
    });

    test('a helper of another program type is found missing', () => {
      const program = `
      const { probe } = require(${JSON.stringify(`${root}/build/Release/symsplice.node`)});
      console.log(JSON.stringify([probe.helper('sk_skb', 'bpf_redirect_neigh'), probe.helper('sched_cls', 'bpf_redirect_neigh'),
        probe.helper('sched_cls', 'no_such_helper'), probe.programType('no_such_type')]));`;
      const answers: unknown = JSON.parse(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' }));
      expect(answers).toEqual([0, 1, -22, -22]);
    });
  },
);
