/** Who takes part in the benchmark, and how they are chosen by name. */
import { SpliceArgumentError } from '../../errors.js';
import type { Contestant } from '../model.js';
import { haproxyCopy, haproxySplice } from './haproxy.js';
import { nginxCache, nginxCachePush, nginxProxy } from './nginx-http.js';
import { nginxStream } from './nginx.js';
import { nodeRelay, nodeSocks } from './node.js';
import { oursHttp } from './ours-http.js';
import { ours } from './ours.js';
import { router } from './router.js';
import { dante, microsocks } from './socks-servers.js';
import { sshDynamic } from './ssh-dynamic.js';
import { varnish } from './varnish.js';

const PEERS: readonly Contestant[] = [
  router,
  haproxySplice,
  haproxyCopy,
  nginxStream,
  microsocks,
  dante,
  sshDynamic,
  nodeRelay,
  nodeSocks,
  nginxCache,
  nginxCachePush,
  nginxProxy,
  varnish,
];

const OURS_HTTP = ['ours-http', 'ours-http-nocache'] as const;
const OURS = ['ours-packet', 'ours-splice', 'ours-copy', 'ours-sockmap'] as const;

/** @param oursArgs more arguments of splice-socks, for all of ours */
export function allContestants(oursArgs: readonly string[] = []): Contestant[] {
  return [
    ...PEERS,
    ...OURS.flatMap((name) => ours(name, oursArgs) ?? []),
    ...OURS_HTTP.flatMap((name) => oursHttp(name) ?? []),
  ];
}

/** By name, in the order of the names, or all of them. A name that nobody has throws with those that there are. */
export function chooseContestants(
  names: readonly string[] | undefined,
  oursArgs: readonly string[] = [],
): Contestant[] {
  const all = allContestants(oursArgs);
  if (names === undefined) return all;
  return [...new Set(names.map((name) => name.trim()))].map((name) => {
    const chosen = all.find((one) => one.name === name) ?? oursHttp(name) ?? ours(name, oursArgs);
    if (chosen !== undefined) return chosen;
    const known = all.map((one) => one.name).join(', ');
    throw new SpliceArgumentError(
      `no contestant is called "${name}"; there are ${known}; "-now" behind ours splices at once, further words are arguments`,
    );
  });
}
