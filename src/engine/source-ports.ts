/**
 * Stage handshake, decided once at open: which local ports upstream connections of the packet backend get. A flow
 * that it carries has no socket any more, so the kernel would hand its port out again, into the middle of the flow.
 * These ports therefore lie where the kernel gives none out by itself. Pure, but for `readSourcePorts`.
 */
import { parsePortRange, readText } from './machine-facts.js';

/** First and last port, both included. */
export type PortRange = readonly [low: number, high: number];

export type ChosenPorts = { range: PortRange } | { problem: string };

/** The gap above the kernel's range is taken when it has so many; on a default Linux it has 4536. */
const ENOUGH = 4000;
/** Below the kernel's range services listen, the lower the more: no more than so many ports under it are used. */
const MOST_BELOW = 20_000;
/** Fewer would make connections to one busy server wait for ports that still cool down. */
const FEWEST = 256;

/** `8080,61000-61999`, as net.ipv4.ip_local_reserved_ports writes it. */
export function parseReservedPorts(text: string): PortRange[] {
  return text
    .split(',')
    .map((part) => /^(\d+)(?:-(\d+))?$/.exec(part.trim()))
    .filter((match) => match !== null)
    .map((match): PortRange => [Number(match[1]), Number(match[2] ?? match[1])]);
}

/** A port of `range` that the kernel may give to anybody, or undefined. */
export function sharedPort(range: PortRange, kernel: PortRange, reserved: readonly PortRange[]): number | undefined {
  for (let port = Math.max(range[0], kernel[0]); port <= Math.min(range[1], kernel[1]); port++) {
    const within = reserved.find(([low, high]) => port >= low && port <= high);
    if (within === undefined) return port;
    port = within[1];
  }
  return undefined;
}

/** Checks the operator's range, or finds one beside the kernel's. */
export function choosePorts(
  asked: PortRange | 'auto',
  kernel: PortRange,
  reserved: readonly PortRange[] = [],
): ChosenPorts {
  const shown = `net.ipv4.ip_local_port_range (${formatRange(kernel)})`;
  if (asked !== 'auto') {
    const [low, high] = asked;
    const shared = sharedPort(asked, kernel, reserved);
    if (shared === undefined) return { range: asked };
    const common: PortRange = [Math.max(low, kernel[0]), Math.min(high, kernel[1])];
    // The setting is replaced as a whole: what is reserved already must be named again.
    const reserve = [...reserved, common].map(formatRange).join(',');
    return {
      problem:
        `source ports ${formatRange(asked)} overlap ${shown}: the kernel gives ${shared} to others as well; ` +
        `name ports outside of it, or reserve them: sysctl -w net.ipv4.ip_local_reserved_ports=${reserve}`,
    };
  }
  const above: PortRange = [kernel[1] + 1, 65535];
  const below: PortRange = [Math.max(1024, kernel[0] - MOST_BELOW), kernel[0] - 1];
  if (count(above) >= ENOUGH) return { range: above };
  const range = count(below) >= count(above) ? below : above;
  if (count(range) >= FEWEST) return { range };
  return {
    problem: `no source ports are left beside ${shown}: narrow it, as in sysctl -w net.ipv4.ip_local_port_range="32768 60999"`,
  };
}

/** {@link choosePorts} with what this machine says. */
export function readSourcePorts(asked: PortRange | 'auto'): ChosenPorts {
  const ports = readText('/proc/sys/net/ipv4/ip_local_port_range');
  if ('problem' in ports) return { problem: `the kernel's own range of ports is unknown: ${ports.problem}` };
  const kernel = parsePortRange(ports.text);
  if (kernel === undefined) return { problem: `net.ipv4.ip_local_port_range is no range: "${ports.text}"` };
  const reserved = readText('/proc/sys/net/ipv4/ip_local_reserved_ports');
  return choosePorts(asked, kernel, 'text' in reserved ? parseReservedPorts(reserved.text) : []);
}

function formatRange([low, high]: PortRange): string {
  return low === high ? String(low) : `${low}-${high}`;
}

function count([low, high]: PortRange): number {
  return Math.max(0, high - low + 1);
}
