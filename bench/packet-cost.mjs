#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// What the packet backend costs, from the kernel's own run-time statistics: nanoseconds of a segment by stage, by
// the number of flows and the size of the map, and the memory of silent flows. Needs root, a C compiler, bpftool
// and tc. See docs/packet-cost.md.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildFillMap, buildLoad } from './compare/build.mjs';
import { ADDRESSES, Lab, lockMachine } from './compare/lab.mjs';
import { align, span, summarize } from './compare/report.mjs';
import { Bed } from './cost/bed.mjs';
import { measureMemory } from './cost/memory.mjs';
import { enableStatistics } from './cost/programs.mjs';
import { measureScaleOnce, scaleCases } from './cost/scale.mjs';
import { measureStages } from './cost/stages.mjs';

const PARTS = ['stages', 'scale', 'memory'];

const HELP = `usage: node bench/packet-cost.mjs [options]
  --parts A,B      ${PARTS.join(', ')} (default: all)
  --reps N         repetitions (default 5)
  --seconds S      measured interval of one trial (default 3)
  --flows N        the many flows of scale and memory (default 10000)
  --entries N      entries of the full map (default 1000000)
  --quick          --reps 1 --seconds 1 --flows 200
  --family 4|6     IP version on both sides (default 4)
  --ours-args TEXT more arguments for splice-socks, separated by spaces
  --json FILE      where the JSON goes (default build/bench/packet-cost.json)`;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const buildDir = join(root, 'build/bench');

function parseOptions() {
  const text = { type: 'string' };
  const options = { parts: text, reps: text, seconds: text, flows: text, entries: text, family: text, json: text };
  const flags = { 'ours-args': text, quick: { type: 'boolean' }, help: { type: 'boolean' } };
  const { values } = parseArgs({ options: { ...options, ...flags } });
  const number = (name, fallback) => {
    const value = Number(values[name] ?? fallback);
    if (!(value > 0)) throw new Error(`--${name} ${values[name]}: not a usable number`);
    return value;
  };
  const parts = values.parts?.split(',') ?? PARTS;
  for (const part of parts) if (!PARTS.includes(part)) throw new Error(`--parts ${part}: ${PARTS.join(', ')}`);
  const address = ADDRESSES[values.family ?? '4'];
  if (!address) throw new Error(`--family ${values.family}: 4 or 6`);
  return {
    help: values.help,
    parts,
    address,
    reps: number('reps', values.quick ? 1 : 5),
    seconds: number('seconds', values.quick ? 1 : 3),
    flows: number('flows', values.quick ? 200 : 10_000),
    entries: number('entries', 1_000_000),
    extra: (values['ours-args'] ?? '').split(' ').filter(Boolean),
    json: values.json ?? join(buildDir, 'packet-cost.json'),
    logs: join(buildDir, 'logs'),
  };
}

/** Rows of several repetitions, by the key that names them: the same figures as summaries. */
function gather(repetitions, key, figures) {
  return repetitions[0].map((first) => {
    const same = repetitions.map((rows) => rows.find((row) => row[key] === first[key]));
    const summaries = figures.map((name) => [name, summarize(same.map((row) => row[name] ?? NaN))]);
    return { ...first, ...Object.fromEntries(summaries) };
  });
}

function stagesTable(rows) {
  const head = ['stage', 'load', 'segments/s', 'ingress ns', 'egress ns', 'share'];
  const lines = rows.map((row) => [
    row.stage,
    row.what,
    span(row.perSecond, 0),
    span(row.ingressNs, 0),
    span(row.egressNs, 0),
    row.share,
  ]);
  const transit = rows.find((row) => row.perConnectionNs);
  const { controlNs, perConnectionNs } = rows.find((row) => row.perConnectionNs);
  const more = [
    ['one question of the process (install, advance)', `${span(controlNs, 0)} ns`],
    ['all of BPF for one short connection', `${span(perConnectionNs, 0)} ns`],
  ];
  return `${align([head, ...lines], 2)}\n${align(more)}`;
}

