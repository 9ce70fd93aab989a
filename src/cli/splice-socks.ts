#!/usr/bin/env -S UV_THREADPOOL_SIZE=32 node
/** The SOCKS proxy. Everything is in socks-main.ts; here it meets the real process. */
import { readFile } from 'node:fs/promises';
import { Rules } from '../socks/rules.js';
import { Users } from '../socks/users.js';
import { ConfigError } from '../errors.js';
import { processEnvironment } from './environment.js';
import { socksMain } from './socks-main.js';

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`cannot be read: ${why}; check the path and its permissions`, { file: path }, { cause });
  }
}

const code = await socksMain(processEnvironment(), {
  checks: {
    users: async (path) => `${Users.parse(await read(path), path).size} user(s)`,
    rules: async (path, config) => {
      const rules = Rules.parse(await read(path), path);
      const idle = rules.namesUsers && config.users === undefined;
      return `${rules.size} rule(s)${idle ? '; those that name users never match, because no users file is set' : ''}`;
    },
  },
  loadServer: async () => {
    const { startSocksServer } = await import('../server/socks-start.js');
    const { native } = await import('../native.js');
    return { start: startSocksServer, notify: (path, text) => native().notify(path, text) };
  },
});
// Not exitCode: a timer or handle that some library left behind must not keep a stopped server alive.
process.exit(code);
