/** Flows between two peers of C (peer.ts) through the proxy, with both links watched and both wires bad on demand. */
import type { Test } from 'tap';
import { Forge, reversed, type Seen, type Tuple } from './forge.js';
import { openWires } from './impair.js';
import { address, type Lab } from './lab.js';
import { clientOf, closingLine, proxyOf, serverOf, type Manner, type Version } from './packet-group.js';
import { Peer, type SocketOptions } from './peer.js';
import { startProxy, type LogLine, type Proxy } from './proxy.js';

const firstPort = 7100;

export interface PeerFlow {
  readonly version: Version;
  readonly clientPort: number;
  readonly logFrom: number;
  /** The client's connection, as its own host sees it. */
  readonly client: Tuple;
  /** The server's connection, as the proxy sends on it. */
  readonly server: Tuple;
}

/** How many segments a device of the lab takes in one piece. */
export function setSegments(lab: Lab, most: number): void {
  for (const [host, device] of [
    [lab.cli, 'c'],
    [lab.prx, 'c'],
    [lab.prx, 's'],
    [lab.srv, 's'],
  ] as const) {
    host.ip('link', 'set', 'dev', device, 'gso_max_segs', String(most));
  }
}

export class PeerBed {
  readonly lab: Lab;
  readonly client: Peer;
  readonly server: Peer;
  /** What goes over the client's link, and over the server's. */
  readonly atClient: Forge;
  readonly atServer: Forge;
  readonly wires: Awaited<ReturnType<typeof openWires>>;
  readonly proxy: Proxy;
  readonly manner: Manner;
  #port = firstPort;

  private constructor(parts: Omit<PeerBed, 'exchange' | 'seen' | 'open' | 'listen' | 'close' | 'logged' | 'stop'>) {
    this.lab = parts.lab;
    this.client = parts.client;
    this.server = parts.server;
    this.atClient = parts.atClient;
    this.atServer = parts.atServer;
    this.wires = parts.wires;
    this.proxy = parts.proxy;
    this.manner = parts.manner;
  }

  static async open(lab: Lab, manner: Manner, args: readonly string[] = []): Promise<PeerBed> {
    // Segments as a wire carries them, so that a fault hits one, and as they are seen at the ends.
    setSegments(lab, 1);
    const server = await Peer.start(lab, lab.srv);
    const bed = new PeerBed({
      lab,
      manner,
      server,
      client: await Peer.start(lab, lab.cli),
      atClient: await Forge.open(lab, lab.cli, 'c'),
      atServer: await Forge.open(lab, lab.srv, 's'),
      wires: await openWires(lab),
      proxy: await startProxy(lab, { backend: manner.backend, args: ['--open', ...manner.args, ...args] }),
    });
    await bed.listen();
    return bed;
  }

  /** From now on the server listens with other options, on another port. */
  async listen(options: SocketOptions = {}): Promise<void> {
    this.#port += 1;
    await this.server.listen('::', this.#port, options);
  }

  /** A flow whose SOCKS handshake is over. */
  async open(version: Version, options: SocketOptions = {}): Promise<PeerFlow> {
    const logFrom = this.proxy.log().length;
    const clientPort = await this.client.connect(proxyOf(version), this.proxy.port, options);
    await this.client.socks(serverOf(version), this.#port);
    await this.server.accept();
    const { stdout } = await this.lab.srv.exec('ss', ['-Htn', 'state', 'established', `sport = :${this.#port}`]);
    const upstreamPort = Number(/:(\d+)\s*$/.exec(stdout.toString().trim().split('\n').at(-1) ?? '')?.[1]);
    return {
      version,
      clientPort,
      logFrom,
      client: {
        source: clientOf(version),
        sourcePort: clientPort,
        target: proxyOf(version),
        targetPort: this.proxy.port,
      },
      server: {
        source: version === 4 ? address.proxyServerSide4 : address.proxyServerSide6,
        sourcePort: upstreamPort,
        target: serverOf(version),
        targetPort: this.#port,
      },
    };
  }

  /** So many bytes in each direction, both at once; fails on a wrong byte or an end. */
  async exchange(t: Test, up: number, down = up): Promise<void> {
    const [near, far] = await Promise.all([
      this.client.pump({ send: up, receive: down }),
      this.server.pump({ send: down, receive: up }),
    ]);
    t.match(near, { wrong: -1, ended: 'no' }, 'client');
    t.match(far, { wrong: -1, ended: 'no' }, 'server');
  }

  /** What both links have shown of a flow: by whom the segments were sent that went over them. */
  async seen(flow: PeerFlow): Promise<{ client: Seen; toClient: Seen; server: Seen; toServer: Seen }> {
    const { from: client, to: toClient } = await this.atClient.known(flow.client);
    const { from: server, to: toServer } = await this.atServer.known(reversed(flow.server));
    return { client, toClient, server, toServer };
  }

  /** Ends the flow from both sides and returns its log line. */
  async close(flow: PeerFlow): Promise<LogLine> {
    await this.client.fin();
    await this.server.drain();
    await this.server.fin();
    await this.client.drain();
    return this.logged(flow);
  }

  logged({ version, clientPort, logFrom }: PeerFlow): Promise<LogLine> {
    return closingLine(this.proxy, version, clientPort, logFrom);
  }

  /** Ends the tools and the proxy; the wires are their owner's. */
  async stop(): Promise<void> {
    await Promise.all([this.client.stop(), this.server.stop(), this.atClient.stop(), this.atServer.stop()]);
    await this.proxy.child.stop();
  }
}
