#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// Compares TCP relays on one machine: plain routing, symsplice's backends and other proxies, under the
// same load, interleaved. Needs root (network namespaces) and a C compiler. See bench/README.md.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PROXY_PORT, SERVER_PORT, chooseContestants } from './compare/contestants.mjs';
import { buildLoad } from './compare/build.mjs';
import { ADDRESSES, CLIENT_LINK, Lab, lockMachine } from './compare/lab.mjs';
import { DEFAULT_MODES, parseMode } from './compare/modes.mjs';
import { buildReport, formatRatios, formatSeries, formatTable } from './compare/report.mjs';

const HELP = `usage: node bench/compare.mjs [options]
  --only A,B       contestants (default: all that are installed); ours-BACKEND for any backend, with more
                   arguments behind it if need be: "ours-packet --packet-after-time 20ms"
  --modes A,B      connect[C] down[C] up[C] ping[C] small[C] fetch[C][:SIZE], C = connections, SIZE as 4K or 1M
                   (default: ${DEFAULT_MODES.join(',')}; fetch without a size: from 4K to 100M)
  --family 4|6     IP version on both sides of the relay (default 4)
  --reps N         interleaved repetitions (default 5)
  --seconds S      measured interval of one trial (default 3)
  --warmup S       load before it, not measured (default 0.5)
  --quick          --reps 1 --seconds 1 --warmup 0.3
  --quiet-wait S   wait at most S seconds before a trial for other processes to calm down (default 10)
  --ours-args TEXT more arguments for splice-socks, separated by spaces
  --json FILE      where the JSON goes (default build/bench/compare.json)
  --logs DIR       where contestants' output goes (default build/bench/logs)`;

const bench = dirname(fileURLToPath(import.meta.url));
const root = dirname(bench);
const buildDir = join(root, 'build/bench');
const READY_MS = 15_000;

