/** What the load generator is told: its arguments for a workload, for the way to the server, and for what it watches. */
import { assertNever } from '../errors.js';
import type { Addresses, Lab, Running, Via, Workload } from './model.js';

/** Contestants listen here, on the proxy. */
export const PROXY_PORT = 1080;
/** The load generator's own server listens here. */
export const TARGET_PORT = 7000;

/** Through a relay the load generator speaks to the relay as if it were the server: to it, that is a direct way. */
export function routeArguments(via: Via, addresses: Addresses): string[] {
  const target = `${addresses.target}:${TARGET_PORT}`;
  const proxy = `${addresses.proxy}:${PROXY_PORT}`;
  const source = ['--source', addresses.sources];
  switch (via) {
    case 'direct':
      return ['--via', 'direct', '--target', target, ...source];
    case 'relay':
    case 'http':
      return ['--via', 'direct', '--target', proxy, ...source];
    case 'socks5':
    case 'connect':
      return ['--via', via, '--proxy', proxy, '--target', target, ...source];
    default:
      return assertNever(via);
  }
}

/** The least traffic that shows that a contestant works: never from a cache. */
export function readyArguments(via: Via): string[] {
  const mode = via === 'http' ? ['http', '--cold'] : ['ping'];
  return ['--mode', ...mode, '--count', '1', '--timeout', '2'];
}

export function workloadArguments({ mode, connections, size, args = [] }: Workload): string[] {
  const sized = size === undefined ? [] : ['--size', String(size)];
  return ['--mode', mode, '--connections', String(connections), ...sized, ...args];
}

/**
 * Whose packets and processes it counts. On machines of their own it sees neither the proxy's nor the server's: their
 * numbers are other processes there.
 */
export function watchArguments(lab: Lab, server: Running, proxy: Running | undefined): string[] {
  const link = lab.client.links.proxy;
  const wire = link === undefined ? [] : ['--interface', link];
  if (!lab.oneMachine) return wire;
  return [...wire, '--server-pid', String(server.pid), ...(proxy === undefined ? [] : ['--pid', String(proxy.pid)])];
}
