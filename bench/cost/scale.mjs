// SPDX-License-Identifier: MIT
//
// What a segment costs with a few flows and with many, in a small map and in a full one. All maps have the same
// capacity; the entries that no flow owns are added by fill-map once the flows are there.
import { execFileSync } from 'node:child_process';
import { nsPerRun } from './programs.mjs';

const FEW = 5;
const FILLING_SECONDS = 2;

/** Messages of a flow under way. With one each, many flows take turns, and no flow's memory stays in a cache. */
const BURST = 32;

/**
 * @param flows the many that move
 * @param entries of the full map
 */
export function scaleCases({ flows, entries }) {
  return [
    { name: 'few, routed', flows: FEW, depth: BURST },
    { name: 'few in an empty map', flows: FEW, entries: 2 * FEW, depth: BURST },
    { name: 'few in a full map', flows: FEW, entries, depth: BURST },
    { name: 'many in bursts, routed', flows, depth: BURST },
    { name: 'many in bursts in a full map', flows, entries, depth: BURST },
    { name: 'many in turn, routed', flows, depth: 1 },
    { name: 'many in turn in their own map', flows, entries: 2 * flows, depth: 1 },
    { name: 'many in turn in a full map', flows, entries, depth: 1 },
  ];
}

/** What a segment on the client's wire cost all processors together, client and server included. */
const machineCost = ({ cpu, wire, seconds }) => ({
  perSecond: (wire.segmentsOut + wire.segmentsIn) / seconds,
  cpuNs: (cpu.busy * 1e9) / (wire.segmentsOut + wire.segmentsIn),
});

async function measureScale(bed, fillMap, one, capacity, seconds) {
  const load = ['--mode', 'small', '--connections', String(one.flows), '--depth', String(one.depth)];
  if (one.entries === undefined) {
    const { result } = await bed.under('direct', load, seconds, async () => {});
    return { ...one, ...machineCost(result) };
  }
  return bed.withProxy(['--max-flows', String(capacity)], async ({ plane }) => {
    let added = 0;
    // Filling takes its time: the interval of the statistics begins after it.
    const counted = await bed.count(plane, 'socks5', load, seconds + FILLING_SECONDS, () => {
      const out = execFileSync(fillMap, [String(plane.mapId('legs')), String(one.entries)], { encoding: 'utf8' });
      added = Number(out);
    });
    return {
      ...one,
      added,
      ...machineCost(counted.result),
      ingressNs: nsPerRun(counted.ingress),
      egressNs: nsPerRun(counted.egress),
    };
  });
}

/**
 * Each case once. `ratio`: a run of the ingress program against one with few flows in an empty map; `router`: what a
 * segment cost the machine against routing as many flows.
 */
export async function measureScaleOnce(bed, fillMap, cases, capacity, seconds) {
  const rows = [];
  for (const one of cases) {
    const row = await measureScale(bed, fillMap, one, capacity, seconds);
    console.error(`${one.name}: ${row.ingressNs?.toFixed(0) ?? '-'} ns, ${row.cpuNs.toFixed(0)} ns of the machine`);
    rows.push(row);
  }
  const least = rows.find((row) => row.ingressNs !== undefined);
  return rows.map((row) => {
    const routed = rows.find(({ flows, depth, entries }) => flows === row.flows && depth === row.depth && !entries);
    return { ...row, ratio: row.ingressNs / least.ingressNs, router: row.cpuNs / routed.cpuNs };
  });
}
