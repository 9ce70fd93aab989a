// SPDX-License-Identifier: MIT
//
// What is measured: a mode name is a kind, the number of connections and, for fetch, a size (`down8`,
// `connect32`, `fetch:64K`, `fetch8:1M`). Each kind has one headline figure, for ranking, and a few more
// for the table; those marked `compared` also stand in the table of ratios.

const GB = 1e9;

/** The sizes of the thesis' figure 6, which `fetch` without a size stands for. */
const FETCH_SIZES = ['4K', '16K', '64K', '256K', '1M', '4M', '16M', '100M'];

const cpuPerGb = (result) => (result.bytes > 0 ? result.cpu.busy / (result.bytes / GB) : NaN);
const proxyPerGb = (result) => (result.bytes > 0 ? result.cpu.proxy / (result.bytes / GB) : NaN);
const microseconds = (cpu, operations) => (operations > 0 ? (cpu * 1e6) / operations : NaN);
/** A quantile; none when nothing came to its end in the measured interval. */
const time = (histogram, quantile) => (result) => (result[histogram].count > 0 ? result[histogram][quantile] : NaN);
const segments = (result) => result.wire.segmentsOut + result.wire.segmentsIn;

const lower = { lowerIsBetter: true };
const compared = { compared: true };

const bulk = (mode) => ({
  mode,
  connections: 1,
  figures: [
    { name: 'Gbit/s', of: (r) => r.gbps, digits: 2, ...compared },
    { name: 'cpu s/GB', of: cpuPerGb, digits: 2, ...lower, ...compared },
    { name: 'proxy s/GB', of: proxyPerGb, digits: 2, ...lower },
  ],
});

const KINDS = {
  connect: {
    mode: 'connect',
    connections: 8,
    figures: [
      { name: 'conn/s', of: (r) => r.perSecond, digits: 0, ...compared },
      { name: 'p50 us', of: time('latencyUs', 'p50'), digits: 0, ...lower },
      { name: 'p99 us', of: time('latencyUs', 'p99'), digits: 0, ...lower },
      { name: 'cpu us/conn', of: (r) => microseconds(r.cpu.busy, r.operations), digits: 0, ...lower, ...compared },
      { name: 'proxy us/conn', of: (r) => microseconds(r.cpu.proxy, r.operations), digits: 0, ...lower },
    ],
  },
  down: bulk('download'),
  up: bulk('upload'),
  ping: {
    mode: 'ping',
    connections: 1,
    figures: [
      { name: 'p50 us', of: time('latencyUs', 'p50'), digits: 1, ...lower, ...compared },
      { name: 'p90 us', of: time('latencyUs', 'p90'), digits: 1, ...lower },
      { name: 'p99 us', of: time('latencyUs', 'p99'), digits: 1, ...lower, ...compared },
      { name: 'max us', of: time('latencyUs', 'max'), digits: 0, ...lower },
      { name: 'cpu us/trip', of: (r) => microseconds(r.cpu.busy, r.operations), digits: 1, ...lower },
    ],
  },
  // A relay that joins messages sends fewer and larger segments: so both figures, and the size of a segment.
  small: {
    mode: 'small',
    connections: 1,
    figures: [
      { name: 'segments/s', of: (r) => segments(r) / r.seconds, digits: 0, ...compared },
      { name: 'messages/s', of: (r) => r.perSecond, digits: 0, ...compared },
      { name: 'bytes/segment', of: (r) => (2 * r.bytes) / segments(r), digits: 1 },
      { name: 'cpu us/message', of: (r) => microseconds(r.cpu.busy, r.operations), digits: 2, ...lower },
    ],
  },
  fetch: {
    mode: 'fetch',
    connections: 1,
    figures: [
      { name: 'p50 us', of: time('latencyUs', 'p50'), digits: 0, ...lower, ...compared },
      { name: 'p90 us', of: time('latencyUs', 'p90'), digits: 0, ...lower, ...compared },
      { name: 'response p50 us', of: time('responseUs', 'p50'), digits: 0, ...lower },
      { name: 'response p90 us', of: time('responseUs', 'p90'), digits: 0, ...lower },
      { name: 'cpu us/fetch', of: (r) => microseconds(r.cpu.busy, r.operations), digits: 0, ...lower },
    ],
  },
};

export const DEFAULT_MODES = ['connect', 'down1', 'down8', 'up1', 'ping', 'small'];

const UNITS = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** The modes that one name stands for; more than one for `fetch` without a size. */
export function parseMode(name) {
  const match = /^(connect|down|up|ping|small|fetch)(\d+)?(?::(\d+)([KMG]?))?$/.exec(name);
  const [, kind, count, size, unit] = match ?? [];
  const connections = count === undefined ? KINDS[kind]?.connections : Number(count);
  if (!match || connections < 1 || (size !== undefined && kind !== 'fetch'))
    throw new Error(`no mode "${name}"; examples: connect, connect32, down1, up8, ping, small8, fetch, fetch8:64K`);
  if (kind === 'fetch' && size === undefined) return FETCH_SIZES.flatMap((each) => parseMode(`${name}:${each}`));
  const bytes = size === undefined ? undefined : Number(size) * UNITS[unit];
  const series = bytes === undefined ? {} : { series: name.split(':')[0], size: name.split(':')[1] };
  return [{ ...KINDS[kind], ...series, name, connections, args: bytes === undefined ? [] : ['--size', String(bytes)] }];
}
