/**
 * A Prometheus histogram over buckets that somebody else fills. prom-client's own histogram wants observe() with a label
 * object for each event; this one only turns plain numbers into samples, at the moment of a scrape.
 */
import { Histogram } from 'prom-client';
import type { MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';

export interface HistogramShape {
  readonly name: string;
  readonly help: string;
  /** Upper bounds in seconds; one more bucket is for what is longer. */
  readonly bounds: readonly number[];
  readonly labelNames?: readonly string[];
}

/** The histogram of one set of labels. */
export interface HistogramSeries {
  readonly labels: Readonly<Record<string, string>>;
  /** For each bucket, not cumulative. */
  readonly counts: Iterable<number>;
  readonly sumMs: number;
}

type Read = () => Promise<Iterable<HistogramSeries>>;
type Samples = MetricObjectWithValues<MetricValueWithName<string>>;

export class DurationHistogram extends Histogram {
  readonly #shape: HistogramShape;
  /** Gives name, help and type; asking the base class itself would lead back to getForPromString below. */
  readonly #frame: Histogram;
  readonly #read: Read;

  constructor(shape: HistogramShape, registry: Registry, read: Read) {
    const { name, help, bounds, labelNames = [] } = shape;
    const plain = { name, help, buckets: [...bounds], labelNames: [...labelNames] };
    super({ ...plain, registers: [registry] });
    this.#shape = shape;
    this.#frame = new Histogram({ ...plain, registers: [] });
    this.#read = read;
  }

  override async get(): Promise<Samples> {
    const series = await this.#read();
    const frame = await this.#frame.get();
    return { ...frame, values: [...series].flatMap((one) => samplesOf(this.#shape, one)) };
  }

  /** The registry prefers this undeclared method of the base class when it writes text; both must agree. */
  getForPromString(): Promise<Samples> {
    return this.get();
  }
}

function samplesOf(
  { name, bounds }: HistogramShape,
  { labels, counts, sumMs }: HistogramSeries,
): MetricValueWithName<string>[] {
  const values: MetricValueWithName<string>[] = [];
  let total = 0;
  let bucket = 0;
  for (const count of counts) {
    total += count;
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: bounds[bucket++] ?? '+Inf' }, value: total });
  }
  values.push({ metricName: `${name}_sum`, labels, value: sumMs / 1000 });
  values.push({ metricName: `${name}_count`, labels, value: total });
  return values;
}
