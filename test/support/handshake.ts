/** The client's half of a SOCKS handshake, spoken byte by byte by an agent. */
import { address } from './lab.js';
import { greeting5, request4, request5 } from './socks-bytes.js';
import type { AgentApi, ConnectionId } from './agent-api.js';
import type { Proxy } from './proxy.js';

export function connectToProxy(agent: AgentApi, proxy: Proxy): Promise<ConnectionId> {
  return agent.connect({ host: address.proxy4, port: proxy.port });
}

/** Reads one SOCKS5 reply and returns its code; -1 if the proxy closed without one. */
export async function readReply5(agent: AgentApi, id: ConnectionId): Promise<number> {
  const head = await agent.read(id, 4);
  if (head.length < 4) return -1;
  await agent.read(id, head[3] === 4 ? 18 : 6);
  return head[1] ?? -1;
}

/** Asks for `host:port` without authentication; returns connection and reply code. */
export async function ask5(
  agent: AgentApi,
  proxy: Proxy,
  host: string,
  port: number,
): Promise<{ id: ConnectionId; code: number }> {
  const id = await connectToProxy(agent, proxy);
  await agent.write(id, greeting5(0));
  const choice = await agent.read(id, 2);
  if (choice[0] !== 5 || choice[1] !== 0) throw new Error(`method choice ${Buffer.from(choice).toString('hex')}`);
  await agent.write(id, request5(host, port));
  return { id, code: await readReply5(agent, id) };
}

/** As {@link ask5}, for the tests that need it to work. */
export async function open5(agent: AgentApi, proxy: Proxy, host: string, port: number): Promise<ConnectionId> {
  const { id, code } = await ask5(agent, proxy, host, port);
  if (code !== 0) throw new Error(`reply code ${code} for ${host}:${port}`);
  return id;
}

/** Asks with SOCKS4 or 4a; the code is 0x5a when granted. */
export async function ask4(
  agent: AgentApi,
  proxy: Proxy,
  host: string,
  port: number,
): Promise<{ id: ConnectionId; code: number }> {
  const id = await connectToProxy(agent, proxy);
  await agent.write(id, request4(host, port));
  const reply = await agent.read(id, 8);
  return { id, code: reply[1] ?? -1 };
}

/** Both ends of one open flow: the client's connection, and the one that the server accepted for it. */
export interface Ends {
  readonly near: ConnectionId;
  readonly far: ConnectionId;
}

/** Opens a flow to an agent that listens in mode `accept` on `port`. */
export async function openEnds(client: AgentApi, server: AgentApi, proxy: Proxy, port: number): Promise<Ends> {
  const near = await open5(client, proxy, address.server4, port);
  return { near, far: await server.accept(port) };
}
