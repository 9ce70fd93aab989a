// SPDX-License-Identifier: MIT
//
// Nanoseconds of one run of the ingress and of the egress program, by the stage of the flow whose segment it saw.
import { nsPerRun } from './programs.mjs';

/** Exits of the ingress program, by the stage that they belong to; by their names in src/abi.gen.ts. */
const MISS = ['not-ip', 'not-tcp', 'short', 'no-flow', 'icmp-no-flow'];
const STEADY = ['relayed'];
const isTransit = (name) => name.startsWith('local-') || name === 'relayed-transit' || name === 'relayed-ack';

/** Loads that put nearly all segments into one stage. */
const PURE = [
  { stage: 'miss', what: 'routed past the flows, 64-byte messages', via: 'direct', load: ['--mode', 'small'] },
  { stage: 'steady', what: '64-byte messages', via: 'socks5', load: ['--mode', 'small'] },
  {
    stage: 'steady bulk',
    what: 'download, segments as the sender makes them',
    via: 'socks5',
    load: ['--mode', 'download'],
  },
];

function shares(counted, names) {
  const sum = (wanted) => counted.exits.reduce((total, value, index) => total + (wanted(names[index]) ? value : 0), 0);
  const miss = sum((name) => MISS.includes(name));
  const steady = sum((name) => STEADY.includes(name));
  const transit = sum(isTransit);
  return { miss, steady, transit };
}

const share = (part, { ingress }) => `${((100 * part) / ingress.count).toFixed(1)} %`;

function pureRow({ stage, what }, counted, names) {
  const by = shares(counted, names);
  return {
    stage,
    what,
    segments: counted.ingress.count,
    perSecond: counted.ingress.count / counted.seconds,
    ingressNs: nsPerRun(counted.ingress),
    egressNs: nsPerRun(counted.egress),
    share: share(stage === 'miss' ? by.miss : by.steady, counted),
  };
}

/**
 * Segments of flows in transit never come alone: a connection of a few segments has some before its splice and
 * perhaps some after its release. What the others take is known from the pure loads, and is taken off.
 */
function transitRow(counted, names, miss, steady) {
  const by = shares(counted, names);
  const others = by.miss * miss.ingressNs + by.steady * steady.ingressNs;
  return {
    stage: 'transit',
    what: 'short connections, spliced at once',
    segments: by.transit,
    perSecond: by.transit / counted.seconds,
    ingressNs: (counted.ingress.ns - others) / by.transit,
    egressNs: nsPerRun(counted.egress),
    share: share(by.transit, counted),
    controlNs: nsPerRun(counted.control),
    perConnectionNs:
      (counted.ingress.ns + counted.egress.ns + counted.control.ns) / (counted.result.perSecond * counted.seconds),
  };
}

/** One row for each stage. `names`: what the slots of the map `counters` count. */
export async function measureStages(bed, seconds, names) {
  return bed.withProxy([], async ({ plane }) => {
    const rows = [];
    for (const pure of PURE) {
      const counted = await bed.count(plane, pure.via, [...pure.load, '--connections', '8'], seconds);
      rows.push(pureRow(pure, counted, names));
    }
    const counted = await bed.count(plane, 'socks5', ['--mode', 'connect', '--connections', '8'], seconds);
    const [miss, steady] = rows;
    return [...rows, transitRow(counted, names, miss, steady)];
  });
}
