/** What is read on the proxy host: the scripts on this machine, and their output from machines that are made up. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, test } from 'vitest';
import { growth } from '../../../src/bench/figures/idle-memory.js';
import type { Session } from '../../../src/bench/figures/figure.js';
import { duringLoad, stepsDuringLoad } from '../../../src/bench/kernel/during-load.js';
import {
  measureCalm,
  measureInterval,
  nsPerRun,
  parseInterval,
  parsePackets,
} from '../../../src/bench/kernel/interval.js';
import { leastOf, lookAtHoldings, parseHoldings } from '../../../src/bench/kernel/process-tree.js';
import { partNamed, runScript, splitParts } from '../../../src/bench/kernel/script.js';
import { withArguments } from '../../../src/bench/kernel/with-arguments.js';
import { LocalHost } from '../../../src/bench/lab/local-host.js';
import type { Output } from '../../../src/bench/model.js';
import { fakeContestant, loadResult } from './fake-lab.js';

const here = new LocalHost('proxy', { client: 'lo' }, tmpdir(), []);
afterEach(() => here.processes.end());

describe('script', () => {
  test('prints in parts', () => {
    expect(splitParts('before\n@one\na\nb\n@two\n@three')).toEqual([
      { name: 'one', text: 'a\nb\n' },
      { name: 'two', text: '' },
      { name: 'three', text: '' },
    ]);
    expect(() => partNamed([], 'one')).toThrow('printed no part "one"');
  });

  test('gets its arguments as they are', async () => {
    expect(await runScript(here, 'echo "@$1"; echo "$2"', ['a', '$(b) "c"'])).toBe('@a\n$(b) "c"\n');
  });

  test('that fails says why', async () => {
    await expect(runScript(here, 'echo no such thing >&2; exit 3')).rejects.toThrow(
      'a script on the proxy host ended with 3: no such thing',
    );
  });
});

describe('interval', () => {
  const LINKS = [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier',
    '    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0',
    ' tocli:1000      10    0    0    0     0          0         0     2000      30    0    0    0     0       0',
    '',
  ].join('\n');

  test('packets are those of the link, both ways', () => {
    expect(parsePackets(LINKS, 'tocli')).toBe(40);
    expect(() => parsePackets(LINKS, 'eth7')).toThrow('no interface "eth7"');
  });

  const plane = {
    programs: new Map([
      [21, 'ingress'],
      [24, 'ingress'],
      [22, 'egress'],
    ] as const),
    maps: new Map(),
  };
  const look = (ns: string, busy: number, packets: number, runs: readonly [number, number, number][]) => {
    const value = `0x${runs[0]?.[1].toString(16) ?? '0'}`;
    return [
      ...['@programs', JSON.stringify(runs.map(([id, run_cnt, run_time_ns]) => ({ id, run_cnt, run_time_ns })))],
      ...['@counters', JSON.stringify([{ values: [{ cpu: 0, value: [value] }] }])],
      ...[
        '@time',
        ns,
        '@stat',
        `cpu ${busy} 0 0 ${3 * busy} 0 0 0`,
        '@links',
        `tocli: 1 ${packets} 0 0 0 0 0 0 1 0 0`,
        '',
      ],
    ].join('\n');
  };

  test('is the difference of two looks, programs of one hook together', () => {
    const from = look('1700000000000000000', 100, 10, [
      ...(
        [
          [21, 5, 50],
          [24, 1, 1],
          [22, 0, 0],
        ] as const
      ).map((one): [number, number, number] => [...one]),
    ]);
    const to = look('1700000001500000000', 250, 4010, [
      ...(
        [
          [21, 25, 4050],
          [24, 21, 2001],
          [22, 8, 400],
        ] as const
      ).map((one): [number, number, number] => [...one]),
    ]);
    const seen = parseInterval(`${from}@again\n${to}`, 'tocli', plane);
    expect(seen.seconds).toBe(1.5);
    expect(seen.cpuSeconds).toBe(1.5);
    expect(seen.busyShare).toBe(0.25);
    expect(seen.segments).toBe(4000);
    expect(seen.runs).toEqual({
      ingress: { count: 40, ns: 6000 },
      egress: { count: 8, ns: 400 },
      control: { count: 0, ns: 0 },
    });
    expect(seen.exits).toEqual([20]);
    expect(nsPerRun(seen.runs.ingress)).toBe(150);
    expect(nsPerRun(seen.runs.control)).toBeNaN();
  });

  test('of a data plane that went away is an error', () => {
    const from = look('1', 1, 1, [
      [21, 1, 1],
      [24, 1, 1],
      [22, 1, 1],
    ]);
    expect(() => parseInterval(`${from}@again\n${look('2', 1, 1, [])}`, 'tocli', plane)).toThrow('went away');
  });

  test('of a host at rest says how long it takes to answer', async () => {
    const { slack, othersShare } = await measureCalm(here);
    expect(slack).toBeGreaterThan(0);
    expect(othersShare).toBeGreaterThanOrEqual(0);
    expect(othersShare).toBeLessThanOrEqual(1);
  });

  test('is measured by this shell on this machine', async () => {
    const seen = await measureInterval(here, 0.05);
    expect(seen.seconds).toBeGreaterThanOrEqual(0.05);
    expect(seen.segments).toBeGreaterThanOrEqual(0);
    expect(seen.cpuSeconds).toBeGreaterThanOrEqual(0);
    expect(seen.exits).toEqual([]);
  });
});

describe('holdings', () => {
  test('of a tree: memory and descriptors together, a map once, the greatest with its limit', () => {
    const limit = (pid: number, soft: number) =>
      `/proc/${pid}/limits:Max open files            ${soft}                20000                files     `;
    const map = (id: number, bytes: number) =>
      `pos:\t0\nflags:\t02000002\nmap_type:\t2\nmemlock:\t${bytes}\nmap_id:\t${id}\n`;
    const text = [
      ...['@resident', '/proc/8/smaps_rollup:Pss:                1500 kB', '/proc/9/smaps_rollup:Pss:     500 kB'],
      ...['@limits', limit(8, 1024), limit(9, 4096)],
      ...['@descriptors', '/proc/8/fd: 7', '/proc/9/fd: 30'],
      `@maps\n${map(41, 4096)}${map(42, 1000)}${map(41, 4096)}@sockets`,
      ...['sockets: used 90', 'TCP: inuse 12 orphan 0 tw 3 alloc 99 mem 5', 'UDP: inuse 4 mem 0', 'TCP6: inuse 2'],
      ...['@memory', 'MemTotal:  100 kB', 'Slab:  2000 kB', 'KernelStack:  160 kB', 'PageTables:  40 kB', ''],
    ].join('\n');
    expect(parseHoldings(text)).toEqual({
      residentKb: 2000,
      descriptors: 37,
      greatest: { descriptors: 30, limit: 4096 },
      sockets: 14,
      kernelKb: 2200,
      mapBytes: 5096,
    });
  });

  const some = {
    ...{ residentKb: 9000, descriptors: 40, greatest: { descriptors: 30, limit: 20_000 }, sockets: 1, kernelKb: 5000 },
    mapBytes: 0,
  };

  test('of several looks, the least of each', () => {
    const other = {
      ...some,
      residentKb: 10_000,
      descriptors: 20,
      greatest: { descriptors: 8, limit: 1024 },
      sockets: 2,
    };
    const least = { ...some, descriptors: 20, greatest: { descriptors: 8, limit: 1024 } };
    expect(leastOf(some, other)).toEqual(least);
    expect(leastOf(other, some)).toEqual(least);
  });

  test('grow by so much a flow; memory that shrank, or too few flows to see it, has no figure', () => {
    const seen = { ...some, residentKb: 19_000, descriptors: 2040, sockets: 2001, kernelKb: 4000 };
    expect(growth(some, seen, 1000)).toEqual({
      ...{ residentKb: 10, descriptors: 2, sockets: 2, kernelKb: NaN, totalMb: 19_000 / 1024 },
    });
    expect(growth(some, seen, 100)).toMatchObject({ residentKb: NaN, descriptors: 20 });
    const router = { ...some, residentKb: 0 };
    expect(growth(router, { ...router, kernelKb: 15_000 }, 1000)).toEqual({ sockets: 0, kernelKb: 10 });
  });

  test('of nobody are those of the kernel', () => {
    const nobody = parseHoldings('@sockets\nTCP: inuse 3\n@memory\nSlab: 1 kB\nKernelStack: 1 kB\nPageTables: 1 kB\n');
    expect(nobody).toMatchObject({ residentKb: 0, descriptors: 0, sockets: 3, kernelKb: 3, mapBytes: 0 });
    expect(nobody.greatest.limit).toBe(Infinity);
  });

  test('of a process of this machine are read by this shell, its child with it', async () => {
    const child = await here.start(['sh', '-c', 'sleep 60 & exec 7</dev/null 8</dev/null 9</dev/null; wait']);
    const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
    await expect.poll(() => descriptors(child.pid), { timeout: 20_000 }).toBeGreaterThanOrEqual(6);
    const seen = await lookAtHoldings(here, child.pid);
    await child.stop();
    expect(seen.greatest.descriptors).toBeGreaterThanOrEqual(6);
    expect(seen.descriptors).toBeGreaterThanOrEqual(seen.greatest.descriptors + 3);
    expect(seen.greatest.limit).toBeGreaterThan(9);
    expect(seen.residentKb).toBeGreaterThan(0);
    expect(seen.kernelKb).toBeGreaterThan(0);
    expect(seen.mapBytes).toBe(0);
  });
});

describe('during a load', () => {
  const session = (answer: (announce: () => void) => Promise<Partial<Output>>): Session => ({
    contestant: fakeContestant('one'),
    running: undefined,
    route: [],
    run: () => Promise.reject(new Error('not asked for')),
    generate: async (_args, options) => ({
      ...{ out: '', err: '', code: 0 },
      ...(await answer(() => options?.onError?.('measuring\n'))),
    }),
    prime: () => Promise.reject(new Error('not asked for')),
    close: () => Promise.resolve(),
  });
  const interval = { seconds: 600, warmup: 0 };
  const clean = JSON.stringify(loadResult());

  test('one looks when it has begun to measure, and gets what was seen with its result', async () => {
    const order: string[] = [];
    let looked = (): void => {};
    const looking = new Promise<void>((resolve) => (looked = resolve));
    const load = session(async (announce) => {
      order.push('opening');
      await Promise.resolve();
      announce();
      await looking;
      order.push('over');
      return { out: clean };
    });
    const { seen, result } = await duringLoad(load, [], interval, async () => {
      order.push('looking');
      setTimeout(looked);
      return 7;
    });
    expect({ seen, order, clean: result.clean }).toEqual({
      seen: 7,
      order: ['opening', 'looking', 'over'],
      clean: true,
    });
  });

  test('a look that came to its end after the load does not count', async () => {
    let over = (): void => {};
    const ended = new Promise<void>((resolve) => (over = resolve));
    const load = session(async (announce) => {
      announce();
      setTimeout(over);
      return { out: clean };
    });
    await expect(duringLoad(load, [], interval, () => ended)).rejects.toThrow('the load was over before');
  });

  test('a look that came to its end when the time of the load was over does not count, even if the load is not', async () => {
    const load = session(async (announce) => {
      announce();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { out: clean };
    });
    const late = duringLoad(load, [], { ...interval, seconds: 0 }, () => Promise.resolve());
    await expect(late).rejects.toThrow('the load was over before');
  });

  test('steps before its end count, those after it are missing', async () => {
    let over = (): void => {};
    const ended = new Promise<void>((resolve) => (over = resolve));
    const load = session(async (announce) => {
      announce();
      await ended;
      return { out: clean };
    });
    const taken: number[] = [];
    const step = (number: number) => async () => {
      taken.push(number);
      if (number === 2) over();
      // A turn of the loop, so that the end of the load is noticed.
      await new Promise((resolve) => setTimeout(resolve));
      return number;
    };
    const { seen } = await stepsDuringLoad(load, [], interval, [1, 2, 3].map(step));
    expect({ seen, taken }).toEqual({ seen: [1], taken: [1, 2] });
  });

  test('errors of the load, and of a load generator that prints nothing, are told', async () => {
    const failing = session(async () => ({
      out: JSON.stringify(loadResult({ errors: 2, firstError: 'connect: refused' })),
    }));
    await expect(duringLoad(failing, [], interval, () => Promise.resolve())).rejects.toThrow('2 errors');
    await expect(duringLoad(failing, [], interval, () => Promise.resolve())).rejects.toThrow('connect: refused');
    const mute = session(async () => ({ err: 'splice-load: no\n', code: 1 }));
    await expect(duringLoad(mute, [], interval, () => Promise.resolve())).rejects.toThrow(
      'ended with 1: splice-load: no',
    );
  });
});

test('a contestant with more arguments keeps its name, and one that starts nothing still does', async () => {
  const more = withArguments(fakeContestant('ours-packet'), ['--max-flows', '9']);
  expect(more.name).toBe('ours-packet');
  // Nothing of the place is looked at by a contestant that is made up.
  const place = {} as Parameters<typeof more.prepare>[0];
  expect(await more.prepare(place)).toEqual({ command: ['ours-packet', '--max-flows', '9'] });
  expect(await withArguments(fakeContestant('router'), ['-x']).prepare(place)).toBeUndefined();
});
