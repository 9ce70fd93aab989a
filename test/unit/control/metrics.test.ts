import { describe, expect, test } from 'vitest';
import type { FlowInfo } from '../../../src/control/flow-info.js';
import { DURATION_BUCKETS, MetricCounts } from '../../../src/control/metric-counts.js';
import { Metrics } from '../../../src/control/metrics.js';
import type { PacketSnapshot } from '../../../src/engine/packet-snapshot.js';

function flow(part: Partial<FlowInfo>): FlowInfo {
  return {
    id: '1',
    client: 'c',
    server: 's',
    target: 't',
    backend: 'splice',
    state: 'relay',
    bytesUp: 0,
    bytesDown: 0,
    ageMs: 0,
    idleMs: 0,
    refusals: [],
    ...part,
  };
}

/** The samples of one metric, as `labels value` lines. */
async function samples(metrics: Metrics, name: string): Promise<string[]> {
  const text = await metrics.registry.metrics();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`symsplice_${name}`) && /[{ ]/.test(line[`symsplice_${name}`.length] ?? ''))
    .map((line) => line.slice(`symsplice_${name}`.length).trim());
}

const PACKET: PacketSnapshot = {
  interfaces: ['eth0'],
  sourcePorts: [61000, 65535],
  sourcePortsUsed: 9,
  maxFlows: 100,
  phases: { transit: 1, released: 2, ended: 3 },
  refused: 4,
  counters: { relayed: 10, cut: 5, 'drop-ttl': 0 },
  tag: 'abc',
};

describe('packet backend', () => {
  test('exits and notes are told apart, entries are two a flow', async () => {
    const metrics = new Metrics('1');
    const none = { handshakes: 0, descriptors: 0, descriptorLimit: 0, flows: [] };
    metrics.attach(() => Promise.resolve({ ...none, packet: PACKET }));
    const expected: Record<string, string[]> = {
      packet_exits_total: ['{exit="relayed"} 10', '{exit="drop-ttl"} 0'],
      packet_notes_total: ['{note="cut"} 5'],
      packet_refused_total: ['4'],
      packet_flows: ['{phase="transit"} 1', '{phase="released"} 2', '{phase="ended"} 3'],
      packet_entries: ['12'],
      packet_max_entries: ['200'],
      packet_source_ports: ['9'],
    };
    for (const [name, lines] of Object.entries(expected)) expect(await samples(metrics, name), name).toEqual(lines);
  });

  test('without it nothing is claimed', async () => {
    const metrics = new Metrics('1');
    expect(await samples(metrics, 'packet_exits_total')).toEqual([]);
    expect(await samples(metrics, 'packet_flows')).toEqual([]);
    expect(await samples(metrics, 'packet_entries')).toEqual(['0']);
  });
});

describe('counters', () => {
  test('each event has its metric', async () => {
    const metrics = new Metrics('1.2.3');
    metrics.accepted();
    metrics.accepted();
    metrics.handshakeFailed('timeout');
    metrics.handshakeFailed('timeout');
    metrics.handshakeFailed('malformed');
    metrics.connectFailed('refused');
    metrics.denied();
    metrics.limited('client');
    metrics.authFailed();
    metrics.flowOpened('splice');
    metrics.flowOpened('splice');
    metrics.flowClosed('splice', 'finished', 10, 20, 50);
    metrics.reloaded(true);
    metrics.reloaded(false);
    const expected: Record<string, string[]> = {
      connections_accepted_total: ['2'],
      handshakes_failed_total: ['{reason="timeout"} 2', '{reason="malformed"} 1'],
      connects_failed_total: ['{failure="refused"} 1'],
      requests_denied_total: ['1'],
      connections_limited_total: ['{limit="client"} 1'],
      auth_failed_total: ['1'],
      flows_opened_total: ['{backend="splice"} 2'],
      flows_closed_total: ['{backend="splice",reason="finished"} 1'],
      relayed_bytes_total: ['{backend="splice",direction="up"} 10', '{backend="splice",direction="down"} 20'],
      config_reloads_total: ['{result="ok"} 1', '{result="failed"} 1'],
      build_info: ['{version="1.2.3"} 1'],
    };
    for (const [name, lines] of Object.entries(expected)) expect(await samples(metrics, name), name).toEqual(lines);
  });

  test('a second scrape gives the same again', async () => {
    const metrics = new Metrics('1');
    metrics.accepted();
    metrics.flowClosed('copy', 'reset', 1, 2, 3);
    const first = await samples(metrics, 'connections_accepted_total');
    expect(await samples(metrics, 'connections_accepted_total')).toEqual(first);
    expect(await samples(metrics, 'flow_duration_seconds_count')).toEqual(['1']);
  });

  test('labels without end become "other"', async () => {
    const metrics = new Metrics('1');
    for (let i = 0; i < 100; i++) metrics.handshakeFailed(`reason ${i}`);
    const lines = await samples(metrics, 'handshakes_failed_total');
    expect(lines).toHaveLength(65);
    expect(lines.at(-1)).toBe('{reason="other"} 36');
    expect((await metrics.totals()).handshakesFailed).toBe(100);
  });

  test('worker threads add up, and the latest numbers of each count', async () => {
    const metrics = new Metrics('1');
    const worker = new MetricCounts();
    metrics.accepted();
    worker.accepted();
    worker.connectFailed('refused');
    worker.flowOpened('splice');
    metrics.setWorker(1, structuredClone(worker.numbers));
    worker.accepted();
    worker.flowClosed('splice', 'finished', 5, 6, 7);
    metrics.setWorker(1, structuredClone(worker.numbers));
    expect(await metrics.totals()).toMatchObject({
      accepted: 3,
      connectsFailed: 1,
      flowsClosed: 1,
      bytesUp: 5,
      bytesDown: 6,
    });
    expect(await samples(metrics, 'flow_duration_seconds_count')).toEqual(['1']);
  });
});

