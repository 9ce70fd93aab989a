/** Doctor: who runs this process, and what the kernel lets it do. */
import { PRIVILEGE_ADVICE } from './doctor-row.js';
import type { Capability } from './doctor.js';
import {
  hasCapability,
  parseEffectiveCapabilities,
  readText,
  type CapabilityName,
  type FileText,
} from './machine-facts.js';

const CAPABILITIES: readonly { name: CapabilityName; enables: string; advice: string }[] = [
  { name: 'CAP_BPF', enables: 'loading BPF programs: packet, sockmap', advice: PRIVILEGE_ADVICE },
  {
    name: 'CAP_NET_ADMIN',
    enables: 'BPF on the network, tc filters, TCP_REPAIR: packet, sockmap',
    advice: PRIVILEGE_ADVICE,
  },
  { name: 'CAP_PERFMON', enables: 'BPF programs that read kernel fields: packet, sockmap', advice: PRIVILEGE_ADVICE },
  {
    name: 'CAP_SYS_ADMIN',
    enables: 'packet: adopting flows that an earlier process left; includes CAP_BPF and CAP_PERFMON',
    advice: 'without it, a restart with flows left in the kernel runs on splice until they have ended',
  },
  {
    name: 'CAP_NET_RAW',
    enables: 'packet: resetting, and asking for a sign of life, where a flow has no socket any more',
    advice: PRIVILEGE_ADVICE,
  },
  {
    name: 'CAP_SYS_RESOURCE',
    enables: 'larger pipes and more open files than the limits below',
    advice: 'only needed above those limits; raise them instead (LimitNOFILE=, sysctl fs.pipe-user-pages-soft)',
  },
  {
    name: 'CAP_NET_BIND_SERVICE',
    enables: 'listening on ports below 1024',
    advice: 'use a port from 1024 on, socket activation, or AmbientCapabilities=CAP_NET_BIND_SERVICE',
  },
];

/** The rows for a process with this user id and this /proc/self/status. */
export function privilegeRows(uid: number, status: FileText): Capability[] {
  const group = 'privilege';
  const rows: Capability[] = [
    uid === 0
      ? { group, name: 'user', status: 'ok', found: 'root', enables: 'every backend', advice: '' }
      : {
          group,
          name: 'user',
          status: 'limited',
          found: `uid ${uid}`,
          enables: 'splice and copy need no privilege; packet and sockmap do',
          advice: PRIVILEGE_ADVICE,
        },
  ];
  const set = 'text' in status ? parseEffectiveCapabilities(status.text) : undefined;
  for (const { name, enables, advice } of CAPABILITIES) {
    if (set === undefined) {
      const why = 'problem' in status ? status.problem : 'no CapEff line in /proc/self/status';
      rows.push({ group, name, status: 'limited', found: `unknown: ${why}`, enables, advice: '' });
      continue;
    }
    const included = (name === 'CAP_BPF' || name === 'CAP_PERFMON') && hasCapability(set, 'CAP_SYS_ADMIN');
    const held = hasCapability(set, name);
    rows.push({
      group,
      name,
      status: held || included ? 'ok' : 'missing',
      found: held ? 'held' : included ? 'by CAP_SYS_ADMIN' : 'not held',
      enables,
      advice: held || included ? '' : advice,
    });
  }
  return rows;
}

export function probePrivilege(): Capability[] {
  return privilegeRows(process.geteuid?.() ?? -1, readText('/proc/self/status'));
}
