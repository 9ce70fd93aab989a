/** What the load generator is told. */
import { describe, expect, test } from 'vitest';
import { figuresOfModes } from '../../../src/bench/modes.js';
import { allSeconds, busySeconds, idleShare, parseTicks } from '../../../src/bench/processor-time.js';
import { readyArguments, routeArguments, watchArguments, workloadArguments } from '../../../src/bench/workload.js';
import { argument, fakeLab, loadResult } from './fake-lab.js';

const { addresses } = fakeLab();

describe('arguments', () => {
  test.each([
    ['direct', 'direct', '10.0.2.2:7000', undefined],
    ['relay', 'direct', '10.0.1.1:1080', undefined],
    ['http', 'direct', '10.0.1.1:1080', undefined],
    ['socks5', 'socks5', '10.0.2.2:7000', '10.0.1.1:1080'],
    ['connect', 'connect', '10.0.2.2:7000', '10.0.1.1:1080'],
  ] as const)('the way %s', (via, said, target, proxy) => {
    const args = routeArguments(via, addresses);
    expect([argument(args, '--via'), argument(args, '--target')]).toEqual([said, target]);
    expect(args.includes('--proxy')).toBe(proxy !== undefined);
    if (proxy !== undefined) expect(argument(args, '--proxy')).toBe(proxy);
    expect(argument(args, '--source')).toBe('10.0.1.100/64');
  });

  test('a workload: the size only where one is wanted, arguments of its own behind', () => {
    expect(workloadArguments({ mode: 'ping', connections: 2, args: ['--histogram'] })).toEqual(
      '--mode ping --connections 2 --histogram'.split(' '),
    );
    expect(workloadArguments({ mode: 'fetch', connections: 1, size: 1024 })).toEqual(
      '--mode fetch --connections 1 --size 1024'.split(' '),
    );
  });

  test('ready: a round trip, or a response that no cache can have', () => {
    expect(readyArguments('socks5').join(' ')).toBe('--mode ping --count 1 --timeout 2');
    expect(readyArguments('http').join(' ')).toBe('--mode http --cold --count 1 --timeout 2');
  });

  test('processes are watched on one machine only', async () => {
    const server = await fakeLab().server.start(['serve']);
    expect(watchArguments(fakeLab(), server, undefined)).toEqual(['--interface', 'toprx', '--server-pid', '7']);
    expect(watchArguments(fakeLab(), server, server)).toContain('--pid');
    const apart = fakeLab(undefined, { oneMachine: false });
    expect(watchArguments(apart, server, server)).toEqual(['--interface', 'toprx']);
  });
});

describe('modes', () => {
  const everybody = ['A', 'B'];

  test('words of one kind become one figure, each point once, in order', () => {
    const figures = figuresOfModes(['down8', 'connect', 'down', 'down8', 'fetch:64K', 'fetch4:1M'], everybody);
    expect(figures.map(({ facts, points }) => [facts.id, points(false)])).toEqual([
      ['down', [{ connections: 8 }, { connections: 1 }]],
      ['connect', [{ connections: 8 }]],
      [
        'fetch',
        [
          { connections: 1, size: 65536 },
          { connections: 4, size: 1048576 },
        ],
      ],
    ]);
    expect(figures[2]?.workload({ connections: 4, size: 1048576 })).toEqual({
      mode: 'fetch',
      connections: 4,
      size: 1048576,
    });
  });

  test('fetch without a size stands for a series', () => {
    const points = figuresOfModes(['fetch2'], everybody)[0]?.points(false) ?? [];
    expect(points.map(({ size }) => size)).toContain(4096);
    expect(points).toHaveLength(8);
    expect(new Set(points.map(({ connections }) => connections))).toEqual(new Set([2]));
  });

  test.each(['', 'nothing', 'down0', 'down:4K', 'fetch:', 'fetch:4X', 'fetch:0', 'down99999', 'DOWN', 'down 8'])(
    'no mode "%s"',
    (word) => {
      expect(() => figuresOfModes([word], everybody)).toThrow(/^no mode .* connect32, down1/);
    },
  );

  test('an axis of each point, a value of each metric', () => {
    for (const figure of figuresOfModes(['down', 'up', 'connect', 'ping', 'small', 'fetch:1K'], everybody)) {
      const wire = { segmentsOut: 5, segmentsIn: 5, bytesOut: 1, bytesIn: 1 };
      const values = figure.values(loadResult({ wire, responseUs: loadResult().latencyUs }), figure.points(false)[0]!);
      expect(Object.keys(values)).toEqual(figure.facts.metrics.map(({ id }) => id));
      for (const [id, value] of Object.entries(values)) expect(value, `${figure.facts.id} ${id}`).toBeGreaterThan(0);
      expect(Object.keys(figure.points(false)[0]!)).toEqual(figure.facts.axes.map(({ id }) => id));
    }
  });
});

describe('processor time', () => {
  test('idle share between two readings; waiting for a disk is idle', () => {
    const before = parseTicks('cpu  100 0 100 1000 50 0 0 0 0 0\ncpu0 1 2 3\n');
    const after = parseTicks('cpu  110 0 110 1070 60 0 0 0 0 0\n');
    expect(before).toMatchObject({ user: 100, system: 100, idle: 1000, iowait: 50 });
    expect(idleShare(before, after)).toBeCloseTo(0.8);
    expect(idleShare(before, before)).toBe(0);
  });

  test('seconds: busy is all but idling, waiting and what the hypervisor took', () => {
    const ticks = parseTicks('cpu  100 20 300 9999 50 7 11 3 0 0\n');
    expect(busySeconds(ticks)).toBeCloseTo(4.38);
    expect(allSeconds(ticks)).toBeCloseTo(104.9);
  });

  test('what is no line of /proc/stat is an error, not a machine that never did anything', () => {
    expect(() => parseTicks('')).toThrow('/proc/stat');
  });
});