describe('threads', () => {
  test('numbers that come with a snapshot belong to it, and what is counted meanwhile waits for the next one', async () => {
    const metrics = new Metrics('1');
    const worker = new MetricCounts();
    metrics.attach(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      worker.flowClosed('splice', 'end', 7, 0, 1);
      metrics.flowClosed('splice', 'end', 1000, 0, 1);
      metrics.setWorker(1, structuredClone(worker.numbers));
      return { handshakes: 0, descriptors: 0, descriptorLimit: 0, flows: [], packet: undefined };
    });
    expect(await samples(metrics, 'relayed_bytes_total')).toContain('{backend="splice",direction="up"} 7');
    expect(await samples(metrics, 'relayed_bytes_total')).toContain('{backend="splice",direction="up"} 1014');
  });
});

describe('durations', () => {
  test.each([
    [0, '0.01'],
    [10, '0.01'],
    [10.5, '0.03'],
    [1000, '1'],
    [1001, '3'],
    [3_600_000, '3600'],
    [3_600_001, '+Inf'],
  ])('%d ms is first counted at le=%s', async (milliseconds, bound) => {
    const metrics = new Metrics('1');
    metrics.flowClosed('splice', 'finished', 0, 0, milliseconds);
    const lines = await samples(metrics, 'flow_duration_seconds_bucket');
    expect(lines).toHaveLength(DURATION_BUCKETS.length + 1);
    expect(lines.find((line) => line.endsWith(' 1'))).toBe(`{le="${bound}"} 1`);
    expect(lines.at(-1)).toBe('{le="+Inf"} 1');
    expect(await samples(metrics, 'flow_duration_seconds_sum')).toEqual([String(milliseconds / 1000)]);
  });

  test('JSON and text agree', async () => {
    const metrics = new Metrics('1');
    metrics.flowClosed('splice', 'finished', 0, 0, 500);
    const all = await metrics.registry.getMetricsAsJSON();
    const histogram = all.find(({ name }) => name === 'symsplice_flow_duration_seconds');
    expect(histogram?.values.at(-1)?.value).toBe(1);
  });
});

describe('gauges', () => {
  test('come from one snapshot per scrape', async () => {
    const metrics = new Metrics('1');
    let snapshots = 0;
    metrics.attach(() => {
      snapshots++;
      return Promise.resolve({
        handshakes: 3,
        descriptors: 20,
        descriptorLimit: 1024,
        flows: [
          flow({ bytesUp: 1, bytesDown: 2 }),
          flow({ bytesUp: 10, bytesDown: 20 }),
          flow({ backend: 'copy', state: 'teardown', bytesUp: 100, bytesDown: 200 }),
        ],
        packet: undefined,
      });
    });
    const text = await metrics.registry.metrics();
    expect(snapshots).toBe(1);
    for (const line of [
      'symsplice_flows{backend="splice",state="relay"} 2',
      'symsplice_flows{backend="copy",state="teardown"} 1',
      'symsplice_live_bytes{direction="up"} 111',
      'symsplice_live_bytes{direction="down"} 222',
      'symsplice_handshakes 3',
      'symsplice_open_descriptors 20',
      'symsplice_max_descriptors 1024',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    await metrics.registry.metrics();
    expect(snapshots).toBe(2);
  });

  test('a flow that is gone leaves no gauge behind', async () => {
    const metrics = new Metrics('1');
    let flows = [flow({})];
    metrics.attach(() =>
      Promise.resolve({ handshakes: 0, descriptors: 0, descriptorLimit: 0, flows, packet: undefined }),
    );
    expect(await samples(metrics, 'flows')).toEqual(['{backend="splice",state="relay"} 1']);
    flows = [];
    expect(await samples(metrics, 'flows')).toEqual([]);
  });

  test('relayed bytes include live flows and never go back', async () => {
    const metrics = new Metrics('1');
    let flows = [flow({ bytesUp: 100, bytesDown: 1 })];
    metrics.attach(() =>
      Promise.resolve({ handshakes: 0, descriptors: 0, descriptorLimit: 0, flows, packet: undefined }),
    );
    expect(await samples(metrics, 'relayed_bytes_total')).toContain('{backend="splice",direction="up"} 100');
    flows = [];
    expect(await samples(metrics, 'relayed_bytes_total')).toEqual([]);
    metrics.flowClosed('splice', 'finished', 90, 1, 5);
    expect(await samples(metrics, 'relayed_bytes_total')).toContain('{backend="splice",direction="up"} 100');
    metrics.flowClosed('splice', 'finished', 20, 1, 5);
    expect(await samples(metrics, 'relayed_bytes_total')).toContain('{backend="splice",direction="up"} 110');
  });
});
