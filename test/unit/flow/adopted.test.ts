/** Flows that an earlier process began: shown, counted, logged, waited for. */
import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { MetricCounts } from '../../../src/control/metric-counts.js';
import type { OnEnd } from '../../../src/engine/backend.js';
import { Flow, type FlowEnds } from '../../../src/engine/flow.js';
import { AdoptedFlows } from '../../../src/flow/adopted.js';

const ENDS: FlowEnds = { client: '192.0.2.1:5000', server: '198.51.100.1:443', ageMs: 60_000 };

function made(id: string, adopted: FlowEnds | undefined): { flow: Flow; end: OnEnd } {
  let end: OnEnd = () => undefined;
  const begin = (onEnd: OnEnd) => {
    end = onEnd;
    return {
      counters: () => ({ bytesUp: 1, bytesDown: 2, idleMs: 3.4, state: 'relay' as const }),
      packet: () => ({
        phase: 'released' as const,
        sides: { client: 'SPLICED' as const, server: 'FIN_RELAYED' as const },
        ways: { up: 'fast' as const, down: 'fast' as const },
        segments: { up: 5, down: 6 },
      }),
      abort: () => undefined,
    };
  };
  const flow = new Flow(id, { backend: 'packet', refusals: [] }, begin, () => undefined, adopted);
  return { flow, end: (...args) => end(...args) };
}

test('adopted flows, and only they', () => {
  const lines: Record<string, unknown>[] = [];
  const stream = new PassThrough();
  stream.on('data', (text: Buffer) => lines.push(JSON.parse(text.toString()) as Record<string, unknown>));
  const metrics = new MetricCounts();
  const [own, found] = [made('1', undefined), made('2', ENDS)];
  let left = 0;
  const adopted = new AdoptedFlows([own.flow, found.flow], metrics, pino(stream), () => left++);

  expect(adopted.size).toBe(1);
  const [info] = adopted.describe('3-');
  expect(info).toMatchObject({
    id: '3-2',
    client: ENDS.client,
    server: ENDS.server,
    target: ENDS.server,
    user: undefined,
    backend: 'packet',
    sides: { client: 'SPLICED', server: 'FIN_RELAYED' },
    packet: { phase: 'released', segments: { up: 5, down: 6 } },
    adopted: true,
    idleMs: 3,
  });
  expect(info!.ageMs).toBeGreaterThanOrEqual(60_000);

  found.end({ reason: 'end', errno: 0, bytesUp: 10, bytesDown: 20, durationMs: 1 });
  expect([adopted.size, left, adopted.describe('')]).toEqual([0, 1, []]);
  const { opened, closed, bytesUp } = metrics.numbers.backends.get('packet')!;
  expect([opened, [...closed], bytesUp]).toEqual([1, [['end', 1]], 10]);
  expect(lines).toMatchObject([
    {
      msg: 'flow closed',
      client: ENDS.client,
      upstream: ENDS.server,
      bytes_down: 20,
      backend: 'packet',
      reason: 'end',
    },
  ]);
});
