/**
 * What the proxy host did in an interval: processor time, segments on the client's link, and, with the kernel's run-time
 * statistics on, what the programs of a data plane took. One command on the host looks twice, so that neither the way
 * there nor this process is in the figures.
 */
import type { Host } from '../model.js';
import { allSeconds, busySeconds, parseTicks } from '../processor-time.js';
import type { Ticks } from '../processor-time.js';
import { parsePrograms, parseSums } from './bpftool.js';
import type { Program } from './bpftool.js';
import { mapNamed } from './data-plane.js';
import type { DataPlane, Hook } from './data-plane.js';
import { partNamed, runScript, splitParts } from './script.js';

export interface Runs {
  readonly count: number;
  readonly ns: number;
}

export interface Interval {
  readonly seconds: number;
  /** Of the whole machine that the host is on: user, system, softirq and irq. */
  readonly cpuSeconds: number;
  /** How much of the machine that was. */
  readonly busyShare: number;
  /** In and out, on the link towards the client. */
  readonly segments: number;
  readonly runs: Readonly<Record<Hook, Runs>>;
  /** Segments by the exit that the relay and guard programs took, in the order of PACKET_COUNTER_NAMES. */
  readonly exits: readonly number[];
}

interface Look {
  readonly ns: bigint;
  readonly ticks: Ticks;
  readonly segments: number;
  readonly programs: readonly Program[];
  readonly exits: readonly number[];
}

/**
 * $1: seconds; $2: id of the map of counters, if there is one. What takes time to read is read outside the two looks at
 * the clock, so that its own cost is not between them.
 */
const LOOK_TWICE = `
host() {
  echo @time; date +%s%N
  echo @stat; head -n 1 /proc/stat
  echo @links; cat /proc/net/dev
}
programs() {
  [ -n "$1" ] || return 0
  echo @programs; bpftool -j prog show; echo
  echo @counters; bpftool -j map dump id "$1"; echo
}
programs "$2"; host
sleep "$1"; echo @again
host; programs "$2"
`;

/** Packets in and out of an interface, from /proc/net/dev. */
export function parsePackets(table: string, link: string): number {
  for (const line of table.split('\n')) {
    const [name, figures] = line.split(/:(.*)/);
    if (name?.trim() !== link || figures === undefined) continue;
    const numbers = figures.trim().split(/\s+/).map(Number);
    return (numbers[1] ?? NaN) + (numbers[9] ?? NaN);
  }
  throw new Error(`the proxy host has no interface "${link}"`);
}

/** Of the output of the script: the difference of its two looks. */
export function parseInterval(text: string, link: string, plane: DataPlane | undefined): Interval {
  const [before = '', after = ''] = text.split(/^@again\n/m);
  return between(parseLook(before, link, plane), parseLook(after, link, plane), plane);
}

function parseLook(text: string, link: string, plane: DataPlane | undefined): Look {
  const parts = splitParts(text);
  return {
    ns: BigInt(partNamed(parts, 'time').trim()),
    ticks: parseTicks(partNamed(parts, 'stat')),
    segments: parsePackets(partNamed(parts, 'links'), link),
    programs: plane ? parsePrograms(partNamed(parts, 'programs')) : [],
    exits: plane ? parseSums(partNamed(parts, 'counters')) : [],
  };
}

function between(from: Look, to: Look, plane: DataPlane | undefined): Interval {
  const runs: Record<Hook, { count: number; ns: number }> = {
    ingress: { count: 0, ns: 0 },
    egress: { count: 0, ns: 0 },
    control: { count: 0, ns: 0 },
  };
  for (const [id, hook] of plane?.programs ?? []) {
    const [before, after] = [from, to].map(({ programs }) => programs.find((program) => program.id === id));
    if (!before || !after) throw new Error('the data plane on the proxy host went away while it was measured');
    runs[hook].count += after.runs - before.runs;
    runs[hook].ns += after.ns - before.ns;
  }
  const busy = busySeconds(to.ticks) - busySeconds(from.ticks);
  const all = allSeconds(to.ticks) - allSeconds(from.ticks);
  return {
    seconds: Number(to.ns - from.ns) / 1e9,
    cpuSeconds: busy,
    // The kernel's count of idle time may go back a little.
    busyShare: all > 0 ? Math.min(1, busy / all) : 0,
    segments: to.segments - from.segments,
    runs,
    exits: to.exits.map((value, index) => value - (from.exits[index] ?? 0)),
  };
}

/**
 * Looks now and after `seconds`. With `statistics` (path of with-statistics on the host) the kernel counts runs and
 * nanoseconds meanwhile, at a cost of its own.
 */
export async function measureInterval(
  host: Host,
  seconds: number,
  { plane, statistics }: { plane?: DataPlane | undefined; statistics?: string } = {},
): Promise<Interval> {
  const link = host.links.client;
  if (link === undefined) throw new Error('the proxy host has no link to the client');
  const counters = plane ? [String(mapNamed(plane, 'counters').id)] : [];
  const text = await runScript(host, LOOK_TWICE, [String(seconds), ...counters], {
    timeoutMs: seconds * 1000 + 15_000,
    ...(statistics === undefined ? {} : { before: [statistics] }),
  });
  return parseInterval(text, link, plane);
}

export interface Calm {
  /** Seconds to plan for an interval beyond its own time, when a load will keep the host busy. */
  readonly slack: number;
  /** Share of the machine that others use. */
  readonly othersShare: number;
}

const CALM_SECONDS = 0.2;
/** A host under load takes several times as long to answer as an idle one; a remote one takes its time anyway. */
const BUSY_FACTOR = 5;
const LEAST_SLACK_SECONDS = 0.3;

/** How the host is before a load: how fast it answers, and what happens there without us. */
export async function measureCalm(host: Host): Promise<Calm> {
  const begun = performance.now();
  const { busyShare } = await measureInterval(host, CALM_SECONDS);
  const answering = (performance.now() - begun) / 1000 - CALM_SECONDS;
  return { slack: LEAST_SLACK_SECONDS + BUSY_FACTOR * answering, othersShare: busyShare };
}

export const nsPerRun = ({ count, ns }: Runs): number => (count > 0 ? ns / count : NaN);
