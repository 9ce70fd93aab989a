/** End hosts of the lab with another TCP: by kernel parameters what those can do, by filters the rest (peer.bpf.c). */
import { address, type Host, type Lab } from './lab.js';
import { attachFilters, type LineTool } from './packet-tool.js';

/** What its SYN and SYN-ACK offer. Left out: as Linux does it. */
export interface Habits {
  readonly timestamps?: boolean;
  readonly sack?: boolean;
  readonly scaling?: boolean;
  readonly ecn?: boolean;
  /** The segment size that it asks for. */
  readonly mss?: number;
}

const onOff = (value: boolean): string => (value ? '1' : '0');

/** Applies to connections made from now on; returns what undoes it. */
export function setHabits(host: Host, device: 'c' | 's', habits: Habits): () => void {
  const apply = ({ timestamps = true, sack = true, scaling = true, ecn = false, mss }: Habits): void => {
    host.sysctl(
      `net.ipv4.tcp_timestamps=${onOff(timestamps)}`,
      `net.ipv4.tcp_sack=${onOff(sack)}`,
      `net.ipv4.tcp_window_scaling=${onOff(scaling)}`,
      // 2 is the kernel's own: accept, but do not ask.
      `net.ipv4.tcp_ecn=${ecn ? '1' : '2'}`,
    );
    const [net4, net6] = device === 'c' ? ['10.77.1.0/24', 'fd77:1::/64'] : ['10.77.2.0/24', 'fd77:2::/64'];
    const own = device === 'c' ? address.client4 : address.server4;
    const [router4, router6] =
      device === 'c' ? [address.proxy4, address.proxy6] : [address.proxyServerSide4, address.proxyServerSide6];
    const advised = mss === undefined ? [] : ['advmss', String(mss)];
    host.ip('route', 'replace', net4, 'dev', device, 'proto', 'kernel', 'scope', 'link', 'src', own, ...advised);
    host.ip('-6', 'route', 'replace', net6, 'dev', device, 'proto', 'kernel', 'metric', '256', ...advised);
    host.ip('route', 'replace', 'default', 'via', router4, ...advised);
    host.ip('-6', 'route', 'replace', 'default', 'via', router6, ...advised);
  };
  apply(habits);
  return () => apply({});
}

export interface Disguise {
  /** Sequence number of the SYN. */
  readonly sequence?: number;
  /** TSval of the SYN. */
  readonly clock?: number;
  /** Where the timestamps stand: after two NOPs as in Linux, before them, or between. */
  readonly order?: 'last' | 'first' | 'middle';
  /** It drops segments without timestamps, as RFC 7323 section 3.2 wants it, and Linux does not. */
  readonly strict?: boolean;
}

const orders = { last: 0, first: 1, middle: 2 } as const;

/** A host whose TCP looks like another one's from now on. */
export class DisguisedHost {
  readonly #out: LineTool;

  private constructor(out: LineTool) {
    this.#out = out;
  }

  static async open(lab: Lab, host: Host, device: 'c' | 's'): Promise<DisguisedHost> {
    // One object for both hooks, since they share what they know of each connection; before impair.ts on the way
    // out and behind it on the way in.
    const tool = await attachFilters(lab, host, 'peer', 15, [`out=${device}:egress`, `in=${device}:ingress`]);
    return new DisguisedHost(tool);
  }

  /** For connections made from now on; `{}` takes it off. */
  async wear({ sequence, clock, order = 'last', strict = false }: Disguise): Promise<void> {
    const words = [
      sequence === undefined ? 0 : 1,
      sequence ?? 0,
      clock === undefined ? 0 : 1,
      clock ?? 0,
      orders[order],
      strict ? 1 : 0,
    ];
    await this.#out.ask(`set disguises 0 ${words.join(' ')}`);
  }

  stop(): Promise<void> {
    return this.#out.stop();
  }
}
