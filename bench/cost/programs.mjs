// SPDX-License-Identifier: MIT
//
// What the kernel knows of the packet backend's programs and maps on one host of the lab: run-time statistics,
// exits taken, memory. Everything is found from the filters of the host's own interfaces, so that another data
// plane on the same machine is never meant.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const STATS = '/proc/sys/kernel/bpf_stats_enabled';

/** Switches the run-time statistics on, for the whole machine; gives the way back. */
export function enableStatistics() {
  const before = readFileSync(STATS, 'utf8');
  writeFileSync(STATS, '1');
  return () => writeFileSync(STATS, before);
}

/** Where a program runs: a segment comes in, a segment goes out, the process asks. */
const HOOKS = ['ingress', 'egress', 'control'];

const json = (text) => JSON.parse(text || '[]');
const bpftool = (...args) => json(execFileSync('bpftool', ['-j', ...args], { encoding: 'utf8', maxBuffer: 1 << 28 }));

const littleEndian = (bytes) => bytes.reduceRight((value, byte) => value * 256 + Number(byte), 0);

/** The data plane as attached on `host`, or undefined while there is none. */
export function findDataPlane(lab, host, interfaces) {
  const attached = new Map();
  for (const link of interfaces) {
    for (const hook of ['ingress', 'egress']) {
      for (const filter of json(lab.command(host, 'tc', '-j', 'filter', 'show', 'dev', link, hook))) {
        const program = filter.options?.prog;
        if (program) attached.set(program.id, hook);
      }
    }
  }
  const programs = [...attached].map(([id, hook]) => ({ hook, ...bpftool('prog', 'show', 'id', String(id)) }));
  if (!programs.some(({ hook }) => hook === 'ingress')) return undefined;
  // The program behind no hook, which the process runs by itself, is the one on the same maps.
  const isControl = ({ id, name, map_ids: maps = [] }) =>
    name === 'control' && !attached.has(id) && maps.some((map) => programs[0].map_ids.includes(map));
  programs.push(
    ...bpftool('prog', 'show')
      .filter(isControl)
      .map((program) => ({ hook: 'control', ...program })),
  );
  const ids = [...new Set(programs.flatMap((program) => program.map_ids))];
  const maps = new Map(ids.map((id) => bpftool('map', 'show', 'id', String(id))).map((map) => [map.name, map]));
  return new DataPlane(programs, maps);
}

class DataPlane {
  #programs;
  #maps;

  constructor(programs, maps) {
    [this.#programs, this.#maps] = [programs, maps];
  }

  mapId(name) {
    return this.#maps.get(name).id;
  }

  /** Bytes that the kernel charges for each map, and its size. */
  memory() {
    return [...this.#maps.values()].map(({ name, bytes_memlock: bytes, max_entries: entries }) => ({
      name,
      entries,
      bytes,
    }));
  }

  /** Runs and nanoseconds of the programs by hook, and segments by exit; subtract two of them with `between`. */
  snapshot() {
    const runs = Object.fromEntries(HOOKS.map((hook) => [hook, { count: 0, ns: 0 }]));
    for (const { id, hook } of this.#programs) {
      const now = bpftool('prog', 'show', 'id', String(id));
      runs[hook].count += now.run_cnt ?? 0;
      runs[hook].ns += now.run_time_ns ?? 0;
    }
    const exits = bpftool('map', 'dump', 'id', String(this.mapId('counters'))).map(({ values }) =>
      values.reduce((sum, { value }) => sum + littleEndian(value), 0),
    );
    return { at: performance.now(), runs, exits };
  }
}

export function between(from, to) {
  const difference = (hook) => {
    const count = to.runs[hook].count - from.runs[hook].count;
    return { count, ns: to.runs[hook].ns - from.runs[hook].ns };
  };
  return {
    seconds: (to.at - from.at) / 1000,
    ...Object.fromEntries(HOOKS.map((hook) => [hook, difference(hook)])),
    exits: to.exits.map((value, index) => value - from.exits[index]),
  };
}

export const nsPerRun = ({ count, ns }) => (count > 0 ? ns / count : NaN);
