/** Doctor: what really loads and really moves bytes here. The addon tries, this file names the rows. */
import { release } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { native, type Native } from '../native.js';
import { BpfObject } from './bpf-object.js';
import { rowOfAnswer } from './doctor-row.js';
import type { Capability } from './doctor.js';
import { atLeast, parseKernelVersion } from './machine-facts.js';

/** The addon's probes: 1 works, 0 not in this kernel, negative errno not permitted or not decided. */
export interface NativeProbe {
  programType(name: string): number;
  mapType(name: string): number;
  helper(programType: string, name: string): number;
  clsact(): number;
  splice(): number;
  tee(): number;
  tcpRepair(): number;
}

const UPGRADE = 'needs a newer kernel, or one built with the matching CONFIG_BPF_*, CONFIG_NET_* option';

const PROGRAM_TYPES = [
  { name: 'sched_cls', enables: 'packet: rewriting segments at tc ingress' },
  { name: 'sk_skb', enables: 'sockmap: handing segments from socket to socket' },
  { name: 'cgroup_sock_addr', enables: 'hooks on connect(2), later' },
] as const;

const MAP_TYPES = [
  { name: 'hash', enables: 'packet, sockmap: flows' },
  { name: 'array', enables: 'packet: what is known of each flow' },
  { name: 'percpu_array', enables: 'packet, sockmap: counters' },
  { name: 'sockhash', enables: 'sockmap: the sockets' },
  { name: 'ringbuf', enables: 'packet: events to user space' },
] as const;

const HELPERS = [
  { type: 'sched_cls', name: 'bpf_redirect_neigh', enables: 'packet: next hop and link address by the kernel' },
  { type: 'sched_cls', name: 'bpf_skc_lookup_tcp', enables: 'packet: the sockets of a flow in transition' },
  { type: 'sched_cls', name: 'bpf_skc_to_tcp_sock', enables: 'packet: their sequence numbers' },
  { type: 'sched_cls', name: 'bpf_csum_diff', enables: 'packet: checksums' },
  { type: 'sk_skb', name: 'bpf_skc_to_tcp_sock', enables: 'sockmap: bounded memory by what the peer acknowledged' },
  { type: 'sk_skb', name: 'bpf_sk_redirect_hash', enables: 'sockmap: the redirect itself' },
] as const;

/** The probes, or why the addon is not there. */
function loadProbe(): { probe: NativeProbe } | { problem: string } {
  try {
    return { probe: (native() as Native & { probe: NativeProbe }).probe };
  } catch (error) {
    return { problem: error instanceof Error ? error.message.split('\n')[0]! : String(error) };
  }
}

function clsactRow(answer: number | string): Capability {
  const row = { group: 'relay', name: 'clsact qdisc', enables: 'packet: where its programs are attached' };
  // The probe wants more than the backend: a network namespace of its own, to leave nothing behind.
  if (typeof answer === 'number' && answer < 0 && getSystemErrorName(answer) === 'EPERM') {
    const found = 'unknown: the probe needs CAP_SYS_ADMIN, for a network namespace of its own';
    return { ...row, status: 'limited', found, advice: 'run splice-ctl doctor as root to know' };
  }
  return rowOfAnswer(row, answer, 'needs a kernel built with CONFIG_NET_SCH_INGRESS (module sch_ingress)');
}

/** The rows for these probes. */
export function probeRows(loaded: { probe: NativeProbe } | { problem: string }): Capability[] {
  const ask = (question: (probe: NativeProbe) => number): number | string =>
    'probe' in loaded ? question(loaded.probe) : loaded.problem;
  return [
    ...PROGRAM_TYPES.map(({ name, enables }) =>
      rowOfAnswer(
        { group: 'BPF programs', name, enables },
        ask((probe) => probe.programType(name)),
        UPGRADE,
      ),
    ),
    ...MAP_TYPES.map(({ name, enables }) =>
      rowOfAnswer(
        { group: 'BPF maps', name, enables },
        ask((probe) => probe.mapType(name)),
        UPGRADE,
      ),
    ),
    ...HELPERS.map(({ type, name, enables }) =>
      rowOfAnswer(
        { group: 'BPF helpers', name: `${name} (${type})`, enables },
        ask((probe) => probe.helper(type, name)),
        UPGRADE,
      ),
    ),
    clsactRow(ask((probe) => probe.clsact())),
    rowOfAnswer(
      { group: 'relay', name: 'TCP_REPAIR', enables: 'packet: closing the sockets of a flow without a segment' },
      ask((probe) => probe.tcpRepair()),
      'needs a kernel built with CONFIG_CHECKPOINT_RESTORE',
    ),
    rowOfAnswer(
      { group: 'relay', name: 'splice(2)', enables: 'splice: moving bytes without copying them to user space' },
      ask((probe) => probe.splice()),
      'without it, flows are copied; look for a seccomp filter that forbids splice',
    ),
    rowOfAnswer(
      { group: 'relay', name: 'tee(2)', enables: 'taps: a second reader of spliced bytes' },
      ask((probe) => probe.tee()),
      'without it, tapped flows are copied; look for a seccomp filter that forbids tee',
    ),
  ];
}

/** Loads the real object of the sockmap backend and lets it go again. */
function sockmapRow(): Capability {
  const row = { group: 'relay', name: 'sockmap relay', enables: 'backend sockmap, when asked for' };
  const version = parseKernelVersion(release());
  if (version !== undefined && !atLeast(version, 6, 6)) {
    return { ...row, status: 'missing', found: `Linux ${release()}`, advice: 'needs 6.6; use splice' };
  }
  let object: BpfObject | undefined;
  try {
    object = BpfObject.open('sockmap', { sizes: { peers: 2, halves: 2, copied: 2 } });
    object.load();
    object.attach('relay_verdict', 'peers');
    const tag = object.programs[0]?.tag ?? '';
    if (version !== undefined && !atLeast(version, 6, 16)) {
      return {
        ...row,
        status: 'limited',
        found: `loads, program ${tag}`,
        advice: 'crashes and stalls were fixed until 6.16: prefer splice',
      };
    }
    return { ...row, status: 'ok', found: `loads, program ${tag}`, advice: '' };
  } catch (error) {
    const message = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    return { ...row, status: 'missing', found: message, advice: 'see the rows above; splice needs none of it' };
  } finally {
    object?.close();
  }
}

export async function probeBpf(): Promise<Capability[]> {
  return [...probeRows(loadProbe()), sockmapRow()];
}
