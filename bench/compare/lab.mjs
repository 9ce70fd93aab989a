// SPDX-License-Identifier: MIT
//
// Three hosts in network namespaces, and the processes that run in them.
//
//   cli ── 10.201.1.0/24 ── prx ── 10.201.2.0/24 ── srv
//          fd73:51::/64          fd73:52::/64
//   .100-.163 (sources)  .1     .1                  .2
//   ::100-::13f          ::1    ::1                 ::2
//
// The lab owns everything it makes: close() ends the processes by id and removes the namespaces. What
// a killed run left behind is removed by the next one.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, openSync, closeSync, readFileSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PREFIX = 'splbench';
const LOCK = join(tmpdir(), 'splbench.lock');
const SOURCES = 64;

/** The addresses that the load uses, by IP version; IPv6 in the brackets that a port is written behind. */
export const ADDRESSES = {
  4: {
    family: 4,
    any: '0.0.0.0',
    proxy: '10.201.1.1',
    target: '10.201.2.2',
    sources: `10.201.1.100/${SOURCES}`,
  },
  6: {
    family: 6,
    any: '[::]',
    proxy: '[fd73:51::1]',
    target: '[fd73:52::2]',
    sources: `fd73:51::100/${SOURCES}`,
  },
};

/** The client's interface, whose packets are what a relay's client sees on the wire. */
export const CLIENT_LINK = 'toprx';

/** A wide port range and reuse of TIME_WAIT keep port exhaustion out of the measurement, on all three hosts. */
const SYSCTLS = [
  'net.ipv4.ip_local_port_range=10000 65535',
  'net.ipv4.tcp_tw_reuse=1',
  'net.core.somaxconn=4096',
  'net.ipv4.tcp_max_syn_backlog=4096',
];

/** The proxy host leaves ports to a relay that owns a range of its own. */
const PROXY_SYSCTLS = [
  'net.ipv4.ip_local_port_range=10000 39999',
  'net.ipv4.ip_forward=1',
  'net.ipv6.conf.all.forwarding=1',
];

const run = (command, ...args) => execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });

const alive = (pid) => existsSync(`/proc/${pid}`);

/** One comparison at a time: two would measure each other. */
export function lockMachine() {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
      return () => unlinkSync(LOCK);
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const holder = Number(readFileSync(LOCK, 'utf8'));
      if (holder && alive(holder)) throw new Error(`another comparison is running (process ${holder}); wait for it`);
      unlinkSync(LOCK);
    }
  }
  throw new Error(`cannot take ${LOCK}`);
}

/**
 * Processes first: one that changed its user (dante) has lost the signal that its parent's death sends. Whoever is in a
 * namespace with our name, made by a process that no longer exists, was started by that process.
 */
function removeLeftovers() {
  for (const line of run('ip', 'netns', 'list').split('\n')) {
    const match = /^splbench-(\d+)-\w+/.exec(line);
    if (!match || alive(match[1])) continue;
    for (const pid of run('ip', 'netns', 'pids', match[0]).split('\n').filter(Boolean))
      signalIfThere(Number(pid), 'SIGKILL');
    run('ip', 'netns', 'del', match[0]);
  }
}

export class Lab {
  #names = Object.fromEntries(['cli', 'prx', 'srv'].map((host) => [host, `${PREFIX}-${process.pid}-${host}`]));
  #children = new Set();

