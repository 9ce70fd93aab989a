/** Numbers, points and summaries for people. Pure; used by tables, pictures and the page. */
import { humanBytes } from '../../cli/format.js';
import type { Axis, FigureFacts, Metric, Point, Summary } from '../model.js';

/** Metrics of times say so in their id, as `p50us` and `handshakeP50us` do. */
export const isMicroseconds = (metric: Pick<Metric, 'id'>): boolean => /us$/i.test(metric.id);

const US = / \(us\)$/;

/** `p50 (us)` without its unit. */
export const withoutUnit = (metric: Metric): string => metric.title.replace(US, '');

/** Above this median, times are written in milliseconds: nobody reads seven digits. */
const MANY_MICROSECONDS = 20_000;

export interface Unit {
  readonly metric: Metric;
  /** Values are multiplied by it. */
  readonly factor: number;
}

/** How the values of one table are written, whose greatest is given. */
export function unitOf(metric: Metric, greatest: number): Unit {
  if (!US.test(metric.title) || greatest < MANY_MICROSECONDS) return { metric, factor: 1 };
  return { metric: { ...metric, title: metric.title.replace(US, ' (ms)'), digits: 3 }, factor: 1e-3 };
}

function grouped(text: string): string {
  const [whole = '', fraction] = text.split('.');
  const digits = whole.replace(/^-/, '').length;
  const spaced = digits < 5 ? whole : whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}

/** So many digits behind the point; fewer where three stand before it anyway, more for what would be shown as zero. */
export function formatNumber(value: number, digits: number): string {
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  if (size < 10 ** -digits) return size < 1e-6 ? value.toExponential(1) : String(Number(value.toPrecision(2)));
  const three = 2 - Math.floor(Math.log10(Number(size.toPrecision(3))));
  return grouped(value.toFixed(Math.min(digits, Math.max(0, three))));
}

/** `12.3 [11.9-12.8]`; the median alone when there is no spread. `-`: nothing was measured. */
export function formatSummary(summary: Summary | undefined, digits: number, factor = 1): string {
  if (summary === undefined) return '-';
  const [median, min, max] = [summary.median, summary.min, summary.max].map((value) =>
    formatNumber(value * factor, digits),
  );
  return min === max ? (median ?? '-') : `${median} [${min}-${max}]`;
}

const plain = (value: number): string => String(Number(value.toPrecision(6)));

const COUNTS = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e4, 'k'],
] as const;

/** `1,000`, `10k`, `1M`: numbers of connections or entries, which are round. */
function formatCount(value: number): string {
  const step = COUNTS.find(([size]) => Math.abs(value) >= size);
  if (step === undefined) return grouped(plain(value));
  const unit = step[1] === 'k' ? 1e3 : step[0];
  return `${plain(value / unit)}${step[1]}`;
}

/** A place on an axis, as ticks and tables write it. */
export function formatPlace(value: number | string, axis: Pick<Axis, 'unit'> | undefined): string {
  if (typeof value === 'string') return value;
  switch (axis?.unit) {
    case 'bytes':
      return humanBytes(value).replace('.0 ', ' ');
    case 'share':
      return `${plain(value * 100)} %`;
    case undefined:
      return formatCount(value);
  }
}

const DIRECTIONS: Readonly<Record<string, string>> = { down: 'download', up: 'upload' };

/** What stands above a table or a panel: `8 connections`, `download`, `1 KiB`. */
export function formatFacet(point: Point, axes: readonly Axis[]): string {
  return axes
    .flatMap((axis) => {
      const value = point[axis.id];
      if (value === undefined) return [];
      if (axis.id === 'direction') return [DIRECTIONS[value] ?? String(value)];
      if (axis.id === 'connections') return [value === 1 ? '1 connection' : `${formatPlace(value, axis)} connections`];
      if (typeof value === 'string') return [value];
      return [`${axis.title}: ${formatPlace(value, axis)}`];
    })
    .join(', ');
}

/** `Gbit/s, more is better`. */
export function formatDirection(metric: Metric): string {
  return `${metric.title}, ${metric.lowerIsBetter ? 'less' : 'more'} is better`;
}

/** How figures are called: `a: Response time against size`; those of one's own have no letter. */
export function formatTitle(figure: FigureFacts): string {
  return figure.letter === '' ? figure.title : `${figure.letter}: ${figure.title}`;
}
