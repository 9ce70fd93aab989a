/** Transfers over one flow of a packet group, compared to the byte. */
import type { Test } from 'tap';
import type { Agent } from '../agent-client.js';
import type { ConnectionId, Digest } from '../agent-api.js';
import type { Opened, PacketGroup } from '../packet-group.js';

export async function pourAndEnd(agent: Agent, id: ConnectionId, bytes: number): Promise<Digest> {
  const digest = await agent.pour(id, bytes);
  await agent.end(id);
  return digest;
}

/** So many bytes up and down at once, each followed by FIN; a side without bytes ends when it has heard the other's end. */
export async function exchange(group: PacketGroup, t: Test, flow: Opened, up: number, down: number): Promise<void> {
  const { client, server } = group;
  const hear = async (agent: Agent, id: ConnectionId, speaks: boolean): Promise<Digest> => {
    const digest = await agent.drain(id);
    if (!speaks) await agent.end(id);
    return digest;
  };
  const [sentUp, sentDown, atServer, atClient] = await Promise.all([
    up > 0 ? pourAndEnd(client, flow.near, up) : client.pour(flow.near, 0),
    down > 0 ? pourAndEnd(server, flow.far, down) : server.pour(flow.far, 0),
    hear(server, flow.far, down > 0),
    hear(client, flow.near, up > 0),
  ]);
  t.same([atServer, atClient], [sentUp, sentDown], `${up} bytes up, ${down} bytes down`);
}
