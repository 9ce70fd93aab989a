/** splice-ctl as a function, in a runtime directory of its own, with control servers on real sockets. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { ctlMain } from '../../../src/cli/ctl-main.js';
import type { Environment } from '../../../src/cli/environment.js';
import { startControlServer } from '../../../src/control/control-server.js';
import type { ControlActions, StatsAnswer } from '../../../src/control/control-server.js';
import { fakeEnvironment } from './fake-environment.js';

type Parts = Parameters<typeof ctlMain>[1];

export class CtlBed {
  /** Of the test that runs. */
  base = '';
  /** Where control sockets are looked for. */
  directory = '';
  readonly #parts: Omit<Parts, 'surroundings'>;
  #open: { close(): Promise<void> }[] = [];

  /** To be made once for a file of tests. `parts` not given fail when they are asked for. */
  constructor(parts: Partial<Omit<Parts, 'surroundings'>> = {}) {
    const never = () => Promise.reject(new Error('not asked'));
    this.#parts = { probeMachine: never, uninstallPacket: never, resetModule: never, hashPassword: never, ...parts };
    beforeEach(async () => {
      this.base = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
      this.directory = join(this.base, 'run');
      await mkdir(this.directory, { mode: 0o700 });
    });
    afterEach(async () => {
      await Promise.all(this.#open.splice(0).map((server) => server.close()));
      await rm(this.base, { recursive: true });
    });
  }

  /** A user other than root, so that the real /run/symsplice is not looked at. */
  get surroundings(): Parts['surroundings'] {
    return { uid: process.getuid?.() || 1, tmpdir: this.base, env: { RUNTIME_DIRECTORY: this.directory } };
  }

  async run(argv: readonly string[], environmentPart: Partial<Environment> = {}, parts: Partial<Parts> = {}) {
    const environment = fakeEnvironment(argv, environmentPart);
    const code = await ctlMain(environment, { ...this.#parts, surroundings: this.surroundings, ...parts });
    return { code, out: environment.out(), err: environment.err() };
  }

  /** A control server, at the path that is returned. */
  async serve(name: string, pid: number, stats: StatsAnswer, part: Partial<ControlActions> = {}): Promise<string> {
    const path = join(this.directory, name);
    const actions: ControlActions = {
      flows: () => ({ pid, flows: [] }),
      stats: () => stats,
      draining: () => false,
      drain: () => undefined,
      reload: () => Promise.resolve(),
      ...part,
    };
    this.#open.push(await startControlServer({ path, actions, failed: () => undefined }));
    return path;
  }
}

/** What a server says of itself; the rest is up to the test. */
export function statsOf(pid: number, rest: Pick<StatsAnswer, 'totals'> & Partial<StatsAnswer>): StatsAnswer {
  return {
    pid,
    version: '1.2.3',
    state: 'running',
    uptimeMs: 3_600_000,
    listening: ['127.0.0.1:1080'],
    backend: 'splice',
    backendReason: 'why',
    flows: 0,
    handshakes: 0,
    descriptors: 10,
    descriptorLimit: 1024,
    ...rest,
  };
}
