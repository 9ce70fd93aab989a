/** Every command that a document shows exists, with the flags it is shown with. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { benchMain } from '../../../src/cli/bench-main.js';
import { ctlMain } from '../../../src/cli/ctl-main.js';
import { parseHttpCommand } from '../../../src/cli/http-command.js';
import { parseSocksCommand } from '../../../src/cli/socks-command.js';
import { fakeEnvironment } from '../cli/fake-environment.js';
import { DOCUMENTS } from './documents.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const { scripts } = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(`${root}/package.json`, 'utf8')));

/** Lines of fenced blocks, and code in the text, cut where a shell would cut them into commands. */
function commandsIn(document: string): string[] {
  const text = readFileSync(`${root}/${document}`, 'utf8');
  const blocks = [...text.matchAll(/^```(?:sh)?\n([\s\S]*?)^```/gm)].flatMap(([, block]) => block!.split('\n'));
  const inline = [...text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
  return [...blocks, ...inline]
    .flatMap((line) => line.replace(/\s#.*$/, '').split(/&&|\||;/))
    .map((command) => command.trim().replace(/^(\$|sudo|npx) /, ''));
}

const flagsOf = (command: string) => [...command.matchAll(/--[a-z][a-z-]*/g)].map(([flag]) => flag);

async function ctlHelp(argument: string): Promise<string> {
  const environment = fakeEnvironment([argument, '--help']);
  const never = () => Promise.reject(new Error('help asks nothing'));
  const surroundings = { env: {}, uid: 0, tmpdir: '/nowhere' };
  const parts = { probeMachine: never, uninstallPacket: never, resetModule: never, hashPassword: never };
  const code = await ctlMain(environment, { surroundings, ...parts });
  return code === 0 ? environment.out() : '';
}

function socksHelp(): string {
  const environment = fakeEnvironment(['--help']);
  parseSocksCommand(environment);
  return environment.out();
}

function httpHelp(): string {
  const environment = fakeEnvironment(['--help']);
  parseHttpCommand(environment);
  return environment.out();
}

async function benchHelp(argument: string): Promise<string> {
  const environment = fakeEnvironment([...(argument === '' ? [] : [argument]), '--help']);
  const never = () => Promise.reject(new Error('help asks nothing'));
  const code = await benchMain(environment, {
    openLab: never,
    buildLoad: never,
    describeMachine: never,
    describeSymsplice: never,
    chooseContestants: () => [],
    localHost: () => {
      throw new Error('help asks nothing');
    },
  });
  return code === 0 ? environment.out() : '';
}

/** What the program says about itself; '' where the program, or its subcommand, does not exist. undefined: not ours. */
async function helpFor(command: string): Promise<string | undefined> {
  const [program = '', first = '', second = ''] = command.split(/\s+/);
  switch (program) {
    case 'splice-socks':
      return `${socksHelp()} --version`;
    case 'splice-http':
      return `${httpHelp()} --version`;
    case 'splice-ctl':
      return first === '' ? 'splice-ctl' : ctlHelp(first);
    case 'splice-bench':
      return benchHelp(first.startsWith('-') ? '' : first);
    case 'npm':
      if (first === 'start' || first === 'test') return scripts[first] === undefined ? '' : socksHelp();
      if (first !== 'run') return undefined;
      if (second === 'http') return scripts[second] === undefined ? '' : httpHelp();
      return second === 'bench' ? benchHelp('') : (scripts[second] ?? '');
    case 'node':
      if (!/^[a-z]+\/.*\.m?js$/.test(first) || first.startsWith('dist/')) return undefined;
      return existsSync(`${root}/${first}`) ? first : '';
    default:
      if (!program.startsWith('scripts/') || program.endsWith('/')) return undefined;
      return existsSync(`${root}/${program}`) ? readFileSync(`${root}/${program}`, 'utf8') : '';
  }
}

test.each(DOCUMENTS)('%s', async (document) => {
  const wrong: string[] = [];
  for (const command of commandsIn(document)) {
    const help = await helpFor(command);
    if (help === undefined) continue;
    const known = new Set(flagsOf(help.replace(/Examples:[\s\S]*/, '')).concat('--version'));
    const ownFlags = flagsOf(command.replace(/--ours-args=[^"]*"?/, '--ours-args'));
    if (help === '' || ownFlags.some((flag) => !known.has(flag))) wrong.push(command);
  }
  expect(wrong).toEqual([]);
});

test('commands are found in the documents', async () => {
  const ours = await Promise.all(
    commandsIn('README.md').map(async (command) => (await helpFor(command)) !== undefined),
  );
  expect(ours.filter(Boolean).length).toBeGreaterThan(5);
});
