/** Scrapes, read as Prometheus reads them. */
import { describe, expect, test } from 'vitest';
import { HttpCounts, OUTCOMES } from '../../../src/control/http-counts.js';
import { HttpMetrics } from '../../../src/control/http-metrics.js';
import type { HttpSnapshot } from '../../../src/control/http-snapshot.js';
import { record, snapshot } from './http-fixture.js';

function metricsOf(http: HttpSnapshot | undefined): HttpMetrics {
  const metrics = new HttpMetrics('1');
  metrics.attach(() =>
    Promise.resolve({ handshakes: 0, descriptors: 9, descriptorLimit: 0, flows: [], packet: undefined, http }),
  );
  return metrics;
}

/** The samples of one metric, as `labels value` lines. */
async function samples(metrics: HttpMetrics, name: string): Promise<string[]> {
  const text = await metrics.registry.metrics();
  const full = `symsplice_http_${name}`;
  return text
    .split('\n')
    .filter((line) => line.startsWith(full) && /[{ ]/.test(line[full.length] ?? ''))
    .map((line) => line.slice(full.length).trim());
}

test('each number has its metric', async () => {
  const counts = new HttpCounts();
  counts.request(record({ originMs: 30 }));
  counts.request(record());
  counts.request(record({ method: 'POST', status: 502, cache: 'none', reason: 'refused', bytesOut: 5, bytesIn: 70 }));
  counts.request(record({ background: true }));
  counts.fillBegan();
  counts.fillBegan();
  counts.fillEnded(true, 'ok', 300);
  counts.fillEnded(false, 'short', 1);
  counts.connected('http://a:80', false);
  counts.connected('http://a:80', true);
  counts.originFailed('http://a:80', 'refused');
  const metrics = metricsOf(snapshot({ numbers: counts.numbers }));
  const expected: Record<string, string[]> = {
    requests_total: ['{method="GET",status="2xx",cache="hit"} 2', '{method="POST",status="5xx",cache="none"} 1'],
    requests_failed_total: ['{reason="refused"} 1'],
    background_requests_total: ['1'],
    request_bytes_total: ['70'],
    request_duration_seconds_count: OUTCOMES.map(
      (cache) => `{cache="${cache}"} ${({ hit: 2, none: 1 } as Record<string, number>)[cache] ?? 0}`,
    ),
    origin_connections_total: ['{origin="http://a:80"} 1'],
    origin_reuses_total: ['{origin="http://a:80"} 1'],
    origin_failures_total: ['{origin="http://a:80",failure="refused"} 1'],
    origin_head_seconds_sum: ['0.03'],
    origin_head_seconds_count: ['1'],
    origin_pool: [
      '{origin="http://o:80",state="busy"} 2',
      '{origin="http://o:80",state="idle"} 1',
      '{origin="http://o:80",state="connecting"} 1',
      '{origin="http://o:80",state="waiting"} 4',
    ],
    connections: ['{state="active"} 3', '{state="idle"} 2'],
    requests: ['3'],
    tunnels: ['1'],
    cache_fills_begun_total: ['2'],
    cache_fills_stored_total: ['1'],
    cache_fills_failed_total: ['{reason="short"} 1'],
    cache_fill_bytes_total: ['300'],
    cache_memory_hits_total: ['50'],
    cache_disk_reads_total: ['7'],
    cache_evicted_total: ['1'],
    cache_purged_total: ['5'],
    cache_lost_total: ['0'],
    cache_objects: ['12'],
    cache_disk_bytes: ['4096'],
    cache_dead_bytes: ['100'],
    cache_memory_objects: ['9'],
    cache_memory_bytes: ['900'],
    cache_open_files: ['2'],
    cache_filling: ['1'],
    cache_waiting: ['4'],
  };
  for (const [name, lines] of Object.entries(expected)) expect(await samples(metrics, name), name).toEqual(lines);
  const bytes = await samples(metrics, 'response_bytes_total');
  expect(bytes).toContain('{cache="hit"} 2000');
  expect(bytes).toContain('{cache="none"} 5');
});

test('buckets are cumulative, for each outcome by itself', async () => {
  const counts = new HttpCounts();
  counts.request(record({ durationMs: 0.2 }));
  counts.request(record({ durationMs: 40 }));
  counts.request(record({ durationMs: 4000, cache: 'miss' }));
  const lines = await samples(metricsOf(snapshot({ numbers: counts.numbers })), 'request_duration_seconds_bucket');
  const of = (cache: string, le: string) => lines.find((line) => line.startsWith(`{cache="${cache}",le="${le}"}`));
  expect(of('hit', '0.0005')).toMatch(/ 1$/);
  expect(of('hit', '0.025')).toMatch(/ 1$/);
  expect(of('hit', '0.05')).toMatch(/ 2$/);
  expect(of('hit', '+Inf')).toMatch(/ 2$/);
  expect(of('miss', '2.5')).toMatch(/ 0$/);
  expect(of('miss', '5')).toMatch(/ 1$/);
});

describe('what is not there', () => {
  test('no cache, no numbers of one', async () => {
    const text = await metricsOf(snapshot({ store: undefined })).registry.metrics();
    expect(text).toContain('\nsymsplice_http_requests 3\n');
    expect(text).not.toMatch(/^symsplice_http_cache_objects [1-9]/m);
  });

  test('before the server runs, a scrape works', async () => {
    expect(await samples(metricsOf(undefined), 'requests_total')).toEqual([]);
  });
});

test('what every server has is there too', async () => {
  const metrics = metricsOf(snapshot());
  metrics.reloaded(true);
  const text = await metrics.registry.metrics();
  expect(text).toContain('\nsymsplice_open_descriptors 9\n');
  expect(text).toContain('\nsymsplice_config_reloads_total{result="ok"} 1\n');
  expect(text).toContain('\nsymsplice_build_info{version="1"} 1\n');
});
