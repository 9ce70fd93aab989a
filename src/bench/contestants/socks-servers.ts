/** The SOCKS servers of C that people use: Dante and microsocks. */
import path from 'node:path';
import type { Contestant } from '../model.js';
import { configurationName, writeConfiguration } from './configuration.js';
import { anyOf, packageVersion, programMissing, versionSaidBy } from './on-host.js';

const DANTE_CONFIG = 'dante.conf';

export const dante: Contestant = {
  name: 'dante',
  title: 'Dante',
  via: 'socks5',
  config: configurationName(DANTE_CONFIG),
  missing: (host) => programMissing(host, 'danted'),
  version: (host) => versionSaidBy(host, ['danted', '-v'], /Dante v[\w.]*\w/),
  async prepare(place) {
    const { links } = place.host;
    const config = await writeConfiguration(place, DANTE_CONFIG, {
      PORT: place.proxyPort,
      INTERNAL: links.client ?? '',
      EXTERNAL: links.server ?? '',
    });
    const pid = path.posix.join(place.scratch, 'danted.pid');
    // Its manual: several main servers (-N) where one cannot use all processors.
    return { command: ['danted', '-N', String(place.processors), '-f', config, '-p', pid] };
  },
};

export const microsocks: Contestant = {
  name: 'microsocks',
  title: 'microsocks',
  via: 'socks5',
  missing: (host) => programMissing(host, 'microsocks'),
  version: (host) => packageVersion(host, 'microsocks'),
  prepare: async ({ addresses, proxyPort }) => ({
    command: ['microsocks', '-i', anyOf(addresses), '-p', String(proxyPort)],
  }),
};
