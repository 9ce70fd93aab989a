/** `splice-ctl stats`: one block of numbers for each server on this machine. Changes nothing. */
import { askStats, chooseSockets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
import type { ModuleSnapshot } from '../engine/module-snapshot.js';
import type { PacketSnapshot } from '../engine/packet-snapshot.js';
import type { StatsAnswer } from '../control/control-server.js';
import { httpLines } from './ctl-http-lines.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';
import { humanBytes, humanTime, printable } from './format.js';

export async function stats(
  context: CtlContext,
  options: { readonly json: boolean; readonly control: string | undefined },
): Promise<ExitCode> {
  const replies = await Promise.all((await chooseSockets(context, options.control)).map(askStats));
  const { stdout } = context.environment;
  stdout.write(options.json ? `${JSON.stringify(replies, null, 2)}\n` : replies.map(statsBlock).join('\n'));
  return EXIT.ok;
}

type Line = [name: string, value: string];

function packetLines(packet: PacketSnapshot): Line[] {
  return [
    ['packet', flowsOf(packet)],
    ['map', roomOf(packet)],
    ['segments', segmentsOf(packet)],
    ['interfaces', packet.interfaces.join(', ')],
  ];
}

function moduleLines(module: ModuleSnapshot): Line[] {
  const { releases = 0, queued = 0, gates = 0, pumped = 0 } = module.more;
  return [
    ['module', flowsOf(module)],
    ['room', roomOf(module)],
    ['segments', segmentsOf(module)],
    [
      'going over',
      `${releases} have, ${queued} segments queued, ${gates} gates shut, ${module.more['gates-opened'] ?? 0} in vain, ${humanBytes(pumped)} pumped`,
    ],
  ];
}

const flowsOf = ({ phases, refused }: PacketSnapshot | ModuleSnapshot): string =>
  `${phases.released} released, ${phases.transit} in transit, ${phases.ended} ended, ${refused} refused`;

function roomOf({ phases, maxFlows, sourcePorts, sourcePortsUsed }: PacketSnapshot | ModuleSnapshot): string {
  const used = phases.transit + phases.released + phases.ended;
  const room = maxFlows === undefined ? '' : ` of ${maxFlows}`;
  return `${used}${room} flows, ${sourcePortsUsed} ports of ${sourcePorts[0]}-${sourcePorts[1]}`;
}

function segmentsOf({ counters }: PacketSnapshot | ModuleSnapshot): string {
  const sum = (prefix: string): number =>
    Object.entries(counters).reduce((total, [name, count]) => total + (name.startsWith(prefix) ? count : 0), 0);
  return `${sum('relayed')} relayed, ${sum('drop-')} dropped, ${counters['too-big'] ?? 0} too big`;
}

function statsBlock(reply: StatsAnswer): string {
  const { http } = reply;
  const lines: Line[] = [
    ['listening', reply.listening.join(', ')],
    ['backend', `${reply.backend} (${reply.backendReason})`],
    ...(http === undefined ? socksLines(reply) : httpLines(http)),
    ['descriptors', `${reply.descriptors} of ${reply.descriptorLimit}`],
    ...(reply.packet === undefined ? [] : packetLines(reply.packet)),
    ...(reply.module === undefined ? [] : moduleLines(reply.module)),
  ];
  const program = http === undefined ? 'splice-socks' : 'splice-http';
  const title = `${program} ${reply.version}, pid ${reply.pid}, ${reply.state}, up ${humanTime(reply.uptimeMs)}`;
  return `${title}\n${lines.map(([name, value]) => `  ${name.padEnd(12)} ${printable(value)}\n`).join('')}`;
}

function socksLines(reply: StatsAnswer): Line[] {
  const { totals } = reply;
  return [
    ['flows', `${reply.flows} live, ${totals.flowsOpened} opened, ${totals.flowsClosed} closed`],
    ['handshakes', `${reply.handshakes} under way, ${totals.handshakesFailed} failed`],
    ['accepted', String(totals.accepted)],
    ['turned away', `${totals.denied} by rules, ${totals.limited} by limits, ${totals.authFailed} by password`],
    ['connects', `${totals.connectsFailed} failed`],
    ['bytes', `${humanBytes(totals.bytesUp)} up, ${humanBytes(totals.bytesDown)} down`],
  ];
}
