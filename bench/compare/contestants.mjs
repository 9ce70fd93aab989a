// SPDX-License-Identifier: MIT
//
// Who takes part, and how each one is started on the proxy host. `via` says how the load generator
// reaches the server: `socks5` through the proxy, `relay` straight to the proxy (fixed target), `direct`
// to the server's own address (routed). command() gets the addresses in use (lab.mjs) and a directory
// that it may write to.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
    env: (address) => ({
      BENCH_THREADS: String(availableParallelism()),
      BENCH_LISTEN: `ipv${address.family}@:${PROXY_PORT}`,
      BENCH_TARGET: `${address.target}:${SERVER_PORT}`,
    }),
  };
}

/** What `-now` behind a backend's name stands for: every flow is spliced at once, however short it may be. */
const NOW = ['--packet-after-bytes', '0', '--packet-after-time', '0'];

/** Ours on one backend; `extra` is appended to the command line. */
export function ours(name, extra) {
  const [, backend, now] = /^ours-([a-z]+)(-now)?$/.exec(name.split(' ')[0]);
  return {
    name,
    via: 'socks5',
    missing: () => (existsSync(CLI) ? undefined : 'dist/cli/splice-socks.js is not built'),
    command: (address) => [
      process.execPath,
      CLI,
      '--backend',
      backend,
      '--listen',
      `${address.any}:${PROXY_PORT}`,
      '--open',
      ...(now ? NOW : []),
      ...name.split(' ').slice(1),
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
    command: (address) => ['microsocks', '-i', address.any.replace(/[[\]]/g, ''), '-p', String(PROXY_PORT)],
  },
  {
    name: 'dante',
    via: 'socks5',
    missing: () => program('danted'),
    command: (_address, scratch) => {
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

const DEFAULT_OURS = ['ours-packet', 'ours-splice', 'ours-copy', 'ours-sockmap'];

/**
 * Contestants by name, or all. `ours-X` is accepted for any backend X, `ours-X-now` for one that splices at once,
 * and more words behind it are more arguments: "ours-packet --packet-after-time 20ms".
 */
export function chooseContestants(names, oursArgs) {
  const all = [...PEERS, ...DEFAULT_OURS.map((name) => ours(name, oursArgs))];
  if (!names) return all;
  return names.map((name) => {
    const known = all.find((one) => one.name === name);
    if (known) return known;
    if (/^ours-[a-z]+(-now)?( |$)/.test(name)) return ours(name, oursArgs);
    throw new Error(`no contestant "${name}"; there are ${all.map((one) => one.name).join(', ')}`);
  });
}
