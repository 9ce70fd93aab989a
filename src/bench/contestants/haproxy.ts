/** HAProxy in TCP mode with a fixed target, by splice(2) and by copying. */
import type { Contestant } from '../model.js';
import { configurationName, configurationPath } from './configuration.js';
import { programMissing, targetOf, versionSaidBy } from './on-host.js';

/** With more it does not start; versions with several groups of threads want them described. */
const MOST_THREADS = 64;

function haproxy(name: string, title: string): Contestant {
  const file = `${name}.cfg`;
  return {
    name,
    title,
    via: 'relay',
    config: configurationName(file),
    missing: (host) => programMissing(host, 'haproxy'),
    version: (host) => versionSaidBy(host, ['haproxy', '-v'], /HAProxy version \S+/),
    prepare: async (place) => ({
      command: ['haproxy', '-db', '-f', configurationPath(file)],
      env: {
        BENCH_THREADS: String(Math.min(MOST_THREADS, place.processors)),
        BENCH_LISTEN: `ipv${place.addresses.family}@:${place.proxyPort}`,
        BENCH_TARGET: targetOf(place),
      },
    }),
  };
}

export const haproxySplice = haproxy('haproxy-splice', 'HAProxy (splice)');
export const haproxyCopy = haproxy('haproxy-copy', 'HAProxy (copy)');
