/** How one machine reaches another: the answer of `ip -j route get`. */
import { z } from 'zod';
import { SpliceError } from '../../errors.js';
import type { Host } from '../model.js';

const answer = z.tuple([
  z.object({
    /** The interface. */
    dev: z.string(),
    /** The address that a connection has as its own. */
    prefsrc: z.string().optional(),
    /** The next host; absent if the address is on the same link. */
    gateway: z.string().optional(),
    type: z.string().optional(),
  }),
]);

export interface Route {
  readonly dev: string;
  readonly prefsrc: string | undefined;
  readonly gateway: string | undefined;
  /** Whether the address is the machine's own. */
  readonly local: boolean;
}

export function parseRoute(text: string): Route | undefined {
  try {
    const [{ dev, prefsrc, gateway, type }] = answer.parse(JSON.parse(text));
    return { dev, prefsrc, gateway, local: type === 'local' };
  } catch {
    return undefined;
  }
}

/** Throws when there is no way, and when there is nothing on it: nobody would be measured between a machine and itself. */
export async function routeTo(host: Host, address: string): Promise<Route> {
  const { out, err } = await host.run(['ip', '-j', 'route', 'get', address]);
  const route = parseRoute(out);
  if (route?.local === false) return route;
  const why =
    route === undefined
      ? `has no way to ${address}: ${err.trim() || out.trim()}`
      : `has ${address} itself, which another host should have`;
  throw new SpliceError('ERR_SPLICE_SYSTEM', `the ${host.name} host ${why}; give the right --addresses`);
}
