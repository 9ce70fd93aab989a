/** Networks of proxies before this one, as a question: does what a proxy with that address says of its client count? */
import { TRUST_NOBODY } from '../http/forwarded.js';
import type { Trust } from '../http/forwarded.js';
import { contains, parseAddress, parseNetwork } from '../socks/address.js';

const MOST_REMEMBERED = 256;

/** `networks` were read by the configuration. Asked for every request that is forwarded, mostly about the same peers. */
export function trustOf(networks: readonly string[]): Trust {
  if (networks.length === 0) return TRUST_NOBODY;
  const trusted = networks.map(parseNetwork).filter((network) => typeof network !== 'string');
  const remembered = new Map<string, boolean>();
  return (text) => {
    const known = remembered.get(text);
    if (known !== undefined) return known;
    const address = parseAddress(text);
    const answer = address !== undefined && trusted.some((network) => contains(network, address));
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    remembered.set(text, answer);
    return answer;
  };
}
