/** The numbers that figures are about, as they are read from one result of the load generator. */
import type { LoadResult, Metric } from './model.js';

/** A metric and where it comes from. What could not be measured is not finite. */
export interface Measure extends Metric {
  of(result: LoadResult): number;
}

const GB = 1e9;

const perGb = (seconds: number, bytes: number): number => (bytes > 0 ? seconds / (bytes / GB) : NaN);
const microsecondsEach = (seconds: number, operations: number): number =>
  operations > 0 ? (seconds * 1e6) / operations : NaN;
/** Of the contestant's processes. None run beside the router, and those of another machine cannot be seen: no number. */
const ofProxy = ({ cpu }: LoadResult): number => (cpu.proxy > 0 ? cpu.proxy : NaN);
/** As the client's interface counted them. */
const segments = ({ wire }: LoadResult): number => (wire === undefined ? NaN : wire.segmentsOut + wire.segmentsIn);

type Quantile = 'p50' | 'p90' | 'p99' | 'p999' | 'max';
type Times = 'latencyUs' | 'handshakeUs' | 'responseUs';

/** No quantile when nothing came to its end in the measured interval. */
const quantile =
  (times: Times, which: Quantile) =>
  (result: LoadResult): number => {
    const found = result[times];
    return found !== undefined && found.count > 0 ? found[which] : NaN;
  };

const time = (id: string, title: string, digits: number, of: Measure['of']): Measure => ({
  id,
  title: `${title} (us)`,
  digits,
  lowerIsBetter: true,
  of,
});

/** The same measure, standing in the tables of ratios. */
export const compared = (measure: Measure): Measure => ({ ...measure, compared: true });

/** Times of single trips want a digit more than those of whole connections. */
export const latency = (which: Quantile, digits = 0): Measure =>
  time(`${which}us`, which, digits, quantile('latencyUs', which));

/** From the request to the end of the response, without connect and handshake. */
export const response = (which: Quantile): Measure =>
  time(`response${which.toUpperCase()}us`, `response ${which}`, 0, quantile('responseUs', which));

export const handshake = (which: Quantile): Measure =>
  time(`handshake${which.toUpperCase()}us`, `handshake ${which}`, 0, quantile('handshakeUs', which));

/** Processor time of the whole machine for one operation; `noun` is what an operation is. */
export const cpuEach = (noun: string, digits = 0): Measure =>
  time('cpuUs', `cpu/${noun}`, digits, (result) => microsecondsEach(result.cpu.busy, result.operations));

export const proxyEach = (noun: string, digits = 0): Measure =>
  time('proxyUs', `proxy/${noun}`, digits, (result) => microsecondsEach(ofProxy(result), result.operations));

export const perSecond = (noun: string): Measure => ({
  id: 'perSecond',
  title: `${noun}/s`,
  digits: 0,
  lowerIsBetter: false,
  of: ({ operations, perSecond: rate }) => (operations > 0 ? rate : NaN),
});

export const GBPS: Measure = {
  id: 'gbps',
  title: 'Gbit/s',
  digits: 2,
  lowerIsBetter: false,
  of: ({ bytes, gbps }) => (bytes > 0 ? gbps : NaN),
};

/** user + system + softirq + irq of the machine, load generator included. */
export const CPU_PER_GB: Measure = {
  id: 'cpuPerGb',
  title: 'cpu (s/GB)',
  digits: 2,
  lowerIsBetter: true,
  of: ({ cpu, bytes }) => perGb(cpu.busy, bytes),
};

export const SOFTIRQ_PER_GB: Measure = {
  id: 'softirqPerGb',
  title: 'softirq (s/GB)',
  digits: 2,
  lowerIsBetter: true,
  of: ({ cpu, bytes }) => perGb(cpu.softirq + cpu.irq, bytes),
};

export const PROXY_PER_GB: Measure = {
  id: 'proxyPerGb',
  title: 'proxy (s/GB)',
  digits: 2,
  lowerIsBetter: true,
  of: (result) => perGb(ofProxy(result), result.bytes),
};

export const SEGMENTS_PER_SECOND: Measure = {
  id: 'segmentsPerSecond',
  title: 'segments/s',
  digits: 0,
  lowerIsBetter: false,
  of: (result) => segments(result) / result.seconds,
};

/** Payload, both ways: a relay that joins messages sends fewer and larger segments. */
export const BYTES_PER_SEGMENT: Measure = {
  id: 'bytesPerSegment',
  title: 'bytes/segment',
  digits: 1,
  lowerIsBetter: false,
  of: (result) => (2 * result.bytes) / segments(result),
};

/** The metrics without the way to them, for the file of results. */
export const metricsOf = (measures: readonly Measure[]): readonly Metric[] =>
  measures.map(({ id, title, digits, lowerIsBetter, compared: also }) => ({
    id,
    title,
    digits,
    lowerIsBetter,
    ...(also === true ? { compared: true } : {}),
  }));

/** Every measure of one result, those that are not finite too. */
export const valuesOf = (measures: readonly Measure[], result: LoadResult): Readonly<Record<string, number>> =>
  Object.fromEntries(measures.map(({ id, of }) => [id, of(result)]));
