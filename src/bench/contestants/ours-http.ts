/** splice-http as an HTTP front of the origin: with its cache, and without. */
import path from 'node:path';
import type { Contestant, Host } from '../model.js';
import { ROOT } from '../lab/paths.js';
import { cacheRoomMib, cacheRoomMissing, inMemory } from './cache-room.js';
import { NODE, nodeMissing } from './node.js';
import { listenOf, saidBy, targetOf } from './on-host.js';

const PROGRAM = path.join(ROOT, 'dist/cli/splice-http.js');
const PATTERN = /^ours-http(-nocache)?$/;

async function programMissing(host: Host): Promise<string | undefined> {
  const node = await nodeMissing(host);
  if (node !== undefined) return node;
  return (await host.run([NODE, PROGRAM, '--version'])).code === 0
    ? undefined
    : 'symsplice is not built: scripts/build';
}

/** The default lets no object be larger than an eighth of the cache. Each worker has its share of the cache for itself. */
const cacheArguments = (directory: string, mib: number, workers: number): string[] => [
  ...['--cache-dir', directory, '--cache-size', `${mib}m`],
  ...['--cache-max-object', `${Math.floor(mib / workers)}m`],
];

/**
 * `ours-http` or `ours-http-nocache`, with more arguments of splice-http behind it, separated by spaces. Undefined if it is
 * no such name.
 */
export function oursHttp(name: string): Contestant | undefined {
  const [first = '', ...words] = name.split(' ').filter(Boolean);
  const match = PATTERN.exec(first);
  if (match === null) return undefined;
  const keeps = match[1] === undefined;
  return {
    name: [first, ...words].join(' '),
    title: ['symsplice http', ...(keeps ? [] : ['(no cache)']), ...words].join(' '),
    via: 'http',
    missing: async (host) => (await programMissing(host)) ?? (keeps ? cacheRoomMissing(host) : undefined),
    version: async (host) => `symsplice ${await saidBy(host, [NODE, PROGRAM, '--version'])}`,
    async prepare(place) {
      const cache = path.posix.join(place.scratch, 'cache');
      const mib = await cacheRoomMib(place.host);
      const directory = path.posix.join(cache, 'objects');
      return {
        command: [
          ...(keeps ? inMemory(cache, mib) : []),
          ...[NODE, PROGRAM, '--listen', listenOf(place), '--origin', `http://${targetOf(place)}`],
          ...(keeps ? cacheArguments(directory, mib, place.processors) : ['--no-cache']),
          // A thread with an event loop for each processor, as nginx has a process.
          ...['--workers', String(place.processors)],
          // As the others here: none writes a line for each request.
          '--no-access-log',
          ...words,
        ],
      };
    },
  };
}
