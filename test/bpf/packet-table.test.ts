/**
 * The packet backend's data plane around a process: its filters, its one right, what it leaves and finds. Every test has
 * a network namespace with two idle links; the addon runs in processes of their own there, since a process is what dies.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bpfExcused, root } from './support.js';

const excused = bpfExcused();

// Answers each line, an expression over `open`, `native` and `packet`, by a line of JSON.
const AGENT = `
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
const native = createRequire('${root}/package.json')('./build/Release/symsplice.node');
const object = readFileSync('${root}/build/bpf/packet.bpf.o');
let packet;
const open = (more = {}) => {
  packet = new native.Packet(object, { flows: 64, portLow: 61000, portHigh: 61009, timeWaitMs: 1000, ...more }, () => {});
  return packet.usage().maxFlows;
};
// Threads with a handle each, that attach at the same moment.
const RACER = [
  "const { workerData } = require('node:worker_threads');",
  "const native = require('${root}/build/Release/symsplice.node');",
  "const object = require('node:fs').readFileSync('${root}/build/bpf/packet.bpf.o');",
  'const packet = new native.Packet(object, { flows: 64, portLow: 61000, portHigh: 61009, timeWaitMs: 1000 }, () => {});',
  'for (let round = 0; ; round++) {',
  '  Atomics.add(workerData, 1, 1);',
  '  Atomics.wait(workerData, 0, round);',
  '  packet.attach(11, true);',
  '}',
].join(' ');
const line = new Int32Array(new SharedArrayBuffer(8));
const racers = (count) => {
  for (let i = 0; i < count; i++) new Worker(RACER, { eval: true, execArgv: [], workerData: line });
  return allReady(count);
};
const allReady = async (count) => {
  while (Atomics.load(line, 1) < count) await new Promise((resolve) => setTimeout(resolve, 1));
};
const race = (count) => {
  Atomics.store(line, 1, 0);
  Atomics.add(line, 0, 1);
  Atomics.notify(line, 0);
  return allReady(count);
};
const ports = (host, n) => Array.from({ length: n }, () => packet.sourcePort(host, 80));
for await (const question of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: (await eval(question)) ?? null };
  } catch (error) {
    answer = { error: { code: error.code, errnoName: error.errnoName, message: error.message } };
  }
  console.log(JSON.stringify(answer));
}
`;

interface Answer {
  value?: unknown;
  error?: { code?: string; errnoName?: string; message: string };
}

class Agent {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** `before`: a command that runs it in another manner. */
  constructor(namespace: string, before: readonly string[] = []) {
    const program = [...before, process.execPath, '--input-type=module', '-e', AGENT];
    this.child = spawn('ip', ['netns', 'exec', namespace, ...program], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async ask(expression: string): Promise<Answer> {
    this.child.stdin!.write(`${expression.replaceAll('\n', ' ')}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the agent is gone: ${expression}`);
    return JSON.parse(line.value) as Answer;
  }

  async value(expression: string): Promise<unknown> {
    const answer = await this.ask(expression);
    if (answer.error !== undefined) throw new Error(answer.error.message);
    return answer.value;
  }

  /** By SIGKILL: nothing of the process' own gets a turn. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

describe.skipIf(excused !== undefined)(`data plane${excused === undefined ? '' : ` (${excused})`}`, () => {
  const namespace = `packet-table-${process.pid}`;
  let agents: Agent[] = [];

  const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8' });
  const tc = (...words: string[]): string => ip('netns', 'exec', namespace, 'tc', ...words);
  const clsact = (): number => tc('qdisc', 'show').split('clsact').length - 1;
  const filters = (device: string): string[] =>
    ['ingress', 'egress'].flatMap((hook) =>
      [...tc('filter', 'show', 'dev', device, hook).matchAll(/pref (\d+) .*handle.* (relay_eth|guard_eth):/g)].map(
        ([, priority, program]) => `${hook} ${priority} ${program}`,
      ),
    );
  const agent = (...before: string[]): Agent => {
    const made = new Agent(namespace, before);
    agents.push(made);
    return made;
  };

  beforeEach(() => {
    ip('netns', 'add', namespace);
    ip('-n', namespace, 'link', 'add', 'left', 'index', '11', 'type', 'veth', 'peer', 'name', 'right', 'index', '12');
    ip('-n', namespace, 'link', 'set', 'left', 'up');
    ip('-n', namespace, 'link', 'set', 'right', 'up');
  });

  afterEach(async () => {
    await Promise.all(agents.map((each) => each.kill()));
    agents = [];
    ip('netns', 'del', namespace);
  });

  test('watches an interface, again without harm, and leaves it as it was', async () => {
    const one = agent();
    await one.value('open()');
    await one.value('packet.attach(11, true); packet.attach(11, true); packet.attach(12, true)');
    expect(await one.value('packet.interfaces()')).toEqual([11, 12]);
    expect(filters('left')).toEqual(['ingress 10 relay_eth', 'egress 10 guard_eth']);
    await one.value('packet.detach(12)');
    expect(await one.value('packet.interfaces()')).toEqual([11]);
    expect(await one.value('packet.close(false)')).toBe(0);
    expect(clsact()).toBe(0);
  });

  test('threads that attach at once make one filter: a second would have every segment twice', async () => {
    const one = agent();
    await one.value('open()');
    await one.value('racers(3)');
    for (let round = 0; round < 25; round++) {
      await one.value('race(3)');
      expect(filters('left')).toEqual(['ingress 10 relay_eth', 'egress 10 guard_eth']);
      await one.value('packet.detach(11)');
      expect(clsact()).toBe(0);
    }
  });

  test("leaves other people's qdisc and filters", async () => {
    tc('qdisc', 'add', 'dev', 'left', 'clsact');
    // Filters of somebody's own, at priorities of ours: they never match.
    tc('filter', 'add', 'dev', 'left', 'ingress', 'prio', '10', 'bpf', 'bytecode', '1,6 0 0 0');
    const one = agent();
    await one.value('open()');
    await one.value('packet.attach(11, true); packet.attach(12, true)');
    expect(filters('left')).toEqual(['ingress 10 relay_eth', 'egress 10 guard_eth']);
    expect(tc('filter', 'show', 'dev', 'left', 'ingress')).toContain('bytecode');
    tc('filter', 'add', 'dev', 'right', 'ingress', 'prio', '12', 'bpf', 'bytecode', '1,6 0 0 0');
    await one.value('packet.close(false)');
    expect(clsact()).toBe(2);
    expect(filters('left')).toEqual([]);
    expect(tc('filter', 'show', 'dev', 'left', 'ingress')).toContain('bytecode');
    expect(tc('filter', 'show', 'dev', 'right', 'ingress')).toContain('pref 12 bpf');
  });

  test('an interface that is not there is an error, and nothing else is lost', async () => {
    const one = agent();
    await one.value('open()');
    expect((await one.ask('packet.attach(99, true)')).error).toMatchObject({ code: 'ENODEV' });
    await one.value('packet.attach(11, true)');
  });

  test('belongs to one process of the network namespace, until it dies', async () => {
    const [one, two] = [agent(), agent()];
    await one.value('open()');
    for (const refused of [await two.ask('open()'), await two.ask('open()')]) {
      expect(refused.error).toMatchObject({ code: 'ERR_SPLICE_SYSTEM', errnoName: 'EBUSY' });
      expect(refused.error!.message).toContain(
        `process ${one.child.pid} has the packet or module backend of this network namespace`,
      );
    }
    expect((await two.ask('native.packetUninstall()')).error).toMatchObject({ errnoName: 'EBUSY' });
    await one.kill();
    expect(await two.value('open()')).toBe(64);
  });

  test('outlives its process; the next one has the same maps, whatever it would have made', async () => {
    const one = agent();
    await one.value('open()');
    await one.value('packet.attach(11, true)');
    const tag = await one.value('packet.usage().tag');
    await one.kill();
    expect(filters('left')).toHaveLength(2);
    const two = agent();
    expect(await two.value('open({ flows: 128 })')).toBe(64);
    expect(await two.value('packet.usage().tag')).toBe(tag);
    expect(await two.value('packet.interfaces()')).toEqual([11]);
    expect(await two.value('packet.adopt(0)')).toEqual({ flows: [], foreign: [] });
    await two.value('packet.close(false)');
    expect(clsact()).toBe(0);
  });

  test('adoption makes no maps: who wants more flows than any memory holds gets those that are there', async () => {
    const most = '{ flows: 2 ** 30 }';
    const one = agent();
    expect((await one.ask(`open(${most})`)).error).toMatchObject({ code: 'ERR_SPLICE_SYSTEM' });
    await one.value('open()');
    await one.value('packet.attach(11, true)');
    await one.kill();
    const two = agent();
    expect(await two.value(`open(${most})`)).toBe(64);
    expect(await two.value('packet.interfaces()')).toEqual([11]);
  });

  test('without CAP_NET_RAW it could reset no flow that has no socket: refused at once', async () => {
    const one = agent('setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw');
    const refused = await one.ask('open()');
    expect(refused.error).toMatchObject({ errnoName: 'EPERM' });
    expect(refused.error!.message).toContain('cannot make segments by hand');
    expect((await one.ask('native.packetUninstall()')).value).toEqual({ filters: 0, flows: 0 });
  });

  test('handles share it; the last one takes it off', async () => {
    const one = agent();
    await one.value('open(), globalThis.first = packet, open({ flows: 128 })');
    await one.value('first.attach(11, true)');
    expect(await one.value('packet.interfaces()')).toEqual([11]);
    await one.value('first.close(false)');
    expect(filters('left')).toHaveLength(2);
    expect((await one.ask('first.usage()')).error).toMatchObject({ code: 'EBADF' });
    await one.value('packet.close(false)');
    expect(clsact()).toBe(0);
    expect(await one.value('open({ flows: 128 })')).toBe(128);
  });

  test('uninstall removes what a dead process left', async () => {
    const one = agent();
    await one.value('open()');
    await one.value('packet.attach(11, true); packet.attach(12, true)');
    await one.kill();
    const two = agent();
    expect(await two.value('native.packetUninstall()')).toEqual({ filters: 4, flows: 0 });
    expect(clsact()).toBe(0);
    expect(await two.value('native.packetUninstall()')).toEqual({ filters: 0, flows: 0 });
  });

  test('source ports: each of the range once around, each destination for itself', async () => {
    const one = agent();
    await one.value('open()');
    const range = Array.from({ length: 10 }, (_, i) => 61000 + i);
    const first = (await one.value("ports('192.0.2.1', 10)")) as number[];
    expect(first.toSorted()).toEqual(range);
    expect(((await one.value("ports('2001:db8::1', 10)")) as number[]).toSorted()).toEqual(range);
    expect(await one.value("ports('192.0.2.1', 10)")).toEqual(first);
    expect(await one.value("ports('::ffff:192.0.2.1', 1)")).toEqual([first[0]]);
  });

  test('a socket is bound to a port of ours, with what the client has', async () => {
    const one = agent();
    await one.value('open()');
    const described = (await one.value(
      "(() => { const fd = packet.socket(-1, '192.0.2.1', 80); const local = native.describe(fd).local; " +
        'native.close(fd); return local.readUInt16BE(1); })()',
    )) as number;
    expect(described).toBeGreaterThanOrEqual(61000);
    expect(described).toBeLessThanOrEqual(61009);
  });

  test('a port that somebody does not share is passed over', async () => {
    const one = agent();
    await one.value('open()');
    const taken = (await one.value(
      "(() => { native.listen('0.0.0.0', 61004, 1, false); return Array.from({ length: 20 }, () => { " +
        "const fd = packet.socket(-1, '192.0.2.1', 80); const local = native.describe(fd).local; " +
        'native.close(fd); return local.readUInt16BE(1); }); })()',
    )) as number[];
    expect(taken).not.toContain(61004);
    expect(new Set(taken).size).toBe(9);
    expect(taken.every((port) => port >= 61000 && port <= 61009)).toBe(true);
  });

  test.each([
    ['no bytes', "new native.Packet('x', {}, () => {})"],
    ['ports the wrong way round', 'open({ portLow: 61001, portHigh: 61000 })'],
    ['no flow', 'open({ flows: 0 })'],
  ])('wrong arguments throw and take nothing: %s', async (_, expression) => {
    const one = agent();
    expect((await one.ask(expression)).error!.message).toContain('Packet(object');
    expect(await one.value('open()')).toBe(64);
  });

  test('an object of another build is refused', async () => {
    const one = agent();
    const refused = await one.ask(
      'new native.Packet(new Uint8Array(64), { flows: 64, portLow: 61000, portHigh: 61009, timeWaitMs: 1 }, () => {})',
    );
    expect(refused.error).toMatchObject({ code: 'ERR_SPLICE_ABI' });
  });
});
