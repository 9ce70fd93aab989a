/**
 * Doctor: whether the packet backend works here, tried with its real programs, and where it would work. Attaches
 * nothing, and disturbs no server that uses it now.
 */
import { VerifierError } from '../errors.js';
import { BpfObject } from './bpf-object.js';
import type { Capability } from './doctor.js';
import { judgeLink, nothingToWatch, readLinks, type Link } from './links.js';
import { readSourcePorts, type ChosenPorts } from './source-ports.js';

const group = 'packet backend';

/** Where segments would be seen. */
export function interfacesRow(links: readonly Link[]): Capability {
  const row = { group, name: 'interfaces', enables: 'packet: where its programs are attached' };
  const watched = links.filter((link) => 'watch' in judgeLink(link, 'auto')).map(({ name }) => name);
  if (watched.length > 0) return { ...row, status: 'ok', found: watched.join(', '), advice: '' };
  const advice = 'connections within this machine are relayed by splice; set an interface up for others';
  return { ...row, status: 'missing', found: nothingToWatch(links, 'auto'), advice };
}

export function sourcePortsRow(ports: ChosenPorts): Capability {
  const row = { group, name: 'source ports', enables: 'packet: connections to one server address and port' };
  if ('problem' in ports) return { ...row, status: 'missing', found: 'none', advice: ports.problem };
  const [low, high] = ports.range;
  return { ...row, status: 'ok', found: `${low}-${high}: ${high - low + 1}`, advice: '' };
}

/** Loads the real programs with small maps, and lets them go again. */
export function programsRow(load: () => string): Capability {
  const row = { group, name: 'programs', enables: 'packet: the relay itself' };
  try {
    return { ...row, status: 'ok', found: `load, relay ${load()}`, advice: '' };
  } catch (error) {
    const found = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    const advice =
      error instanceof VerifierError
        ? 'please report it, with the log of splice-socks --backend packet --log-level debug'
        : 'see the rows above; splice needs none of it';
    return { ...row, status: 'missing', found, advice };
  }
}

function loadPrograms(): string {
  const object = BpfObject.open('packet', { sizes: { flows: 2, legs: 4 } });
  try {
    object.load();
    return object.programs.find(({ name }) => name === 'relay_eth')?.tag ?? '';
  } finally {
    object.close();
  }
}

export function probePacket(): Capability[] {
  return [programsRow(loadPrograms), interfacesRow(readLinks()), sourcePortsRow(readSourcePorts('auto'))];
}
