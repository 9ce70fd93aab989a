/** No proxy at all: the host in the middle forwards packets. What is left when a relay costs nothing. */
import type { Contestant } from '../model.js';
import { saidBy } from './on-host.js';

export const router: Contestant = {
  name: 'router',
  title: 'kernel router (no proxy)',
  via: 'direct',
  missing: async (host) => host.bypassed,
  version: async (host) => `Linux ${await saidBy(host, ['uname', '-r'])}`,
  prepare: async () => undefined,
};