  constructor() {
    removeLeftovers();
    try {
      this.#build();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #build() {
    const { cli, prx, srv } = this.#names;
    for (const name of [cli, prx, srv]) {
      run('ip', 'netns', 'add', name);
      run('ip', '-n', name, 'link', 'set', 'lo', 'up');
      for (const setting of SYSCTLS) run('ip', 'netns', 'exec', name, 'sysctl', '-qw', setting);
    }
    run('ip', 'link', 'add', 'name', CLIENT_LINK, 'netns', cli, 'type', 'veth', 'peer', 'name', 'tocli', 'netns', prx);
    run('ip', 'link', 'add', 'name', 'toprx', 'netns', srv, 'type', 'veth', 'peer', 'name', 'tosrv', 'netns', prx);
    for (let i = 0; i < SOURCES; i++) {
      this.#address(cli, CLIENT_LINK, `10.201.1.${100 + i}/24`);
      this.#address(cli, CLIENT_LINK, `fd73:51::${(0x100 + i).toString(16)}/64`);
    }
    for (const address of ['10.201.1.1/24', 'fd73:51::1/64']) this.#address(prx, 'tocli', address);
    for (const address of ['10.201.2.1/24', 'fd73:52::1/64']) this.#address(prx, 'tosrv', address);
    for (const address of ['10.201.2.2/24', 'fd73:52::2/64']) this.#address(srv, 'toprx', address);
    for (const [name, link] of [
      [cli, CLIENT_LINK],
      [prx, 'tocli'],
      [prx, 'tosrv'],
      [srv, 'toprx'],
    ]) {
      run('ip', '-n', name, 'link', 'set', link, 'up');
    }
    for (const [name, gateways] of [
      [cli, ['10.201.1.1', 'fd73:51::1']],
      [srv, ['10.201.2.1', 'fd73:52::1']],
    ]) {
      for (const gateway of gateways) run('ip', '-n', name, 'route', 'add', 'default', 'via', gateway);
    }
    for (const setting of PROXY_SYSCTLS) run('ip', 'netns', 'exec', prx, 'sysctl', '-qw', setting);
  }

  #address(name, link, address) {
    // No search for duplicates: an IPv6 address would be of no use for a second.
    const now = address.includes(':') ? ['nodad'] : [];
    run('ip', '-n', name, 'address', 'add', address, 'dev', link, ...now);
  }

  /**
   * Starts a process on a host, in a process group of its own, output to `log`. It dies with this
   * process even if this process is killed outright.
   */
  start(host, command, { env = {}, log = '/dev/null' } = {}) {
    const output = openSync(log, 'w');
    const args = ['netns', 'exec', this.#names[host], 'setpriv', '--pdeathsig', 'KILL', ...command];
    const child = spawn('ip', args, {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env },
      detached: true,
    });
    closeSync(output);
    child.on('error', () => {});
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Ends a process that start() made, with its group: TERM first, KILL after two seconds. */
  async stop(child) {
    if (child.exitCode === null && child.signalCode === null && child.pid) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      signalGroup(child.pid, 'SIGTERM');
      await Promise.race([ended, sleep(2000)]);
    }
    if (child.pid) signalGroup(child.pid, 'SIGKILL');
  }

  /**
   * Runs a command on a host to its end and gives its standard output, whatever its exit status. `onError` sees
   * every piece of its standard error.
   */
  async output(host, command, timeoutMs, onError = () => {}) {
    const child = spawn('ip', ['netns', 'exec', this.#names[host], 'setpriv', '--pdeathsig', 'KILL', ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#children.add(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let [out, err] = ['', ''];
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => {
      err += data;
      onError(String(data));
    });
    const code = await new Promise((resolve) => child.once('close', resolve).once('error', resolve));
    clearTimeout(timer);
    this.#children.delete(child);
    return { out, err, code };
  }

  /** Runs a short command on a host; throws when it fails. */
  command(host, ...command) {
    return run('ip', 'netns', 'exec', this.#names[host], ...command);
  }

  /** Synchronous, so that it also works while the process is ending. Twice is harmless. */
  close() {
    for (const child of this.#children) if (child.pid) signalGroup(child.pid, 'SIGKILL');
    this.#children.clear();
    const present = readdirSync('/run/netns');
    for (const name of Object.values(this.#names)) if (present.includes(name)) run('ip', 'netns', 'del', name);
  }
}

/** Groups only: every process here leads its own, and a group's id is not reused while one of its members lives. */
function signalGroup(leader, signal) {
  signalIfThere(-leader, signal);
}

function signalIfThere(id, signal) {
  try {
    process.kill(id, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
