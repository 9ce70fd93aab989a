/** An end of a connection that can do what Node's sockets cannot (see peer.c). One connection at a time. */
import type { Host, Lab } from './lab.js';
import { compileTool, LineTool } from './packet-tool.js';

export interface SocketOptions {
  readonly rcvbuf?: number;
  readonly sndbuf?: number;
  readonly maxseg?: number;
  /** The own port of a connection that is made. */
  readonly port?: number;
}

export interface Pumped {
  /** Positions in both streams since the beginning. */
  readonly sent: number;
  readonly received: number;
  /** Position of the first wrong byte, or -1. */
  readonly wrong: number;
  readonly ended: string;
}

export interface KernelCounts {
  readonly state: number;
  readonly options: number;
  readonly sendMss: number;
  readonly retransmits: number;
  readonly sendScale: number;
  readonly receiveScale: number;
  readonly unacked: number;
  readonly notSent: number;
  readonly deliveredCe: number;
  readonly dsack: number;
  readonly reordered: number;
}

export class Peer {
  readonly #tool: LineTool;

  private constructor(tool: LineTool) {
    this.#tool = tool;
  }

  static async start(lab: Lab, host: Host): Promise<Peer> {
    return new Peer(await LineTool.start(host, compileTool(lab, 'peer')));
  }

  /** Returns the local port. */
  async connect(host: string, port: number, options: SocketOptions = {}): Promise<number> {
    return (await this.#tool.json<{ port: number }>(`connect ${host} ${port} ${pairs(options)}`)).port;
  }

  async listen(host: string, port: number, options: SocketOptions = {}): Promise<void> {
    await this.#tool.ask(`listen ${host} ${port} ${pairs(options)}`);
  }

  async accept(): Promise<void> {
    await this.#tool.ask('accept');
  }

  async socks(host: string, port: number): Promise<void> {
    const { code } = await this.#tool.json<{ code: number }>(`socks ${host} ${port}`);
    if (code !== 0) throw new Error(`the proxy answers ${code} for ${host}:${port}`);
  }

  /** Sends and receives so many bytes more, both at once. */
  pump(bytes: { send?: number; receive?: number }): Promise<Pumped> {
    return this.#tool.json(`pump ${bytes.send ?? 0} ${bytes.receive ?? 0}`);
  }

  /** Reads up to the other side's end. */
  drain(): Promise<Pumped> {
    return this.pump({ receive: 2 ** 52 });
  }

  async urgent(): Promise<void> {
    await this.#tool.ask('urgent');
  }

  async keepalive(seconds: number): Promise<void> {
    await this.#tool.ask(`keepalive ${seconds}`);
  }

  async fin(): Promise<void> {
    await this.#tool.ask('fin');
  }

  async reset(): Promise<void> {
    await this.#tool.ask('reset');
  }

  info(): Promise<KernelCounts> {
    return this.#tool.json('info');
  }

  stop(): Promise<void> {
    return this.#tool.stop();
  }
}

const pairs = (options: SocketOptions): string =>
  Object.entries(options)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ');
