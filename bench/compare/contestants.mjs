// SPDX-License-Identifier: MIT
//
// Who takes part, and how each one is started on the proxy host. `via` says how the load generator
// reaches the server: `socks5` through the proxy, `relay` straight to the proxy (fixed target), `direct`
// to the server's own address (routed). command() gets a directory that it may write to.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ADDRESS } from './lab.mjs';

export const PROXY_PORT = 1080;
export const SERVER_PORT = 7000;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const root = here('../..');
const CLI = join(root, 'dist/cli/splice-socks.js');

const onPath = (name) =>
  [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'].some((dir) => existsSync(join(dir, name)));

const program = (name) => (onPath(name) ? undefined : `${name} is not installed`);

function haproxy(name, config) {
  return {
    name,
    via: 'relay',
    missing: () => program('haproxy'),
    command: () => ['haproxy', '-db', '-f', here(`../contestants/${config}`)],
    env: () => ({
      BENCH_THREADS: String(availableParallelism()),
      BENCH_PORT: String(PROXY_PORT),
      BENCH_TARGET: `${ADDRESS.target}:${SERVER_PORT}`,
    }),
  };
}

/** Ours on one backend; `extra` is appended to the command line (--ours-args). */
function ours(backend, extra) {
  return {
    name: `ours-${backend}`,
    via: 'socks5',
    missing: () => (existsSync(CLI) ? undefined : 'dist/cli/splice-socks.js is not built'),
    command: () => [
      process.execPath,
      CLI,
      '--backend',
      backend,
      '--listen',
      `0.0.0.0:${PROXY_PORT}`,
      '--open',
      ...extra,
    ],
  };
}

const PEERS = [
  { name: 'router', via: 'direct', missing: () => undefined, command: () => undefined },
  haproxy('haproxy-splice', 'haproxy-splice.cfg'),
  haproxy('haproxy-copy', 'haproxy-copy.cfg'),
  {
    name: 'microsocks',
    via: 'socks5',
    missing: () => program('microsocks'),
    command: () => ['microsocks', '-i', '0.0.0.0', '-p', String(PROXY_PORT)],
  },
  {
    name: 'dante',
    via: 'socks5',
    missing: () => program('danted'),
    command: (scratch) => {
      const servers = String(availableParallelism());
      return ['danted', '-N', servers, '-f', here('../contestants/danted.conf'), '-p', join(scratch, 'danted.pid')];
    },
  },
  {
    name: 'node-socks',
    via: 'socks5',
    missing: () => undefined,
    command: () => [process.execPath, here('../contestants/node-socks.mjs'), String(PROXY_PORT)],
  },
];

const DEFAULT_BACKENDS = ['splice', 'copy', 'sockmap'];

/** Contestants by name, or all; `ours-X` is accepted for any backend X. */
export function chooseContestants(names, oursArgs) {
  const all = [...PEERS, ...DEFAULT_BACKENDS.map((backend) => ours(backend, oursArgs))];
  if (!names) return all;
  return names.map((name) => {
    const known = all.find((one) => one.name === name);
    if (known) return known;
    if (/^ours-\w+$/.test(name)) return ours(name.slice('ours-'.length), oursArgs);
    throw new Error(`no contestant "${name}"; there are ${all.map((one) => one.name).join(', ')}`);
  });
}
