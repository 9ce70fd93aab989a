/** Stage relay, as the operator sees it. The bytes are in the kernel: here they are only counted. */
import type { FlowInfo } from '../control/flow-info.js';
import type { Flow } from '../engine/flow.js';
import { formatEndpoint } from './address.js';
import type { Connection } from './connection.js';

/** A live flow for `splice-ctl flows` and the metrics. `idPrefix` tells apart what several engines number alike. */
export function describe(connection: Connection, idPrefix: string): FlowInfo | undefined {
  const { flow, client, upstream, target, user } = connection;
  if (flow === undefined || upstream === undefined || target === undefined) return undefined;
  return describeFlow(flow, idPrefix, {
    client: formatEndpoint(client.address, client.port),
    server: formatEndpoint(upstream.address, upstream.port),
    target: formatEndpoint(target.host, target.port),
    user,
    ageMs: performance.now() - connection.startedAt,
  });
}

/** What the engine knows of a flow, beside what is known of whoever wanted it. */
export function describeFlow(
  flow: Flow,
  idPrefix: string,
  known: Pick<FlowInfo, 'client' | 'server' | 'target' | 'user' | 'ageMs'>,
): FlowInfo {
  const { bytesUp, bytesDown, idleMs } = flow.counters();
  const details = flow.packet();
  return {
    ...known,
    id: `${idPrefix}${flow.id}`,
    backend: flow.backend,
    state: flow.state,
    sides: details?.sides,
    packet: details && { phase: details.phase, ways: details.ways, segments: details.segments },
    adopted: flow.adopted && true,
    bytesUp,
    bytesDown,
    ageMs: Math.round(known.ageMs),
    idleMs: Math.round(idleMs),
    refusals: flow.refusals,
  };
}
