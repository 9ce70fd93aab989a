/**
 * A Prometheus histogram over buckets that MetricCounts fills. prom-client's own histogram wants observe() with a
 * label object for each flow; this one only turns plain numbers into samples, at the moment of a scrape.
 */
import { Histogram } from 'prom-client';
import type { MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';
import { DURATION_BUCKETS } from './metric-counts.js';
import type { MetricNumbers } from './metric-counts.js';

type Read = () => Promise<Pick<MetricNumbers, 'durations' | 'durationSumMs'>>;
type Samples = MetricObjectWithValues<MetricValueWithName<string>>;

export class DurationHistogram extends Histogram {
  readonly #id: string;
  /** Gives name, help and type; asking the base class itself would lead back to getForPromString below. */
  readonly #frame: Histogram;
  readonly #read: Read;

  constructor(name: string, registry: Registry, read: Read) {
    const shape = { name, help: 'Time from accept to the end of a flow', buckets: [...DURATION_BUCKETS] };
    super({ ...shape, registers: [registry] });
    this.#id = name;
    this.#frame = new Histogram({ ...shape, registers: [] });
    this.#read = read;
  }

  override async get(): Promise<Samples> {
    const { durations, durationSumMs } = await this.#read();
    const frame = await this.#frame.get();
    const values: MetricValueWithName<string>[] = [];
    let count = 0;
    durations.forEach((flows, bucket) => {
      count += flows;
      values.push({
        metricName: `${this.#id}_bucket`,
        labels: { le: DURATION_BUCKETS[bucket] ?? '+Inf' },
        value: count,
      });
    });
    values.push({ metricName: `${this.#id}_sum`, labels: {}, value: durationSumMs / 1000 });
    values.push({ metricName: `${this.#id}_count`, labels: {}, value: count });
    return { ...frame, values };
  }

  /** The registry prefers this undeclared method of the base class when it writes text; both must agree. */
  getForPromString(): Promise<Samples> {
    return this.get();
  }
}
