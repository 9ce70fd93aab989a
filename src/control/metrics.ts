/**
 * The metrics of one process in Prometheus form. The server counts with the methods of MetricCounts; everything
 * about labels and text happens here, at the moment of a scrape, through collect() callbacks.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { PACKET_NOTES } from '../abi.gen.js';
import type { PacketSnapshot } from '../engine/packet-snapshot.js';
import type { ServerSnapshot } from '../server/server-interface.js';
import { DurationHistogram } from './duration-histogram.js';
import type { HistogramSeries, HistogramShape } from './duration-histogram.js';
import { addNumbers, DURATION_BUCKETS, MetricCounts, noNumbers } from './metric-counts.js';
import type { MetricNumbers } from './metric-counts.js';

const METRIC_PREFIX = 'symsplice_';

/** May hand over the numbers of worker threads ({@link Metrics.setWorker}) before it resolves. */
export type SnapshotSource = () => Promise<ServerSnapshot>;

/** One sample: the value and its labels. */
export type Sample = readonly [labels: Record<string, string>, value: number];

/** Sums over the life of the process, for `splice-ctl stats`. Bytes include those of live flows. */
export interface MetricTotals {
  readonly accepted: number;
  readonly handshakesFailed: number;
  readonly connectsFailed: number;
  readonly denied: number;
  readonly limited: number;
  readonly authFailed: number;
  readonly flowsOpened: number;
  readonly flowsClosed: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

/** What all metrics of one scrape are made of. */
export interface Scrape {
  readonly numbers: MetricNumbers;
  readonly snapshot: ServerSnapshot;
}

type Read<T> = (scrape: Scrape) => Iterable<T>;
type Definition = [name: string, help: string, labelNames: readonly string[], read: Read<Sample>];

const EMPTY: ServerSnapshot = { handshakes: 0, descriptors: 0, descriptorLimit: 0, flows: [], packet: undefined };

export class Metrics extends MetricCounts {
  readonly registry = new Registry();
  #source: SnapshotSource = () => Promise.resolve(EMPTY);
  #workers = new Map<number, MetricNumbers>();
  #reloads = { ok: 0, failed: 0 };
  #scrape: Promise<Scrape> | undefined;
  /** Highest value shown of each byte counter: a scrape between a flow's end and its last count must not go back. */
  #shownBytes = new Map<string, number>();
  readonly #startedAt = Date.now();

  constructor(version: string) {
    super();
    this.#defineCounters();
    this.#defineGauges(version);
    this.#definePacket();
    this.#defineModule();
  }

  /** Where gauges are read from; call once the server runs. */
  attach(source: SnapshotSource): void {
    this.#source = source;
  }

  /** Takes over the latest numbers of a worker thread; they replace those it sent before. */
  setWorker(worker: number, numbers: MetricNumbers): void {
    this.#workers.set(worker, numbers);
  }

  /** The configuration was read again. */
  reloaded(ok: boolean): void {
    this.#reloads[ok ? 'ok' : 'failed']++;
  }

  async totals(): Promise<MetricTotals> {
    const { numbers, snapshot } = await this.now();
    const backends = [...numbers.backends.values()];
    const live = (key: 'bytesUp' | 'bytesDown') => sum(snapshot.flows.map((flow) => flow[key]));
    return {
      accepted: numbers.accepted,
      handshakesFailed: sum(numbers.handshakeFailed.values()),
      connectsFailed: sum(numbers.connectFailed.values()),
      denied: numbers.denied,
      limited: sum(numbers.limited.values()),
      authFailed: numbers.authFailed,
      flowsOpened: sum(backends.map((backend) => backend.opened)),
      flowsClosed: sum(backends.map((backend) => sum(backend.closed.values()))),
      bytesUp: sum(backends.map((backend) => backend.bytesUp)) + live('bytesUp'),
      bytesDown: sum(backends.map((backend) => backend.bytesDown)) + live('bytesDown'),
    };
  }

