/** What goes over a link of the lab, and what an adversary can put on it (see forge.c). */
import type { Host, Lab } from './lab.js';
import { compileTool, LineTool } from './packet-tool.js';

/** One direction of a connection, as seen on the link. */
export interface Seen {
  readonly segments: number;
  readonly bytes: number;
  readonly syn: number;
  readonly fin: number;
  readonly rst: number;
  /** Segments with ECE after the handshake; with CE, with ECT. */
  readonly ece: number;
  readonly ce: number;
  readonly ect: number;
  readonly keepalives: number;
  readonly zeroWindows: number;
  readonly urgent: number;
  /** Sequence number of the SYN, and behind the last byte. */
  readonly first: number;
  readonly end: number;
  /** The highest acknowledgement. */
  readonly ack: number;
  /** Of the latest segment. */
  readonly tsval: number;
  readonly tsecr: number;
  readonly window: number;
  /** Most payload in one segment. */
  readonly biggest: number;
  /** Most SACK blocks in one segment. */
  readonly sackBlocks: number;
  /** What the SYN said; scale -1: nothing. */
  readonly mss: number;
  readonly scale: number;
  readonly sackPermitted: boolean;
  readonly timestamps: boolean;
  readonly synEce: boolean;
  readonly leastTtl: number;
}

export interface Tuple {
  readonly source: string;
  readonly sourcePort: number;
  readonly target: string;
  readonly targetPort: number;
}

export interface Forged {
  /** Letters of FSRPAUEC. */
  readonly flags: string;
  readonly seq: number;
  readonly ack?: number;
  readonly window?: number;
  readonly tsval?: number;
  readonly tsecr?: number;
  /** Bytes of payload, all '!'. */
  readonly data?: number;
  readonly ttl?: number;
  /** Bytes in the first of two fragments. */
  readonly fragment?: number;
  /** IP options, or an IPv6 extension header. */
  readonly options?: boolean;
  /** A wrong TCP checksum. */
  readonly bad?: boolean;
}

export const reversed = ({ source, sourcePort, target, targetPort }: Tuple): Tuple => ({
  source: target,
  sourcePort: targetPort,
  target: source,
  targetPort: sourcePort,
});

/** Sequence numbers count modulo 2^32. */
export const plus = (sequence: number, distance: number): number => (sequence + distance) >>> 0;

export class Forge {
  readonly #tool: LineTool;

  private constructor(tool: LineTool) {
    this.#tool = tool;
  }

  static async open(lab: Lab, host: Host, device: string): Promise<Forge> {
    return new Forge(await LineTool.start(host, compileTool(lab, 'forge'), [device]));
  }

  /** Both directions of a connection; undefined where nothing was seen. */
  async state(tuple: Tuple): Promise<{ from: Seen | undefined; to: Seen | undefined }> {
    const seen = await this.#tool.json<{ from: Seen | null; to: Seen | null }>(`state ${words(tuple)}`);
    return { from: seen.from ?? undefined, to: seen.to ?? undefined };
  }

  /** As {@link state}, of a connection that was seen in both directions. */
  async known(tuple: Tuple): Promise<{ from: Seen; to: Seen }> {
    const { from, to } = await this.state(tuple);
    if (from === undefined || to === undefined) throw new Error(`no such connection was seen: ${words(tuple)}`);
    return { from, to };
  }

  totals(): Promise<{ segments: number; rst: number; icmp: number; fragments: number }> {
    return this.#tool.json('totals');
  }

  /** Sends a segment as if `tuple.source` had. */
  async send(tuple: Tuple, forged: Forged): Promise<void> {
    const pairs = Object.entries(forged).map(
      ([name, value]) => `${name}=${typeof value === 'boolean' ? Number(value) : value}`,
    );
    await this.#tool.ask(`send ${words(tuple)} ${pairs.join(' ')}`);
  }

  stop(): Promise<void> {
    return this.#tool.stop();
  }
}

function words({ source, sourcePort, target, targetPort }: Tuple): string {
  return `${source} ${sourcePort} ${target} ${targetPort}`;
}
