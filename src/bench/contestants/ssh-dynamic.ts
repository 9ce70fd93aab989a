/**
 * `ssh -D`: a SOCKS server in the ssh client, whose connections an sshd opens. Both run on the proxy host and talk to
 * each other over loopback, encrypted: that leg, on the same machine, is what it costs more than a proxy.
 */
import path from 'node:path';
import type { Contestant } from '../model.js';
import { configurationName, configurationPath } from './configuration.js';
import { listenOf, mustRun, programMissing, versionSaidBy } from './on-host.js';

const PROGRAM = 'ssh-dynamic.sh';

export const sshDynamic: Contestant = {
  name: 'ssh-dynamic',
  title: 'ssh -D (encrypted between ssh and sshd)',
  via: 'socks5',
  config: configurationName(PROGRAM),
  async missing(host) {
    for (const program of ['ssh', 'sshd', 'ssh-keygen']) {
      const missing = await programMissing(host, program);
      if (missing !== undefined) return missing;
    }
    return undefined;
  },
  version: (host) => versionSaidBy(host, ['ssh', '-V'], /OpenSSH_[^ ,]+/),
  async prepare(place) {
    const directory = path.posix.join(place.scratch, 'ssh');
    const script = `rm -rf "$1" && mkdir -m 700 "$1" && cd "$1" && for key in host user; do
      ssh-keygen -q -t ed25519 -N '' -f "$key" || exit 1; done`;
    await mustRun(place.host, ['sh', '-c', script, 'sh', directory]);
    return { command: ['sh', configurationPath(PROGRAM), directory, listenOf(place)] };
  },
};
