/** What a Node programmer would write first: net.Server and pipe(), with a fixed target and as a SOCKS server. */
import type { Contestant, Host } from '../model.js';
import { configurationName, configurationPath } from './configuration.js';
import { saidBy, targetOf } from './on-host.js';

/** The Node that runs the benchmark, at the same place on every host. */
export const NODE = process.execPath;

export async function nodeMissing(host: Host): Promise<string | undefined> {
  const { code } = await host.run([NODE, '--version']);
  return code === 0 ? undefined : `there is no Node at ${NODE} on the ${host.name} host: install it there or link it`;
}

const nodeVersion = async (host: Host): Promise<string> => `Node ${await saidBy(host, [NODE, '--version'])}`;

export const nodeRelay: Contestant = {
  name: 'node-relay',
  title: 'Node relay (pipe)',
  via: 'relay',
  config: configurationName('node-relay.mjs'),
  missing: nodeMissing,
  version: nodeVersion,
  prepare: async (place) => ({
    command: [NODE, configurationPath('node-relay.mjs'), String(place.proxyPort), targetOf(place)],
  }),
};

export const nodeSocks: Contestant = {
  name: 'node-socks',
  title: 'Node SOCKS server (pipe)',
  via: 'socks5',
  config: configurationName('node-socks.mjs'),
  missing: nodeMissing,
  version: nodeVersion,
  prepare: async (place) => ({
    command: [NODE, configurationPath('node-socks.mjs'), String(place.proxyPort)],
  }),
};
