/** Varnish as an HTTP front of the origin. */
import path from 'node:path';
import { bare } from '../lab/addresses.js';
import type { Contestant } from '../model.js';
import { cacheRoomMib, cacheRoomMissing, inMemory } from './cache-room.js';
import { configurationName, configurationPath, writeConfiguration } from './configuration.js';
import { listenOf, programMissing, versionSaidBy } from './on-host.js';

const PROGRAM = 'varnish.sh';
const VCL = 'varnish.vcl';
/** Of the directory with its log and its compiled rules; objects are in the process. */
const WORK_MIB = 256;

export const varnish: Contestant = {
  name: 'varnish',
  title: 'Varnish',
  via: 'http',
  config: configurationName(PROGRAM),
  async missing(host) {
    // It compiles its rules when it starts.
    for (const program of ['varnishd', 'cc']) {
      const missing = await programMissing(host, program);
      if (missing !== undefined) return missing;
    }
    return cacheRoomMissing(host);
  },
  version: (host) => versionSaidBy(host, ['varnishd', '-V'], /varnish-[\d.]*\d/),
  async prepare(place) {
    const directory = path.posix.join(place.scratch, 'varnish');
    const vcl = await writeConfiguration(place, VCL, { HOST: bare(place.addresses.target), PORT: place.targetPort });
    const storage = await cacheRoomMib(place.host);
    const args = [directory, vcl, listenOf(place), String(storage), String(place.processors)];
    return { command: [...inMemory(directory, WORK_MIB), 'sh', configurationPath(PROGRAM), ...args] };
  },
};
