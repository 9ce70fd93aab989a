/** What bpftool and tc print; the fixtures have the shape of their output, with numbers of our own. */
import { describe, expect, test } from 'vitest';
import { parseFilters, parseMaps, parsePrograms, parseSums } from '../../../src/bench/kernel/bpftool.js';
import { chooseDataPlane, mapMemory, mapNamed } from '../../../src/bench/kernel/data-plane.js';
import type { Hook } from '../../../src/bench/kernel/data-plane.js';
import { countStages, percentOf } from '../../../src/bench/kernel/exits.js';
import { PACKET_COUNTER_NAMES } from '../../../src/abi.gen.js';

const program = (id: number, name: string, map_ids?: number[], more = {}) => ({
  ...{ id, type: 'sched_cls', name, tag: '0123456789abcdef', gpl_compatible: true, jited: true, bytes_memlock: 4096 },
  ...(map_ids ? { map_ids } : {}),
  ...more,
});

const PROGRAMS = JSON.stringify([
  { id: 3, type: 'cgroup_device', tag: 'fedcba9876543210' },
  program(21, 'relay_eth', [41, 42, 43], { run_time_ns: 3000, run_cnt: 20 }),
  program(22, 'guard_eth', [42, 43]),
  program(23, 'control', [42, 43], { run_time_ns: 1000, run_cnt: 1 }),
  program(31, 'relay_eth', [51, 52, 53]),
  program(32, 'control', [52]),
]);

const map = (id: number, name: string, max_entries: number, bytes_memlock: number) => ({
  ...{ id, type: 'hash', name, flags: 0, bytes_key: 36, bytes_value: 4, max_entries, bytes_memlock, frozen: 0 },
});
const MAPS = JSON.stringify([
  map(41, 'legs', 2000, 224_000),
  map(42, 'flows', 1000, 256_000),
  map(43, 'counters', 64, 1_000),
  map(51, 'legs', 20, 9),
  map(52, 'flows', 10, 9),
]);

describe('bpftool -j', () => {
  test('programs have their runs, and none before the first with statistics', () => {
    const programs = parsePrograms(PROGRAMS);
    expect(programs.find(({ id }) => id === 21)).toEqual({
      ...{ id: 21, name: 'relay_eth', maps: [41, 42, 43], runs: 20, ns: 3000 },
    });
    expect(programs.find(({ id }) => id === 3)).toEqual({ id: 3, name: '', maps: [], runs: 0, ns: 0 });
    expect(programs.find(({ id }) => id === 22)).toMatchObject({ runs: 0, ns: 0 });
  });

  test('maps have entries and bytes', () => {
    expect(parseMaps(MAPS)[0]).toEqual({ id: 41, name: 'legs', entries: 2000, bytes: 224_000 });
  });

  test('values of all processors are added, lowest byte first', () => {
    const bytes = (...low: string[]) => [...low, ...Array<string>(8 - low.length).fill('0x00')];
    const dump = [
      {
        key: ['0x00', '0x00', '0x00', '0x00'],
        values: [
          { cpu: 0, value: bytes('0x01', '0x02') },
          { cpu: 1, value: bytes('0xff') },
        ],
        formatted: { key: 0, values: [{ cpu: 0, value: 513 }] },
      },
      {
        key: ['0x01', '0x00', '0x00', '0x00'],
        values: [{ cpu: 0, value: bytes('0x00', '0x00', '0x00', '0x00', '0x01') }],
      },
    ];
    expect(parseSums(JSON.stringify(dump))).toEqual([513 + 255, 2 ** 32]);
  });

  test('nothing to show is nothing, in both ways of saying it', () => {
    expect(parsePrograms('')).toEqual([]);
    expect(parseMaps('[]\n')).toEqual([]);
  });

  test('a refusal is told in its own words', () => {
    expect(() => parseMaps('{"error":"can\'t get map by id (7)"}')).toThrow("bpftool map: can't get map by id (7)");
  });

  test('what is no JSON, or another shape, is an error that shows it', () => {
    expect(() => parsePrograms('Error: bpftool is not there')).toThrow('printed no JSON: Error: bpftool is not there');
    expect(() => parsePrograms('[{"id":"x"}]')).toThrow('printed something unknown: [{"id":"x"}]');
  });
});

describe('tc -j filter show', () => {
  test('gives the programs of its filters; a filter is listed once without and once with its options', () => {
    const filters = [
      { protocol: 'all', pref: 1, kind: 'bpf', chain: 0 },
      {
        ...{ protocol: 'all', pref: 1, kind: 'bpf', chain: 0 },
        options: { handle: '0x1', bpf_name: 'relay', direct_action: true, prog: { id: 21, name: 'relay_eth' } },
      },
      { protocol: 'ip', pref: 2, kind: 'u32', chain: 0, options: { fh: '800:' } },
    ];
    expect(parseFilters(JSON.stringify(filters))).toEqual([21]);
  });
});

describe('data plane', () => {
  const attached = new Map<number, Hook>([
    [21, 'ingress'],
    [22, 'egress'],
  ]);
  const plane = chooseDataPlane(attached, parsePrograms(PROGRAMS), parseMaps(MAPS));

  test('has the programs at the hooks and the control program on their maps, not that of another', () => {
    expect([...(plane?.programs ?? [])]).toEqual([
      [21, 'ingress'],
      [22, 'egress'],
      [23, 'control'],
    ]);
  });

  test('has their maps by name', () => {
    expect(mapNamed(plane!, 'legs').id).toBe(41);
    expect(() => mapNamed(plane!, 'absent')).toThrow('no map "absent"');
  });

  test('knows what the maps take for each flow that they have room for, and altogether', () => {
    expect(mapMemory(plane!)).toEqual({ total: 481_000, perFlow: 480 });
  });

  test('is not there while nothing is attached to ingress', () => {
    expect(chooseDataPlane(new Map([[22, 'egress']]), parsePrograms(PROGRAMS), parseMaps(MAPS))).toBeUndefined();
  });
});

describe('exits', () => {
  const exits = (counts: Readonly<Record<string, number>>) => PACKET_COUNTER_NAMES.map((name) => counts[name] ?? 0);

  test('belong to stages by their names', () => {
    const counts = countStages(
      exits({
        ...{ 'no-flow': 1, 'not-tcp': 2, relayed: 10, 'relayed-transit': 20, 'relayed-ack': 30, 'local-copy': 40 },
        ...{ 'drop-ttl': 7, 'guard-relayed': 1000, cut: 1000 },
      }),
    );
    expect(counts).toEqual({ miss: 3, steady: 10, transit: 90, dropped: 7 });
    expect(percentOf(counts, 'steady')).toBeCloseTo(100 / 11);
  });

  test('every name that stages are made of is one that the programs have', () => {
    const known: readonly string[] = PACKET_COUNTER_NAMES;
    for (const name of [
      'not-ip',
      'not-tcp',
      'short',
      'no-flow',
      'icmp-no-flow',
      'relayed',
      'relayed-transit',
      'relayed-ack',
    ])
      expect(known).toContain(name);
  });
});