function scaleTable(rows) {
  const head = [
    'scale',
    'flows',
    'entries',
    'ingress ns',
    'x few',
    'egress ns',
    'segments/s',
    'cpu ns',
    'cpu x router',
  ];
  const lines = rows.map((row) => [
    row.name,
    String(row.flows),
    String(row.entries ?? '-'),
    span(row.ingressNs, 0),
    span(row.ratio, 2),
    span(row.egressNs, 0),
    span(row.perSecond, 0),
    span(row.cpuNs, 0),
    span(row.router, 2),
  ]);
  return align([head, ...lines]);
}

function memoryTable({ flows, before, during, maps, bytesPerFlow }) {
  const grown = (name) => `${before[name]} -> ${during[name]}`;
  const lines = [
    [`memory of ${flows} silent flows`, ''],
    ['descriptors of the process', grown('descriptors')],
    ['TCP sockets on the host', grown('sockets')],
    ['resident KB of the process', grown('residentKb')],
    ...maps.map(({ name, entries, bytes }) => [`map ${name}, ${entries} entries`, `${bytes} bytes`]),
    ['maps flows and legs, a flow', `${bytesPerFlow.toFixed(0)} bytes`],
  ];
  return align(lines);
}

async function measure(bed, options, fillMap) {
  const { PACKET_COUNTER_NAMES } = await import(join(root, 'dist/abi.gen.js'));
  const { parts, reps, seconds, flows, entries } = options;
  const repeat = async (what, once) => {
    const rows = [];
    for (let rep = 1; rep <= reps; rep++) {
      console.error(`${what} ${rep}/${reps}`);
      rows.push(await once());
    }
    return rows;
  };
  const found = {};
  if (parts.includes('stages')) {
    const rows = await repeat('stages', () => measureStages(bed, seconds, PACKET_COUNTER_NAMES));
    found.stages = gather(rows, 'stage', ['perSecond', 'ingressNs', 'egressNs', 'controlNs', 'perConnectionNs']);
    console.log(`\n${stagesTable(found.stages)}`);
  }
  if (parts.includes('scale')) {
    const cases = scaleCases({ flows, entries });
    // Room to spare: a flow that is spliced late must not find the map full.
    const capacity = Math.ceil(entries / 2) + flows;
    const rows = await repeat('scale', () => measureScaleOnce(bed, fillMap, cases, capacity, seconds));
    found.scale = gather(rows, 'name', ['perSecond', 'ingressNs', 'egressNs', 'cpuNs', 'ratio', 'router']);
    console.log(`\n${scaleTable(found.scale)}`);
  }
  if (parts.includes('memory')) {
    found.memory = await measureMemory(bed, flows);
    console.log(`\n${memoryTable(found.memory)}`);
  }
  return found;
}

async function main(options) {
  const unlock = lockMachine();
  const undo = [unlock];
  process.once('exit', () => undo.reverse().forEach((one) => one()));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  mkdirSync(options.logs, { recursive: true });
  const [load, fillMap] = [buildLoad(buildDir), buildFillMap(buildDir)];
  undo.push(enableStatistics());
  const lab = new Lab();
  undo.push(() => lab.close());
  const found = await measure(new Bed(lab, load, options), options, fillMap);
  const machine = { kernel: release(), processors: availableParallelism(), model: cpus()[0]?.model };
  const { reps, seconds } = options;
  writeFileSync(options.json, JSON.stringify({ machine, reps, seconds, ...found }, null, 1));
  console.log(`\nmedian [least-greatest] of ${reps} repetitions\nJSON: ${relative(process.cwd(), options.json)}`);
}

try {
  const options = parseOptions();
  if (options.help) console.log(HELP);
  else await main(options);
  process.exit(0);
} catch (error) {
  console.error(`packet-cost: ${error.message}`);
  process.exit(1);
}
