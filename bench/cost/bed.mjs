// SPDX-License-Identifier: MIT
//
// One data plane under one load: splice-socks on the proxy host, the load generator on the client's, and what the
// kernel counted while the load was in its measured interval.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ours, PROXY_PORT, SERVER_PORT } from '../compare/contestants.mjs';
import { CLIENT_LINK } from '../compare/lab.mjs';
import { between, findDataPlane } from './programs.mjs';

const LINKS = ['tocli', 'tosrv'];
const READY_MS = 20_000;
/** Nothing is counted so close to the end of the load, whose connections then close. */
const MARGIN_MS = 200;

export class Bed {
  #lab;
  #load;
  #options;
  #server;

  /** @param options address, logs, extra (arguments for splice-socks) */
  constructor(lab, load, options) {
    [this.#lab, this.#load, this.#options] = [lab, load, options];
    this.#server = lab.start('srv', [load, 'serve', String(SERVER_PORT)]);
  }

  #command(via, args) {
    const { address } = this.#options;
    const target = ['--target', `${address.target}:${SERVER_PORT}`];
    const route =
      via === 'direct' ? ['--via', 'direct'] : ['--via', 'socks5', '--proxy', `${address.proxy}:${PROXY_PORT}`];
    return [this.#load, 'run', ...route, ...target, '--source', address.sources, '--interface', CLIENT_LINK, ...args];
  }

  /** Runs `use({ plane, pid })` beside a fresh splice-socks with more arguments. */
  async withProxy(args, use) {
    const { address, logs, extra } = this.#options;
    const proxy = ours('ours-packet-now', ['--max-connections', '0', ...args, ...extra]);
    const child = this.#lab.start('prx', proxy.command(address), { log: join(logs, 'packet-cost.log') });
    try {
      await this.#ready(child);
      const plane = findDataPlane(this.#lab, 'prx', LINKS);
      if (!plane) throw new Error(`splice-socks attached no program; see ${join(logs, 'packet-cost.log')}`);
      return await use({ plane, pid: child.pid });
    } finally {
      await this.#lab.stop(child);
    }
  }

  async #ready(child) {
    for (const end = Date.now() + READY_MS; Date.now() < end; await sleep(50)) {
      if (child.exitCode !== null || child.signalCode !== null) break;
      const command = this.#command('socks5', ['--mode', 'ping', '--count', '1', '--timeout', '2']);
      const { out } = await this.#lab.output('cli', command, READY_MS);
      if (out && JSON.parse(out).clean) return;
    }
    throw new Error(`splice-socks does not serve; see ${join(this.#options.logs, 'packet-cost.log')}`);
  }

  /**
   * Puts a load on and calls `during()` when its connections are open and the warm-up is over. The load lasts
   * `seconds` from then, or longer if `during` does; gives its report and what `during` gave.
   */
  async under(via, args, seconds, during) {
    let begun;
    const announced = new Promise((resolve) => (begun = resolve));
    const command = this.#command(via, [...args, '--seconds', String(seconds), '--warmup', '1', '--announce']);
    const load = this.#lab.output('cli', command, (seconds + 180) * 1000, begun);
    await Promise.race([announced, load]);
    const [seen, { out, err, code }] = await Promise.all([during(), load]);
    if (!out) throw new Error(`the load generator ended with ${code}: ${err.trim()}`);
    const result = JSON.parse(out);
    if (!result.clean) throw new Error(`the load failed: ${result.errors} errors, first: ${result.firstError}`);
    return { result, seen };
  }

  /** What the programs did in the measured interval of a load. */
  async count(plane, via, args, seconds, before = () => {}) {
    const { result, seen } = await this.under(via, args, seconds, async () => {
      const started = performance.now();
      await before();
      const from = plane.snapshot();
      await sleep(seconds * 1000 - MARGIN_MS - (performance.now() - started));
      return between(from, plane.snapshot());
    });
    return { result, ...seen };
  }

  /** Sockets of TCP on the proxy host, listening ones and those in TIME_WAIT left out. */
  sockets() {
    const states = ['state', 'connected', 'exclude', 'time-wait'];
    return this.#lab
      .command('prx', 'ss', '-Htan', ...states)
      .split('\n')
      .filter(Boolean).length;
  }
}