  /** The numbers of this moment. All collect() callbacks of one scrape begin in one turn and share one snapshot. */
  protected now(): Promise<Scrape> {
    if (this.#scrape === undefined) {
      this.#scrape = this.#read();
      queueMicrotask(() => (this.#scrape = undefined));
    }
    return this.#scrape;
  }

  // Numbers and flows must be of one moment, else a flow that ends in between counts twice: our own numbers are taken
  // in the turn in which the server of this thread looks at its flows, those of workers come with their flows.
  async #read(): Promise<Scrape> {
    const numbers = noNumbers();
    addNumbers(numbers, this.numbers);
    const snapshot = await this.#source();
    for (const worker of this.#workers.values()) addNumbers(numbers, worker);
    return { numbers, snapshot };
  }

  protected counter(...definition: Definition): void {
    const { options, samples } = this.#define(definition);
    new Counter({
      ...options,
      async collect() {
        const now = await samples();
        this.reset();
        for (const [labels, value] of now) this.inc(labels, value);
      },
    });
  }

  protected gauge(...definition: Definition): void {
    const { options, samples } = this.#define(definition);
    new Gauge({
      ...options,
      async collect() {
        const now = await samples();
        this.reset();
        for (const [labels, value] of now) this.set(labels, value);
      },
    });
  }

  #define([name, help, labelNames, read]: Definition) {
    const options = { name: `${METRIC_PREFIX}${name}`, help, labelNames, registers: [this.registry] };
    return { options, samples: async () => read(await this.now()) };
  }

  protected histogram(shape: HistogramShape, read: Read<HistogramSeries>): void {
    const named = { ...shape, name: `${METRIC_PREFIX}${shape.name}` };
    new DurationHistogram(named, this.registry, async () => read(await this.now()));
  }

  #defineCounters(): void {
    const byLabel = (label: string, counts: ReadonlyMap<string, number>) =>
      [...counts].map(([value, count]): Sample => [{ [label]: value }, count]);
    const counter = this.counter.bind(this);
    counter('connections_accepted_total', 'Connections accepted', [], ({ numbers }) => [[{}, numbers.accepted]]);
    counter('handshakes_failed_total', 'Connections that ended before their request was complete', ['reason'], (s) =>
      byLabel('reason', s.numbers.handshakeFailed),
    );
    counter('connects_failed_total', 'Targets that could not be reached', ['failure'], (s) =>
      byLabel('failure', s.numbers.connectFailed),
    );
    counter('requests_denied_total', 'Requests denied by a rule', [], ({ numbers }) => [[{}, numbers.denied]]);
    counter('auth_failed_total', 'Wrong names or passwords', [], ({ numbers }) => [[{}, numbers.authFailed]]);
    counter('connections_limited_total', 'Connections turned away at a limit', ['limit'], (s) =>
      byLabel('limit', s.numbers.limited),
    );
    counter('flows_opened_total', 'Flows handed to a backend', ['backend'], ({ numbers }) =>
      [...numbers.backends].map(([backend, counts]): Sample => [{ backend }, counts.opened]),
    );
    counter('flows_closed_total', 'Flows ended', ['backend', 'reason'], ({ numbers }) =>
      [...numbers.backends].flatMap(([backend, counts]) =>
        [...counts.closed].map(([reason, count]): Sample => [{ backend, reason }, count]),
      ),
    );
    counter('relayed_bytes_total', 'Bytes relayed, live flows included', ['backend', 'direction'], (scrape) =>
      this.#relayedBytes(scrape),
    );
    counter('config_reloads_total', 'Readings of the configuration while running', ['result'], () =>
      Object.entries(this.#reloads).map(([result, count]): Sample => [{ result }, count]),
    );
    counter('process_cpu_seconds_total', 'Processor time used by the process, user and system', [], () => {
      const { user, system } = process.cpuUsage();
      return [[{}, (user + system) / 1e6]];
    });
    const shape = { name: 'flow_duration_seconds', help: 'Time from accept to the end of a flow' };
    this.histogram({ ...shape, bounds: DURATION_BUCKETS }, ({ numbers }) => [
      { labels: {}, counts: numbers.durations, sumMs: numbers.durationSumMs },
    ]);
  }

  #defineGauges(version: string): void {
    const gauge = this.gauge.bind(this);
    gauge('flows', 'Live flows', ['backend', 'state'], ({ snapshot }) => {
      const counts = new Map<string, { labels: Record<string, string>; count: number }>();
      for (const { backend, state } of snapshot.flows) {
        const key = `${backend} ${state}`;
        const entry = counts.get(key) ?? { labels: { backend, state }, count: 0 };
        entry.count++;
        counts.set(key, entry);
      }
      return [...counts.values()].map(({ labels, count }): Sample => [labels, count]);
    });
    gauge('live_bytes', 'Bytes relayed so far by the flows that live now', ['direction'], ({ snapshot }) => [
      [{ direction: 'up' }, sum(snapshot.flows.map((flow) => flow.bytesUp))],
      [{ direction: 'down' }, sum(snapshot.flows.map((flow) => flow.bytesDown))],
    ]);
    gauge('handshakes', 'Connections between accept and splice', [], ({ snapshot }) => [[{}, snapshot.handshakes]]);
    gauge('open_descriptors', 'Open descriptors', [], ({ snapshot }) => [[{}, snapshot.descriptors]]);
    gauge('max_descriptors', 'Limit of open descriptors', [], ({ snapshot }) => [[{}, snapshot.descriptorLimit]]);
    gauge('process_resident_bytes', 'Resident memory', [], () => [[{}, process.memoryUsage.rss()]]);
    gauge('process_start_time_seconds', 'Start of the process, unix time', [], () => [[{}, this.#startedAt / 1000]]);
    gauge('build_info', 'Always 1; the version is in the label', ['version'], () => [[{ version }, 1]]);
  }

  #definePacket(): void {
    this.#defineKernel('packet', 'the BPF programs', ({ packet }) => packet);
    const gauge = this.gauge.bind(this);
    gauge('packet_entries', 'Entries of its map in use, two a flow', [], ({ snapshot: { packet } }) =>
      packet === undefined ? [] : [[{}, 2 * sum(Object.values(packet.phases))]],
    );
    gauge('packet_max_entries', 'Entries that its map has room for', [], ({ snapshot: { packet } }) =>
      packet === undefined ? [] : [[{}, 2 * packet.maxFlows]],
    );
  }

  #defineModule(): void {
    this.#defineKernel('module', 'the kernel module', ({ module }) => module);
    this.counter('module_counts_total', 'What only the kernel module counts', ['what'], ({ snapshot: { module } }) =>
      Object.entries(module?.more ?? {}).map(([what, count]): Sample => [{ what }, count]),
    );
    this.gauge('module_max_flows', 'Flows that the kernel module has room for', [], ({ snapshot: { module } }) =>
      module?.maxFlows === undefined ? [] : [[{}, module.maxFlows]],
    );
  }

  /** What packet and module backend have in common; nothing is claimed of one that is not in use. */
  #defineKernel(name: string, who: string, of: (snapshot: ServerSnapshot) => KernelNumbers | undefined): void {
    const counted = (label: string, wanted: (counter: string) => boolean): Read<Sample> => {
      return ({ snapshot }) =>
        Object.entries(of(snapshot)?.counters ?? {})
          .filter(([counter]) => wanted(counter))
          .map(([counter, count]): Sample => [{ [label]: counter }, count]);
    };
    const isNote = (counter: string): boolean => PACKET_NOTE_NAMES.has(counter);
    this.counter(
      `${name}_exits_total`,
      `Segments, by the exit of ${who} that they took`,
      ['exit'],
      counted('exit', (counter) => !isNote(counter)),
    );
    this.counter(`${name}_notes_total`, `What ${who} noted on the way to an exit`, ['note'], counted('note', isNote));
    this.counter(`${name}_refused_total`, 'Flows that were due and could not go over', [], ({ snapshot }) => {
      const kernel = of(snapshot);
      return kernel === undefined ? [] : [[{}, kernel.refused]];
    });
    this.gauge(`${name}_flows`, `Flows that the ${name} backend knows`, ['phase'], ({ snapshot }) =>
      Object.entries(of(snapshot)?.phases ?? {}).map(([phase, count]): Sample => [{ phase }, count]),
    );
    this.gauge(`${name}_source_ports`, 'Source ports of flows in the kernel', [], ({ snapshot }) => {
      const kernel = of(snapshot);
      return kernel === undefined ? [] : [[{}, kernel.sourcePortsUsed]];
    });
  }

  #relayedBytes({ numbers, snapshot }: Scrape): Sample[] {
    const bytes = new Map<string, { backend: string; direction: string; value: number }>();
    const add = (backend: string, direction: string, value: number) => {
      const key = `${direction} ${backend}`;
      const entry = bytes.get(key) ?? { backend, direction, value: 0 };
      entry.value += value;
      bytes.set(key, entry);
    };
    for (const [backend, counts] of numbers.backends) {
      add(backend, 'up', counts.bytesUp);
      add(backend, 'down', counts.bytesDown);
    }
    for (const flow of snapshot.flows) {
      add(flow.backend, 'up', flow.bytesUp);
      add(flow.backend, 'down', flow.bytesDown);
    }
    return [...bytes].map(([key, { backend, direction, value }]): Sample => {
      const shown = Math.max(value, this.#shownBytes.get(key) ?? 0);
      this.#shownBytes.set(key, shown);
      return [{ backend, direction }, shown];
    });
  }
}

const PACKET_NOTE_NAMES: ReadonlySet<string> = new Set(PACKET_NOTES);

type KernelNumbers = Pick<PacketSnapshot, 'counters' | 'refused' | 'phases' | 'sourcePortsUsed'>;

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
