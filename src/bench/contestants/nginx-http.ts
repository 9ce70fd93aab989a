/** nginx as an HTTP front of the origin: with proxy_cache, and without. */
import path from 'node:path';
import type { Contestant } from '../model.js';
import { cacheRoomMib, cacheRoomMissing, inMemory } from './cache-room.js';
import { configurationName, writeConfiguration } from './configuration.js';
import { NGINX_VERSION } from './nginx.js';
import { listenOf, programMissing, targetOf, versionSaidBy } from './on-host.js';

const CACHE_CONFIG = 'nginx-cache.conf';
const PROXY_CONFIG = 'nginx-proxy.conf';

/** @param nopush whether the head of a response waits for the beginning of its file */
function cached(name: string, title: string, nopush: boolean): Contestant {
  return {
    name,
    title,
    via: 'http',
    config: configurationName(CACHE_CONFIG),
    missing: async (host) => (await programMissing(host, 'nginx')) ?? cacheRoomMissing(host),
    version: (host) => versionSaidBy(host, ['nginx', '-v'], NGINX_VERSION),
    async prepare(place) {
      const cache = path.posix.join(place.scratch, 'cache');
      const mib = await cacheRoomMib(place.host);
      const config = await writeConfiguration(place, CACHE_CONFIG, {
        WORKERS: place.processors,
        LISTEN: listenOf(place),
        TARGET: targetOf(place),
        SCRATCH: place.scratch,
        CACHE: path.posix.join(cache, 'objects'),
        SIZE: mib,
        NOPUSH: nopush ? 'on' : 'off',
      });
      return { command: [...inMemory(cache, mib), 'nginx', '-e', 'stderr', '-p', place.scratch, '-c', config] };
    },
  };
}

export const nginxCache = cached('nginx-cache', 'nginx proxy_cache', true);
export const nginxCachePush = cached('nginx-cache-push', 'nginx proxy_cache (tcp_nopush off)', false);

export const nginxProxy: Contestant = {
  name: 'nginx-proxy',
  title: 'nginx proxy_pass (no cache)',
  via: 'http',
  config: configurationName(PROXY_CONFIG),
  missing: (host) => programMissing(host, 'nginx'),
  version: (host) => versionSaidBy(host, ['nginx', '-v'], NGINX_VERSION),
  async prepare(place) {
    const config = await writeConfiguration(place, PROXY_CONFIG, {
      WORKERS: place.processors,
      LISTEN: listenOf(place),
      TARGET: targetOf(place),
      SCRATCH: place.scratch,
    });
    return { command: ['nginx', '-e', 'stderr', '-p', place.scratch, '-c', config] };
  },
};
