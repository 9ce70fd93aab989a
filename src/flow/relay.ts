/** Stage relay, as the operator sees it. The bytes are in the kernel: here they are only counted. */
import type { FlowInfo } from '../control/flow-info.js';
import { formatEndpoint } from './address.js';
import type { Connection } from './connection.js';

/** A live flow for `splice-ctl flows` and the metrics. `idPrefix` tells apart what several engines number alike. */
export function describe(connection: Connection, idPrefix: string): FlowInfo | undefined {
  const { flow, client, upstream, target } = connection;
  if (flow === undefined || upstream === undefined || target === undefined) return undefined;
  const { bytesUp, bytesDown, idleMs } = flow.counters();
  return {
    id: `${idPrefix}${flow.id}`,
    client: formatEndpoint(client.address, client.port),
    server: formatEndpoint(upstream.address, upstream.port),
    target: formatEndpoint(target.host, target.port),
    user: connection.user,
    backend: flow.backend,
    state: flow.state,
    bytesUp,
    bytesDown,
    ageMs: Math.round(performance.now() - connection.startedAt),
    idleMs: Math.round(idleMs),
    refusals: flow.refusals,
  };
}
