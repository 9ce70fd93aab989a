/**
 * A machine that is reached by ssh. One connection carries everything that runs there (ControlMaster), so that a command
 * costs a round trip and no login. What is started ends when the connection does. Made by remote-hosts.ts.
 */
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SpliceError } from '../../errors.js';
import type { Host, HostName, Output, Running } from '../model.js';
import { Processes, type Group, type RunOptions, type StartOptions } from './processes.js';
import { END_MARK, remoteCommand, RUN_SCRIPT, START_SCRIPT } from './ssh-script.js';

const LOGIN_MS = 20_000;
const STOP_MS = 2000;

/** A process there. It is known here by the ssh that carries its output. */
class RemoteProcess implements Running {
  readonly pid: number;
  readonly #ssh: Group;

  constructor(pid: number, ssh: Group) {
    this.pid = pid;
    this.#ssh = ssh;
  }

  get ended(): boolean {
    return this.#ssh.ended;
  }

  tail(): string {
    const text = this.#ssh.tail();
    const mark = text.indexOf(END_MARK);
    if (mark >= 0) return text.slice(mark + END_MARK.length).trim();
    // The line that says its id.
    return text.replace(new RegExp(`^${this.pid}(\n|$)`), '').trim();
  }

  async stop(): Promise<void> {
    for (const signal of ['TERM', 'KILL']) {
      if (this.ended) return;
      this.#ssh.child.stdin?.write(`${signal}\n`);
      if (await this.#ssh.endsWithin(STOP_MS)) return;
    }
    // The connection hangs: its end is the process' end, too.
    await this.#ssh.stop();
  }
}

export interface Destination {
  /** As ssh knows it: a name of its configuration, or USER@HOST. */
  readonly name: string;
  /** What stands before it: `ssh` with arguments. */
  readonly ssh: readonly string[];
}

export class SshHost implements Host {
  readonly name: HostName;
  readonly destination: string;
  readonly processes: Processes;
  // Known as soon as the machine has been asked, before anybody else gets this host.
  links: Host['links'] = {};
  /** Until it has one of its own: what starts before leaves nothing there. */
  scratch = '/tmp';
  bypassed?: string;
  readonly #ssh: readonly string[];
  readonly #socket: string;
  #master: Group | undefined;

  /** @param directory here, private: for sockets and logs */
  constructor(name: HostName, destination: Destination, directory: string) {
    this.name = name;
    this.destination = destination.name;
    // Of its own: processes are numbered by host, and two that wrote into one file would be taken for one another.
    const logs = path.join(directory, name);
    mkdirSync(logs, { mode: 0o700 });
    this.processes = new Processes(logs);
    this.#socket = path.join(directory, `${name}.ssh`);
    const options = ['BatchMode=yes', 'ServerAliveInterval=10', 'LogLevel=ERROR'].flatMap((option) => ['-o', option]);
    this.#ssh = [...destination.ssh, ...options, '-S', this.#socket];
  }

  async connect(): Promise<void> {
    const log = `${this.#socket}.log`;
    const master = await this.processes.start([...this.#ssh, '-M', '-N', this.destination], { log });
    this.#master = master;
    for (const end = Date.now() + LOGIN_MS; !existsSync(this.#socket); await sleep(50)) {
      if (!master.ended && Date.now() < end) continue;
      const said = master.tail() || `no answer within ${LOGIN_MS / 1000} s`;
      await master.stop();
      throw new SpliceError(
        'ERR_SPLICE_SYSTEM',
        `cannot log in to the ${this.name} host: ${said}; try: ssh -o BatchMode=yes ${this.destination} true`,
      );
    }
  }

  #words(script: string, command: readonly string[]): string[] {
    if (this.#master?.ended !== false) {
      throw new SpliceError('ERR_SPLICE_SYSTEM', `the connection to the ${this.name} host (${this.destination}) ended`);
    }
    return [...this.#ssh, '-T', this.destination, remoteCommand(script, command)];
  }

  async run(command: readonly string[], options?: RunOptions): Promise<Output> {
    return this.processes.run(this.#words(RUN_SCRIPT, command), { ...options, input: true });
  }

  async start(command: readonly string[], { env = {}, log }: StartOptions = {}): Promise<Running> {
    const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const words = this.#words(START_SCRIPT, [this.scratch, 'env', ...variables, ...command]);
    const ssh = await this.processes.start(words, { input: true, ...(log === undefined ? {} : { log }) });
    const pid = await this.#pidOf(ssh);
    return new RemoteProcess(pid, ssh);
  }

  async #pidOf(ssh: Group): Promise<number> {
    for (const end = Date.now() + LOGIN_MS; ; await sleep(5)) {
      const pid = /^(\d+)\n/.exec(ssh.head())?.[1];
      if (pid !== undefined) return Number(pid);
      if (!ssh.ended && Date.now() < end) continue;
      await ssh.stop();
      throw new SpliceError(
        'ERR_SPLICE_SYSTEM',
        `nothing starts on the ${this.name} host: ${ssh.tail() || 'no answer'}`,
      );
    }
  }
}
