/**
 * The labs of ring 3 that ring 4 runs over the kernel module: a host has no module of ours, the guest has. This list is the
 * only one; every lab is in it, or among those that are not, with the reason.
 */
import type { Job } from './root.js';

export interface GuestLab {
  /** Of `test/lab/NAME.test.ts`. */
  readonly name: string;
  /** Part of the ring; the others run when they are asked for by name. */
  readonly usual?: boolean;
  /** What it runs that the guest has for no other reason; a path stays the same there. */
  readonly programs?: readonly string[];
}

const forSsh = ['ssh', 'sshd', 'ssh-keygen', 'nc'];
const forGit = [
  'git',
  // What a session of ssh finds, and what git itself looks for.
  '/usr/bin/git-upload-pack',
  '/usr/bin/git-receive-pack',
  '/usr/lib/git-core/git-remote-http',
  '/usr/lib/git-core/git-http-backend',
];

export const labs: readonly GuestLab[] = [
  { name: 'crowd' },
  { name: 'curl', programs: ['curl', 'nginx'] },
  { name: 'curl-password', programs: ['curl', 'nginx'] },
  { name: 'dead-peer' },
  { name: 'git', programs: [...forSsh, ...forGit] },
  { name: 'half-close' },
  { name: 'hand-over' },
  { name: 'limits' },
  { name: 'npm-socks' },
  { name: 'packet-adversary', usual: true },
  { name: 'packet-impaired' },
  { name: 'packet-midstream' },
  { name: 'packet-operation' },
  { name: 'packet-order' },
  { name: 'packet-peers' },
  { name: 'packet-router' },
  { name: 'packet-surprises' },
  { name: 'packet-throttled' },
  { name: 'reset' },
  { name: 'slow-reader' },
  { name: 'ssh', programs: forSsh },
];

const noFlow = 'no flow that the module could carry';
const http = 'splice-http moves messages, which end before their connections do: the module carries whole connections';
export const onHostsOnly: Readonly<Record<string, string>> = {
  'bench-hosts': noFlow,
  'bench-http': noFlow,
  'bench-quick': noFlow,
  'http-adversary': http,
  'http-cache': http,
  'http-faults': http,
  'http-forward': http,
  'http-nginx': http,
  'http-operation': http,
  'http-proxy-protocol': http,
  'http-relay': http,
  'http-smuggling': http,
  'http-tls': http,
  'packet-recovery': 'backend auto, which takes the packet backend where both can be had',
  'packet-tools': 'it proves the tools of the packet labs where the kernel itself forwards',
  bulk: 'two files of a gigabyte are more than the guest has memory; packet-order and packet-throttled move 100 MB a flow',
  operation: 'what differs where the kernel has the flows is in packet-operation',
  replies: noFlow,
  'wrong-input': noFlow,
};

/** What the guest's shell is to run. */
export const labJob = ({ name }: GuestLab): Job => ({
  name: `lab/${name}`,
  command: `env SYMSPLICE_LAB_BACKENDS=module node build/test/lab/${name}.test.js`,
});
