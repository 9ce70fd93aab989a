// SPDX-License-Identifier: MIT
//
// What is measured: a mode name is a kind and the number of connections (`down8`, `connect32`). Each
// kind has one headline figure, for ratios and ranking, and a few more for the table.

const GB = 1e9;

const cpuPerGb = (result) => (result.bytes > 0 ? result.cpu.busy / (result.bytes / GB) : NaN);
const proxyPerGb = (result) => (result.bytes > 0 ? result.cpu.proxy / (result.bytes / GB) : NaN);
const microseconds = (cpu, operations) => (operations > 0 ? (cpu * 1e6) / operations : NaN);

const bulk = (mode) => ({
  mode,
  connections: 1,
  figures: [
    { name: 'Gbit/s', of: (r) => r.gbps, digits: 2 },
    { name: 'cpu s/GB', of: cpuPerGb, digits: 2, lowerIsBetter: true },
    { name: 'proxy s/GB', of: proxyPerGb, digits: 2, lowerIsBetter: true },
  ],
});

const KINDS = {
  connect: {
    mode: 'connect',
    connections: 8,
    figures: [
      { name: 'conn/s', of: (r) => r.perSecond, digits: 0 },
      { name: 'p50 us', of: (r) => r.latencyUs.p50, digits: 0, lowerIsBetter: true },
      { name: 'p99 us', of: (r) => r.latencyUs.p99, digits: 0, lowerIsBetter: true },
      { name: 'cpu us/conn', of: (r) => microseconds(r.cpu.busy, r.operations), digits: 0, lowerIsBetter: true },
      { name: 'proxy us/conn', of: (r) => microseconds(r.cpu.proxy, r.operations), digits: 0, lowerIsBetter: true },
    ],
  },
  down: bulk('download'),
  up: bulk('upload'),
  ping: {
    mode: 'ping',
    connections: 1,
    figures: [
      { name: 'p50 us', of: (r) => r.latencyUs.p50, digits: 1, lowerIsBetter: true },
      { name: 'p90 us', of: (r) => r.latencyUs.p90, digits: 1, lowerIsBetter: true },
      { name: 'p99 us', of: (r) => r.latencyUs.p99, digits: 1, lowerIsBetter: true },
      { name: 'max us', of: (r) => r.latencyUs.max, digits: 0, lowerIsBetter: true },
      { name: 'cpu us/trip', of: (r) => microseconds(r.cpu.busy, r.operations), digits: 1, lowerIsBetter: true },
    ],
  },
};

export const DEFAULT_MODES = ['connect', 'down1', 'down8', 'up1', 'ping'];

export function parseMode(name) {
  const match = /^(connect|down|up|ping)(\d+)?$/.exec(name);
  const kind = match && KINDS[match[1]];
  const connections = match?.[2] === undefined ? kind?.connections : Number(match[2]);
  if (!kind || connections < 1)
    throw new Error(`no mode "${name}"; examples: connect, connect32, down1, down8, up1, ping`);
  return { ...kind, name, connections };
}