function parseOptions() {
  const text = { type: 'string' };
  const { values } = parseArgs({
    options: {
      only: text,
      modes: text,
      family: text,
      reps: text,
      seconds: text,
      warmup: text,
      json: text,
      logs: text,
      'quiet-wait': text,
      'ours-args': text,
      quick: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const number = (name, fallback, least) => {
    const value = Number(values[name] ?? fallback);
    if (!(value >= least && value <= 3600)) throw new Error(`--${name} ${values[name]}: not a usable number`);
    return value;
  };
  const address = ADDRESSES[values.family ?? '4'];
  if (!address) throw new Error(`--family ${values.family}: 4 or 6`);
  const list = (value) => value?.split(',').filter(Boolean);
  return {
    help: values.help,
    contestants: chooseContestants(list(values.only), (values['ours-args'] ?? '').split(' ').filter(Boolean)),
    modes: (list(values.modes) ?? DEFAULT_MODES).flatMap(parseMode),
    address,
    reps: Math.round(number('reps', values.quick ? 1 : 5, 1)),
    seconds: number('seconds', values.quick ? 1 : 3, 0.1),
    warmup: number('warmup', values.quick ? 0.3 : 0.5, 0),
    quietWait: number('quiet-wait', 10, 0),
    json: values.json ?? join(buildDir, 'compare.json'),
    logs: values.logs ?? join(buildDir, 'logs'),
  };
}

function route(contestant, address) {
  const server = `${address.target}:${SERVER_PORT}`;
  const proxy = `${address.proxy}:${PROXY_PORT}`;
  switch (contestant.via) {
    case 'direct':
      return ['--via', 'direct', '--target', server];
    case 'relay':
      return ['--via', 'direct', '--target', proxy];
    default:
      return ['--via', 'socks5', '--proxy', proxy, '--target', server];
  }
}

const tail = (file) => readFileSync(file, 'utf8').trim().split('\n').slice(-3).join(' | ').slice(-300);

const machineTicks = () => {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: fields[3] + fields[4], all: fields.reduce((a, b) => a + b, 0) };
};

/** Waits until the machine has been nearly idle for 200 ms, or the time is over. Gives the last idle share. */
async function waitForQuiet(seconds) {
  let share = 1;
  for (const end = Date.now() + seconds * 1000; ;) {
    const before = machineTicks();
    await sleep(200);
    const after = machineTicks();
    share = (after.idle - before.idle) / Math.max(1, after.all - before.all);
    if (share > 0.9 || Date.now() >= end) return share;
  }
}

class Comparison {
  #lab;
  #load;
  #options;
  #server;

  constructor(lab, load, options) {
    [this.#lab, this.#load, this.#options] = [lab, load, options];
    this.#server = lab.start('srv', [load, 'serve', String(SERVER_PORT)]);
  }

  async #run(contestant, args, seconds) {
    const { address } = this.#options;
    const where = [...route(contestant, address), '--source', address.sources, '--interface', CLIENT_LINK];
    const command = [this.#load, 'run', ...where, ...args];
    const { out, err, code } = await this.#lab.output('cli', command, (seconds + 30) * 1000);
    return out ? { result: JSON.parse(out) } : { failure: `load generator ended with ${code}: ${err.trim()}` };
  }

  /** Ready means: a round trip through it works. */
  async #ready(contestant, child, log) {
    for (const end = Date.now() + READY_MS; Date.now() < end; await sleep(50)) {
      if (child && (child.exitCode !== null || child.signalCode !== null)) return `it ended at once: ${tail(log)}`;
      const trial = await this.#run(contestant, ['--mode', 'ping', '--count', '1', '--timeout', '2'], 2);
      if (trial.result?.clean) return undefined;
    }
    return `not ready after ${READY_MS / 1000} s: ${log ? tail(log) : 'no route'}`;
  }

  /** One trial: a fresh process, warm-up, measurement, end. */
  async trial(contestant, mode) {
    const { seconds, warmup, logs, quietWait, address } = this.#options;
    const command = contestant.command(address, logs);
    const log = join(logs, `${contestant.name.replace(/[^\w.-]+/g, '_')}.log`);
    const child = command && this.#lab.start('prx', command, { env: contestant.env?.(address), log });
    try {
      const problem = await this.#ready(contestant, child, command && log);
      if (problem) return { failure: problem };
      const idleBefore = await waitForQuiet(quietWait);
      const what = ['--mode', mode.mode, ...mode.args, '--connections', String(mode.connections)];
      const args = [...what, '--seconds', String(seconds)];
      const pids = ['--server-pid', String(this.#server.pid), ...(child ? ['--pid', String(child.pid)] : [])];
      return {
        idleBefore,
        ...(await this.#run(contestant, [...args, '--warmup', String(warmup), ...pids], seconds + warmup)),
      };
    } finally {
      if (child) await this.#lab.stop(child);
    }
  }
}

function showHeadline(figure, result) {
  const value = figure.of(result);
  return Number.isFinite(value) ? `${value.toFixed(figure.digits)} ${figure.name}` : 'nothing came to its end';
}

async function compare(options) {
  const missing = options.contestants.filter((one) => one.missing());
  for (const one of missing) console.error(`left out: ${one.name} (${one.missing()})`);
  const present = options.contestants.filter((one) => !one.missing());
  if (present.length === 0) throw new Error('nobody is left to compare');
  const unlock = lockMachine();
  let lab;
  const cleanUp = () => {
    lab?.close();
    unlock();
  };
  process.once('exit', cleanUp);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

  const load = buildLoad(buildDir);
  mkdirSync(options.logs, { recursive: true });
  lab = new Lab();
  const comparison = new Comparison(lab, load, options);
  const trials = [];
  for (let rep = 1; rep <= options.reps; rep++) {
    for (const mode of options.modes) {
      for (const contestant of present) {
        const trial = await comparison.trial(contestant, mode);
        trials.push({ rep, mode: mode.name, contestant: contestant.name, ...trial });
        const shown = trial.result ? showHeadline(mode.figures[0], trial.result) : trial.failure;
        const trouble = trial.result && !trial.result.clean ? `  ERRORS: ${trial.result.firstError}` : '';
        console.error(`${rep}/${options.reps} ${mode.name} ${contestant.name}: ${shown}${trouble}`);
      }
    }
  }
  const names = present.map((one) => one.name);
  const rows = buildReport(names, options.modes, trials);
  const tables = [
    ...options.modes.map((mode) => {
      const own = rows.filter((r) => r.mode === mode.name);
      return formatTable(mode, own);
    }),
    ...formatSeries(options.modes, rows, names),
    formatRatios(options.modes, rows),
  ];
  for (const table of tables.filter(Boolean)) console.log(`\n${table}`);
  console.log(
    '\nmedian [least-greatest]; "x NAME": first figure against NAME in the same repetition (HAProxy/Dante: the better of ' +
      'haproxy-splice and dante; SOCKS server: of microsocks and dante); "~": other load on the machine',
  );
  const machine = {
    kernel: release(),
    processors: availableParallelism(),
    model: cpus()[0]?.model,
    node: process.version,
  };
  const { reps, seconds, warmup } = options;
  const leftOut = missing.map((one) => ({ contestant: one.name, reason: one.missing() }));
  mkdirSync(dirname(options.json), { recursive: true });
  const { family } = options.address;
  writeFileSync(
    options.json,
    JSON.stringify({ machine, family, reps, seconds, warmup, leftOut, rows, trials }, null, 1),
  );
  console.log(`JSON: ${relative(process.cwd(), options.json)}`);
  return trials.every((trial) => trial.result?.clean);
}

try {
  const options = parseOptions();
  if (options.help) {
    console.log(HELP);
    process.exit(0);
  }
  process.exit((await compare(options)) ? 0 : 3);
} catch (error) {
  console.error(`compare: ${error.message}`);
  process.exit(1);
}
