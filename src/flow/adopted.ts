/**
 * Stages relay and teardown of flows that an earlier process began and left in the kernel: shown, counted and logged
 * like others, as far as they are known. They have no connection here: no user, no target, no limit.
 */
import type { FlowInfo } from '../control/flow-info.js';
import type { MetricCounts } from '../control/metric-counts.js';
import type { Flow } from '../engine/flow.js';
import { logAccess, type Logger } from '../server/logging.js';
import { describeFlow } from './relay.js';

export class AdoptedFlows {
  readonly #flows = new Set<Flow>();
  readonly #since = performance.now();

  /** Watches those of `flows` that were adopted; `onLeave` is called when one has ended. */
  constructor(flows: Iterable<Flow>, metrics: MetricCounts, logger: Logger, onLeave: () => void) {
    for (const flow of flows) {
      if (flow.adopted === undefined) continue;
      const { client, server } = flow.adopted;
      this.#flows.add(flow);
      metrics.flowOpened(flow.backend);
      flow.onClosed(({ reason, bytesUp, bytesDown }) => {
        this.#flows.delete(flow);
        const durationMs = this.#ageOf(flow);
        metrics.flowClosed(flow.backend, reason, bytesUp, bytesDown, durationMs);
        logAccess(logger, { client, upstream: server, bytesUp, bytesDown, durationMs, backend: flow.backend, reason });
        onLeave();
      });
    }
  }

  get size(): number {
    return this.#flows.size;
  }

  /** For `splice-ctl flows`, as `describe` of relay.ts. Nobody knows any more what the client asked for. */
  describe(idPrefix: string): FlowInfo[] {
    return [...this.#flows].map((flow) => {
      const { client, server } = flow.adopted!;
      return describeFlow(flow, idPrefix, {
        client,
        server,
        target: server,
        user: undefined,
        ageMs: this.#ageOf(flow),
      });
    });
  }

  #ageOf(flow: Flow): number {
    return flow.adopted!.ageMs + (performance.now() - this.#since);
  }
}
