/** `splice-ctl stats`: one block of numbers for each server on this machine. Changes nothing. */
import { askStats, chooseSockets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
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

function packetLines(packet: PacketSnapshot): [name: string, value: string][] {
  const { phases, counters, maxFlows, sourcePorts, sourcePortsUsed } = packet;
  const sum = (prefix: string): number =>
    Object.entries(counters).reduce((total, [name, count]) => total + (name.startsWith(prefix) ? count : 0), 0);
  const used = phases.transit + phases.released + phases.ended;
  return [
    [
      'packet',
      `${phases.released} released, ${phases.transit} in transit, ${phases.ended} ended, ${packet.refused} refused`,
    ],
    ['map', `${used} of ${maxFlows} flows, ${sourcePortsUsed} ports of ${sourcePorts[0]}-${sourcePorts[1]}`],
    ['segments', `${sum('relayed')} relayed, ${sum('drop-')} dropped, ${counters['too-big'] ?? 0} too big`],
    ['interfaces', packet.interfaces.join(', ')],
  ];
}

function statsBlock(reply: StatsAnswer): string {
  const { http } = reply;
  const lines: [name: string, value: string][] = [
    ['listening', reply.listening.join(', ')],
    ['backend', `${reply.backend} (${reply.backendReason})`],
    ...(http === undefined ? socksLines(reply) : httpLines(http)),
    ['descriptors', `${reply.descriptors} of ${reply.descriptorLimit}`],
    ...(reply.packet === undefined ? [] : packetLines(reply.packet)),
  ];
  const program = http === undefined ? 'splice-socks' : 'splice-http';
  const title = `${program} ${reply.version}, pid ${reply.pid}, ${reply.state}, up ${humanTime(reply.uptimeMs)}`;
  return `${title}\n${lines.map(([name, value]) => `  ${name.padEnd(12)} ${printable(value)}\n`).join('')}`;
}

function socksLines(reply: StatsAnswer): [name: string, value: string][] {
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
