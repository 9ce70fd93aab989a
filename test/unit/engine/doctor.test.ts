import { describe, expect, test } from 'vitest';
import { probeRows, type NativeProbe } from '../../../src/engine/doctor-bpf.js';
import { versionRow } from '../../../src/engine/doctor-kernel.js';
import { networkRows, openFilesRow, pipeRows } from '../../../src/engine/doctor-limits.js';
import { privilegeRows } from '../../../src/engine/doctor-privilege.js';
import { rowOfAnswer, rowOfFile } from '../../../src/engine/doctor-row.js';
import type { Capability } from '../../../src/engine/doctor.js';

const row = { group: 'g', name: 'n', enables: 'e' };
const named = (rows: Capability[], name: string): Capability => {
  const found = rows.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no row ${name}`);
  return found;
};

describe('answers of the addon', () => {
  test('1 works', () => expect(rowOfAnswer(row, 1, 'advice')).toMatchObject({ status: 'ok', advice: '' }));
  test('0 is missing, with what helps', () =>
    expect(rowOfAnswer(row, 0, 'newer')).toMatchObject({ status: 'missing', advice: 'newer' }));
  test('EPERM is missing, with how to get the privilege', () => {
    const { status, advice } = rowOfAnswer(row, -1, 'newer');
    expect(status).toBe('missing');
    expect(advice).toContain('CAP_BPF');
  });
  test('another errno is not decided', () =>
    expect(rowOfAnswer(row, -110, 'newer')).toMatchObject({ status: 'limited', found: 'unknown: ETIMEDOUT' }));
  test('an addon that does not load is not decided', () =>
    expect(rowOfAnswer(row, 'gone', 'newer').found).toBe('unknown: gone'));
});

describe('files', () => {
  const judge = (value: number) => ({ status: 'ok' as const, found: String(value), advice: '' });
  test('a value is judged', () => expect(rowOfFile(row, { text: '5' }, Number, judge).found).toBe('5'));
  test('a file that is not there is not decided', () =>
    expect(rowOfFile(row, { problem: '/x: ENOENT' }, Number, judge)).toMatchObject({
      status: 'limited',
      found: 'unknown: /x: ENOENT',
    }));
  test('a text that means nothing is not decided', () =>
    expect(rowOfFile(row, { text: '??' }, () => undefined, judge).found).toContain('unknown'));
});

describe('privilege', () => {
  const status = (set: string) => ({ text: `CapEff:\t${set}` });

  test('root with everything', () => {
    const rows = privilegeRows(0, status('000001ffffffffff'));
    expect(rows.every(({ status: one }) => one === 'ok')).toBe(true);
  });
  test('a user without anything is told how to get it', () => {
    const rows = privilegeRows(1000, status('0000000000000000'));
    expect(named(rows, 'user')).toMatchObject({ status: 'limited', found: 'uid 1000' });
    for (const one of rows) expect(one.advice).not.toBe('');
    expect(rows.filter(({ status: one }) => one === 'missing').length).toBe(7);
  });
  test('CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, nothing else', () => {
    const rows = privilegeRows(0, status((1n << 21n).toString(16).padStart(16, '0')));
    expect(named(rows, 'CAP_BPF')).toMatchObject({ status: 'ok', found: 'by CAP_SYS_ADMIN' });
    expect(named(rows, 'CAP_PERFMON').status).toBe('ok');
    expect(named(rows, 'CAP_NET_ADMIN').status).toBe('missing');
  });
  test('an unreadable status decides nothing', () => {
    expect(named(privilegeRows(0, { problem: '/proc/self/status: EACCES' }), 'CAP_BPF')).toMatchObject({
      status: 'limited',
      found: 'unknown: /proc/self/status: EACCES',
    });
  });
});

describe('kernel', () => {
  test.each([
    ['6.18.1', 'ok', ''],
    ['6.12.0', 'ok', 'prefer splice'],
    ['6.1.0-18-amd64', 'limited', 'no sockmap'],
    ['5.10.0', 'limited', 'splice and copy only'],
    ['strange', 'limited', ''],
  ])('%s', (release, status, advice) => {
    const got = versionRow(release);
    expect(got.status).toBe(status);
    expect(got.advice).toContain(advice);
  });
});

describe('probes', () => {
  const probe = (answer: number): NativeProbe => ({
    programType: () => answer,
    mapType: () => answer,
    helper: () => answer,
    clsact: () => answer,
    splice: () => answer,
    tee: () => answer,
    tcpRepair: () => answer,
  });

  test('every row is ok when everything works', () => {
    expect(probeRows({ probe: probe(1) }).every(({ status }) => status === 'ok')).toBe(true);
  });
  test('without privilege everything is missing but the clsact probe, which wants more than its backend', () => {
    const rows = probeRows({ probe: probe(-1) });
    expect(named(rows, 'clsact qdisc').status).toBe('limited');
    expect(rows.filter(({ name }) => name !== 'clsact qdisc').every(({ status }) => status === 'missing')).toBe(true);
  });
  test('without the addon nothing is claimed', () => {
    for (const one of probeRows({ problem: 'no addon' }))
      expect(one).toMatchObject({ status: 'limited', found: 'unknown: no addon' });
  });
  test('no two rows share group and name', () => {
    const keys = probeRows({ probe: probe(1) }).map(({ group, name }) => `${group}/${name}`);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('limits', () => {
  const openFiles = (soft: string, hard: string) =>
    openFilesRow({ text: `Max open files            ${soft}            ${hard}      files` });

  test('few open files: the shell where the hard limit allows, the unit where not', () => {
    expect(openFiles('1024', '524288')).toMatchObject({ status: 'limited', advice: 'ulimit -n 40000' });
    expect(openFiles('1024', '4096').advice).toContain('LimitNOFILE=40000');
    expect(openFiles('524288', '524288').status).toBe('ok');
    expect(openFiles('unlimited', 'unlimited').status).toBe('ok');
  });
  test('pipes: how many of full size fit, unless the process is exempt', () => {
    const files = [{ text: '1048576' }, { text: '16384' }] as const;
    expect(pipeRows(...files, false)[1]).toMatchObject({
      status: 'limited',
      found: '256 of 256 KiB per user; more are smaller',
    });
    expect(pipeRows(...files, true)[1]).toMatchObject({ status: 'ok' });
    expect(pipeRows({ text: '65536' }, { text: '0' }, false).map(({ status }) => status)).toEqual(['limited', 'ok']);
  });
  test('network', () => {
    const [ports, backlog, reuse] = networkRows({ text: '32768\t60999' }, { text: '128' }, { text: '2' });
    expect(ports).toMatchObject({ status: 'ok', found: '32768-60999: 28232' });
    expect(backlog).toMatchObject({ status: 'limited' });
    expect(reuse).toMatchObject({ found: 'on loopback only' });
  });
});
