// Makes src/abi.gen.ts from the X-macros of include/splice/*.h. Called by "npm run gen"; a unit
// test makes it again and compares. It reads only lines of the form X(NAME, value).
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Lists to carry over: the macro, the TypeScript names. */
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
];

function read(header) {
  return readFileSync(`${root}include/splice/${header}`, 'utf8');
}

function entriesOf(text, macro) {
  const start = text.indexOf(`#define ${macro}(X)`);
  if (start < 0) throw new Error(`${macro} not found`);
  const entries = [];
  for (const line of text.slice(start).split('\n').slice(1)) {
    const match = /^\s*X\((\w+),\s*(\d+)\)/.exec(line);
    if (match === null) break;
    entries.push([match[1], Number(match[2])]);
  }
  if (entries.length === 0) throw new Error(`${macro} is empty`);
  return entries;
}

/** The text of src/abi.gen.ts, in the repository's format. */
export async function generate() {
  const version = /#define SPLICE_ABI_VERSION (\d+)/.exec(read('abi.h'))[1];
  const words = /#define SPLICE_REACTOR_WORDS (\d+)/.exec(read('abi.h'))[1];
  const out = [
    '// Made by scripts/gen-abi.mjs from include/splice/. Do not edit; run "npm run gen".',
    '',
    `export const ABI_VERSION = ${version};`,
    `export const REACTOR_WORDS = ${words};`,
  ];
  for (const list of LISTS) {
    const entries = entriesOf(read(list.header), list.macro).map(([name, value]) => [
      name.toLowerCase().replaceAll('_', '-'),
      value,
    ]);
    out.push('', `/** ${list.of} */`, `export const ${list.name} = {`);
    for (const [name, value] of entries) out.push(`  ${/-/.test(name) ? `'${name}'` : name}: ${value},`);
    out.push('} as const;', `export type ${list.type} = keyof typeof ${list.name};`);
    out.push(`/** Names by value. */`);
    out.push(
      `export const ${list.name}_NAMES = [${entries.map(([name]) => `'${name}'`).join(', ')}] as const satisfies readonly ${list.type}[];`,
    );
  }
  const options = await resolveConfig(`${root}src/abi.gen.ts`);
  return format(out.join('\n'), { ...options, parser: 'typescript' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(`${root}src/abi.gen.ts`, await generate());
}
