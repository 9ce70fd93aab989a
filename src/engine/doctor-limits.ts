/** Doctor: limits that decide how many flows fit, and how fast connections may come and go. */
import { rowOfFile } from './doctor-row.js';
import type { Capability } from './doctor.js';
import {
  fullSizePipes,
  hasCapability,
  parseCount,
  parseEffectiveCapabilities,
  parseOpenFileLimits,
  parsePortRange,
  readText,
  type FileText,
} from './machine-facts.js';

const group = 'limits';

/** A flow holds two descriptors, and two more for its pipe while it is spliced. */
const DESCRIPTORS_PER_FLOW = 4;
const WANTED_FLOWS = 10_000;
/** What the splice backend asks of a pipe. */
export const PIPE_BYTES = 256 * 1024;

const shown = (value: number): string => (value === Infinity ? 'unlimited' : String(value));

export function openFilesRow(limits: FileText): Capability {
  const row = { group, name: 'open files', enables: 'flows at a time: each takes two to four' };
  const wanted = WANTED_FLOWS * DESCRIPTORS_PER_FLOW;
  return rowOfFile(row, limits, parseOpenFileLimits, ([soft, hard]) => ({
    status: soft >= wanted ? 'ok' : 'limited',
    found: `${shown(soft)} (hard ${shown(hard)}): about ${shown(Math.floor(soft / DESCRIPTORS_PER_FLOW))} flows`,
    advice:
      soft >= wanted
        ? ''
        : hard >= wanted
          ? `ulimit -n ${wanted}`
          : `LimitNOFILE=${wanted} in the systemd unit, or in limits.conf(5)`,
  }));
}

/** @param exempt the process holds CAP_SYS_RESOURCE or CAP_SYS_ADMIN, which lifts both limits */
export function pipeRows(maxSize: FileText, softPages: FileText, exempt: boolean): Capability[] {
  return [
    rowOfFile({ group, name: 'pipe size', enables: 'bytes of one splice(2)' }, maxSize, parseCount, (bytes) => ({
      status: exempt || bytes >= PIPE_BYTES ? 'ok' : 'limited',
      found: `up to ${bytes}`,
      advice: exempt || bytes >= PIPE_BYTES ? '' : `sysctl -w fs.pipe-max-size=${PIPE_BYTES}`,
    })),
    rowOfFile(
      { group, name: 'pipes of full size', enables: 'bulky flows that are spliced at a time' },
      softPages,
      parseCount,
      (pages) => {
        const pipes = exempt ? Infinity : fullSizePipes(pages, PIPE_BYTES);
        const enough = pipes >= 1000;
        return {
          status: enough ? 'ok' : 'limited',
          found: exempt
            ? 'unlimited by privilege'
            : `${shown(pipes)} of ${PIPE_BYTES / 1024} KiB per user; more are smaller`,
          advice: enough ? '' : `sysctl -w fs.pipe-user-pages-soft=${(1000 * PIPE_BYTES) / 4096}, or CAP_SYS_RESOURCE`,
        };
      },
    ),
  ];
}

export function networkRows(ports: FileText, backlog: FileText, reuse: FileText): Capability[] {
  return [
    rowOfFile(
      { group, name: 'local ports', enables: 'connections to one server address and port' },
      ports,
      parsePortRange,
      ([first, last]) => {
        const count = last - first + 1;
        return {
          status: count >= 20_000 ? 'ok' : 'limited',
          found: `${first}-${last}: ${count}`,
          advice: count >= 20_000 ? '' : 'sysctl -w net.ipv4.ip_local_port_range="10240 65535"',
        };
      },
    ),
    rowOfFile(
      { group, name: 'listen backlog', enables: 'bursts of new connections' },
      backlog,
      parseCount,
      (count) => ({
        status: count >= 4096 ? 'ok' : 'limited',
        found: String(count),
        advice: count >= 4096 ? '' : 'sysctl -w net.core.somaxconn=4096',
      }),
    ),
    rowOfFile(
      { group, name: 'reuse of TIME_WAIT ports', enables: 'thousands of connections a second to one server' },
      reuse,
      parseCount,
      (value) => ({
        status: value === 1 ? 'ok' : 'limited',
        found: ['off', 'on', 'on loopback only'][value] ?? `setting ${value}`,
        advice: value === 1 ? '' : 'sysctl -w net.ipv4.tcp_tw_reuse=1',
      }),
    ),
  ];
}

export function probeLimits(): Capability[] {
  const status = readText('/proc/self/status');
  const set = ('text' in status ? parseEffectiveCapabilities(status.text) : undefined) ?? 0n;
  const exempt = hasCapability(set, 'CAP_SYS_RESOURCE') || hasCapability(set, 'CAP_SYS_ADMIN');
  return [
    openFilesRow(readText('/proc/self/limits')),
    ...pipeRows(readText('/proc/sys/fs/pipe-max-size'), readText('/proc/sys/fs/pipe-user-pages-soft'), exempt),
    ...networkRows(
      readText('/proc/sys/net/ipv4/ip_local_port_range'),
      readText('/proc/sys/net/core/somaxconn'),
      readText('/proc/sys/net/ipv4/tcp_tw_reuse'),
    ),
  ];
}
