/**
 * Stage accept, at open and again every few seconds: which network interfaces the packet backend watches. Pure, but
 * for `readLinks`, which looks into /sys/class/net. Attaches nothing.
 */
import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { errnoOf } from './errno-of.js';

/** An interface, as sysfs shows it. */
export interface Link {
  readonly name: string;
  readonly ifindex: number;
  /** ARPHRD_* of linux/if_arp.h. */
  readonly type: number;
  /** IFF_* of linux/if.h. */
  readonly flags: number;
  /** It is a port of a bridge, a bond or a VRF, whose own interface sees the segments. */
  readonly enslaved: boolean;
}

/** Whether segments come with an Ethernet header in front, or bare. */
export type LinkKind = 'ethernet' | 'raw';

export type LinkVerdict = { watch: LinkKind } | { skip: 'loopback' | 'down' | 'enslaved' | 'not-named' | 'foreign' };

const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
/** Point-to-point links without link-layer header: PPP, raw IP, IP in IP (4 and 6), SIT, and "none" (tun, WireGuard). */
const ARPHRD_RAW: readonly number[] = [512, 519, 768, 769, 776, 65534];

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;

/** `names`: what the operator asks for. One that is named is taken whatever it is, if its segments can be read at all. */
export function judgeLink(link: Link, names: readonly string[] | 'auto'): LinkVerdict {
  if (names !== 'auto' && !names.includes(link.name)) return { skip: 'not-named' };
  if (link.type === ARPHRD_LOOPBACK || (link.flags & IFF_LOOPBACK) !== 0) return { skip: 'loopback' };
  if (link.enslaved && names === 'auto') return { skip: 'enslaved' };
  if ((link.flags & IFF_UP) === 0) return { skip: 'down' };
  if (link.type === ARPHRD_ETHER) return { watch: 'ethernet' };
  return ARPHRD_RAW.includes(link.type) ? { watch: 'raw' } : { skip: 'foreign' };
}

/** Why none of them is watched, for people. */
export function nothingToWatch(links: readonly Link[], names: readonly string[] | 'auto'): string {
  const missing = names === 'auto' ? [] : names.filter((name) => !links.some((link) => link.name === name));
  if (missing.length > 0) return `there is no interface ${missing.join(', ')}: name one that "ip link" shows`;
  const said = links.flatMap((link) => {
    const verdict = judgeLink(link, names);
    return 'skip' in verdict && verdict.skip !== 'not-named' ? [`${link.name} ${WORDS[verdict.skip](link)}`] : [];
  });
  return `no interface can be watched: ${said.join(', ')}`;
}

/** Of the interfaces that the operator names: why some are not watched, for people. */
export function unwatchable(links: readonly Link[], names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const link = links.find((known) => known.name === name);
    if (link === undefined) return [`there is no interface ${name}`];
    const verdict = judgeLink(link, names);
    return 'skip' in verdict && verdict.skip !== 'not-named' ? [`${name} ${WORDS[verdict.skip](link)}`] : [];
  });
}

const WORDS: Record<Exclude<Extract<LinkVerdict, { skip: unknown }>['skip'], 'not-named'>, (link: Link) => string> = {
  loopback: () => 'is loopback',
  down: () => 'is down',
  enslaved: () => 'is a port of another interface',
  foreign: ({ type }) => `has link type ${type}`,
};

const { EMFILE, ENFILE } = constants.errno;

/**
 * All interfaces of this network namespace; one that vanishes while we look is left out.
 * @throws when no descriptor is free: then nothing is known of any of them
 */
export function readLinks(directory = '/sys/class/net'): Link[] {
  return readdirSync(directory).flatMap((name): Link[] => {
    const read = (file: string): number => Number(readFileSync(join(directory, name, file), 'utf8').trim());
    try {
      const enslaved = existsSync(join(directory, name, 'master'));
      return [{ name, ifindex: read('ifindex'), type: read('type'), flags: read('flags'), enslaved }];
    } catch (error) {
      if ([EMFILE, ENFILE].includes(errnoOf(error))) throw error;
      return [];
    }
  });
}
