// Makes src/abi.gen.ts from the X-macros of include/splice/*.h and kernel/uapi/symsplice.h. Called by "npm run gen"; a unit
// test makes it again and compares. It reads only lines of the form X(NAME, value), and of the
// transition table X(FROM, EVENT, TO).
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Lists to carry over: the macro, the TypeScript names. The states of a side keep the spelling of the thesis. */
const LISTS = [
  { header: 'abi.h', macro: 'SPLICE_FLOW_STATES', name: 'FLOW_STATE', type: 'FlowStateName', of: 'States of a flow.' },
  {
    header: 'abi.h',
    macro: 'SPLICE_CLOSE_REASONS',
    name: 'CLOSE_REASON',
    type: 'CloseReason',
    of: 'Why a flow ended.',
  },
  {
    header: 'abi.h',
    macro: 'SPLICE_REACTOR_EVENTS',
    name: 'REACTOR_EVENT',
    type: 'ReactorEventName',
    of: 'What the reactor reports.',
  },
  {
    header: 'states.h',
    macro: 'SPLICE_SIDE_STATES',
    name: 'SIDE_STATE',
    type: 'SideState',
    of: 'States of one side of a flow, by the names of the thesis.',
    spelling: 'kept',
  },
  {
    header: 'states.h',
    macro: 'SPLICE_SIDE_EVENTS',
    name: 'SIDE_EVENT',
    type: 'SideEvent',
    of: 'What changes the state of a side.',
    spelling: 'kept',
  },
  {
    header: 'packet.h',
    macro: 'SPLICE_PACKET_PHASES',
    name: 'PACKET_PHASE',
    type: 'PacketPhase',
    of: 'How far a flow of the packet backend has come.',
  },
  {
    header: 'packet.h',
    macro: 'SPLICE_WAYS',
    name: 'PACKET_WAY',
    type: 'PacketWay',
    of: 'One direction of such a flow, while it is in transit.',
  },
  {
    header: 'packet.h',
    macro: 'SPLICE_PACKET_ANSWERS',
    name: 'PACKET_ANSWER',
    type: 'PacketAnswer',
    of: 'What program `control` answers.',
  },
  {
    header: 'packet-counters.h',
    macro: 'SPLICE_PACKET_COUNTERS',
    name: 'PACKET_COUNTER',
    type: 'PacketCounter',
    of: 'What the programs of the packet backend count, and the kernel module.',
  },
  {
    header: 'symsplice.h',
    macro: 'SYMSPLICE_COUNTERS',
    name: 'MODULE_COUNTER',
    type: 'ModuleCounter',
    of: 'What only the kernel module counts.',
  },
];

function read(header) {
  const directory = header === 'symsplice.h' ? 'kernel/uapi' : 'include/splice';
  return readFileSync(`${root}${directory}/${header}`, 'utf8');
}

/** The rows of an X-macro: what stands between the parentheses, and the comment behind. */
function rowsOf(text, macro) {
  const start = text.indexOf(`#define ${macro}(X)`);
  if (start < 0) throw new Error(`${macro} not found`);
  const rows = [];
  for (const line of text.slice(start).split('\n').slice(1)) {
    const match = /^\s*X\(([^)]*)\)\s*(?:\/\*\s*(.*?)\s*\*\/)?/.exec(line);
    if (match !== null) rows.push({ values: match[1].split(/,\s*/), comment: match[2] ?? '' });
    else if (!/^\s*\/\*.*\*\/\s*\\$/.test(line)) break; // a comment of its own heads a group of rows
  }
  if (rows.length === 0) throw new Error(`${macro} is empty`);
  return rows;
}

/** The text of src/abi.gen.ts, in the repository's format. */
export async function generate() {
  const version = /#define SPLICE_ABI_VERSION (\d+)/.exec(read('abi.h'))[1];
  const words = /#define SPLICE_REACTOR_WORDS (\d+)/.exec(read('abi.h'))[1];
  const out = [
    '// Made by scripts/gen-abi.mjs from include/splice/ and kernel/uapi/. Do not edit; run "npm run gen".',
    '',
    `export const ABI_VERSION = ${version};`,
    `export const REACTOR_WORDS = ${words};`,
  ];
  for (const list of LISTS) {
    const spell = (name) => (list.spelling === 'kept' ? name : name.toLowerCase().replaceAll('_', '-'));
    const rows = rowsOf(read(list.header), list.macro);
    const entries = rows.map(({ values: [name, value] }) => [spell(name), Number(value)]);
    out.push('', `/** ${list.of} */`, `export const ${list.name} = {`);
    for (const [name, value] of entries) out.push(`  ${/-/.test(name) ? `'${name}'` : name}: ${value},`);
    out.push('} as const;', `export type ${list.type} = keyof typeof ${list.name};`);
    out.push(`/** Names by value. */`);
    out.push(
      `export const ${list.name}_NAMES = [${entries.map(([name]) => `'${name}'`).join(', ')}] as const satisfies readonly ${list.type}[];`,
    );
  }
  const notes = rowsOf(read('packet-counters.h'), 'SPLICE_PACKET_COUNTERS')
    .filter(({ comment }) => comment.startsWith('note:'))
    .map(({ values: [name] }) => `'${name.toLowerCase().replaceAll('_', '-')}',`);
  out.push(
    '',
    '/** Counters of what happens on the way to an exit; each of the others is one. */',
    'export const PACKET_NOTES = [',
    ...notes,
    '] as const satisfies readonly PacketCounter[];',
  );
  const edges = rowsOf(read('states.h'), 'SPLICE_SIDE_TRANSITIONS').map(
    ({ values }) => `[${values.map((name) => `'${name}'`).join(', ')}],`,
  );
  out.push(
    '',
    '/** Edges of the state machine of a side: from, on, to. */',
    'export const SIDE_TRANSITIONS = [',
    ...edges,
    '] as const satisfies readonly (readonly [SideState, SideEvent, SideState])[];',
  );
  const options = await resolveConfig(`${root}src/abi.gen.ts`);
  return format(out.join('\n'), { ...options, parser: 'typescript' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(`${root}src/abi.gen.ts`, await generate());
}
