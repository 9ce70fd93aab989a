/**
 * Loss on the server's leg, in both directions, on the server host alone: the proxy host carries nothing but the
 * contestant, and what a relay's own tc programs do with a segment is done before or after its loss.
 *
 * A share is of segments as they are on a wire, so none may be joined where they are lost. Outwards the server's TCP
 * makes segments of one packet each (gso_max_segs 1: "gso off" would not do, since Linux 4.17 TCP builds large ones
 * in any case, which are cut after tc has seen them). Inwards a network card must not join what came (GRO, LRO off);
 * a veth has no wire, so that there the proxy host's end is told to cut. Every contestant meets the same leg: without
 * these offloads.
 *
 * The lots are drawn by six instructions of classic BPF in a tc filter, which every kernel with clsact takes, as the
 * packet backend needs it anyway. Not netem: it is a queue, with a lock and a limit of its own, where the leg had none,
 * it works outwards only, and some kernels lack it.
 */
import type { Host, Running } from '../model.js';
import { hold } from './hold.js';

/** What a filter is recognized by when it is taken away: on a machine of others there may be more. */
const PREFERENCE = { ip: 11801, ipv6: 11802 } as const;

/**
 * Loses a share of the TCP segments; neighbour discovery and the rest pass, since their repetitions would take seconds.
 * Stolen, not shot: on its own host the sender would learn of a drop, as it never does from a wire.
 */
export function lossProgram(protocol: keyof typeof PREFERENCE, share: number): string {
  const protocolAt = protocol === 'ip' ? 14 + 9 : 14 + 6;
  const random = 0xfffff000 + 56; // SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h
  const limit = Math.min(0xffffffff, Math.round(share * 2 ** 32));
  const [tcp, stolen, unspecified] = [6, 4, 0xffffffff];
  const instructions = [
    `48 0 0 ${protocolAt}`, // ldb [protocol]
    `21 0 3 ${tcp}`, //        jeq #tcp, next, pass
    `32 0 0 ${random}`, //     ld  rand
    `53 1 0 ${limit}`, //      jge #limit, pass, next
    `6 0 0 ${stolen}`, //      ret #stolen
    `6 0 0 ${unspecified}`, // ret #unspecified: pass
  ];
  return [instructions.length, ...instructions].join(',');
}

/** The commands of hold() that lose a share of what a link carries. */
export function lossCommands(link: string, share: number): { make: string[]; undo: string[] } {
  const filters = (['ingress', 'egress'] as const).flatMap((direction) =>
    (['ip', 'ipv6'] as const).map((protocol) => ({ direction, protocol, preference: PREFERENCE[protocol] })),
  );
  return {
    make: [
      `tc qdisc show dev '${link}' clsact | grep -q . || { tc qdisc add dev '${link}' clsact; made=1; }`,
      ...filters.map(
        ({ direction, protocol, preference }) =>
          `tc filter add dev '${link}' ${direction} pref ${preference} protocol ${protocol} bpf direct-action bytecode '${lossProgram(protocol, share)}'`,
      ),
    ],
    undo: [
      ...filters.map(
        ({ direction, preference }) => `tc filter del dev '${link}' ${direction} pref ${preference} 2>/dev/null`,
      ),
      `[ -z "$made" ] || tc qdisc del dev '${link}' clsact`,
    ],
  };
}

/** Cuts what goes out into single segments. */
export function cutCommands(link: string): { make: string[]; undo: string[] } {
  return {
    make: [
      `segments=$(ip -j -d link show dev '${link}' | sed -n 's/.*"gso_max_segs":\\([0-9]*\\).*/\\1/p')`,
      `ip link set dev '${link}' gso_max_segs 1`,
    ],
    undo: [`[ -z "$segments" ] || ip link set dev '${link}' gso_max_segs "$segments"`],
  };
}

/** Keeps a network card from joining what comes in. */
function separateCommands(link: string): { make: string[]; undo: string[] } {
  const state = (feature: string): string => `$(ethtool -k '${link}' | sed -n 's/^${feature}: //p')`;
  return {
    make: [
      `command -v ethtool >/dev/null || { echo 'ethtool is not installed: scripts/setup --bench'; exit 1; }`,
      `gro=${state('generic-receive-offload')}`,
      `lro=${state('large-receive-offload')}`,
      `[ "$gro" != on ] || ethtool -K '${link}' gro off`,
      `[ "$lro" != on ] || ethtool -K '${link}' lro off`,
    ],
    undo: [`[ "$gro" != on ] || ethtool -K '${link}' gro on`, `[ "$lro" != on ] || ethtool -K '${link}' lro on`],
  };
}

/** The server's leg of a lab. */
export class LossyLeg {
  readonly #proxy: Host;
  readonly #server: Host;
  readonly #veth: boolean;
  #holders: Running[] = [];

  constructor(proxy: Host, server: Host, { veth }: { veth: boolean }) {
    this.#proxy = proxy;
    this.#server = server;
    this.#veth = veth;
  }

  async set(share: number): Promise<void> {
    const before = this.#holders;
    this.#holders = [];
    await Promise.all(before.map((holder) => holder.stop()));
    if (share === 0) return;
    const link = this.#server.links.proxy ?? '';
    const inwards = this.#veth ? { make: [], undo: [] } : separateCommands(link);
    const parts = [lossCommands(link, share), cutCommands(link), inwards];
    await this.#hold(this.#server, parts);
    if (this.#veth) await this.#hold(this.#proxy, [cutCommands(this.#proxy.links.server ?? '')]);
  }

  async #hold(host: Host, parts: readonly { make: string[]; undo: string[] }[]): Promise<void> {
    const make = parts.flatMap((part) => part.make);
    const undo = parts.flatMap((part) => part.undo);
    this.#holders.push(await hold(host, make, undo));
  }
}
