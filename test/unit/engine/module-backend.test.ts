/** The module backend's TypeScript half over a module without a kernel; and what this machine says, which has none. */
import { once } from 'node:events';
import { constants } from 'node:os';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ABI_VERSION, MODULE_COUNTER_NAMES, PACKET_ANSWER, PACKET_ANSWER_NAMES } from '../../../src/abi.gen.js';
import type { Handover } from '../../../src/engine/backend.js';
import { moduleRow } from '../../../src/engine/doctor-module.js';
import { SpliceEngine } from '../../../src/engine/engine.js';
import { Flow } from '../../../src/engine/flow.js';
import { ModuleBackend } from '../../../src/engine/module-backend.js';
import { moduleSnapshot } from '../../../src/engine/module-snapshot.js';
import { isLoaded, moduleProblem, resetModule } from '../../../src/engine/module-status.js';
import { packetChoice, type PacketOptions } from '../../../src/engine/packet-options.js';
import { Carriages, wordsOf } from '../../../src/engine/packet-words.js';
import { SpliceError } from '../../../src/errors.js';
import { PACKET_ANSWERS_NATIVE, PACKET_STATUS, native } from '../../../src/native.js';
import { FakeModule, LOADED } from './fake-module.js';

const { ENOENT, EPERM, EBUSY, EAFNOSUPPORT, EPROTO } = constants.errno;
const RELAY = { threads: 1, pipeSize: 65536, spliceAfter: 65536 };
const ABSENT = { error: -ENOENT, permitted: 0, abi: 0, flows: 0 };

let machine: FakeModule;
beforeEach(() => (machine = new FakeModule()));

const open = (options: PacketOptions = {}): ModuleBackend =>
  new ModuleBackend(RELAY, packetChoice(options), machine.parts);

describe('opening', () => {
  test('what was asked for reaches the addon', () => {
    open({ afterBytes: 1000, afterMs: 20 }).stop(false);
    expect(machine.settings).toMatchObject({
      portLow: 61000,
      portHigh: 65535,
      atOnce: false,
      pinDirectory: '/sys/fs/bpf/symsplice',
      relay: { threads: 1, kernelAfterBytes: 1000, kernelAfterMs: 20 },
    });
    expect(machine.asked).toEqual(['relay all', 'plane ended']);
  });

  test('at once: what peers send waits from the intent on', () => {
    open({ afterMs: 0 }).stop(true);
    expect(machine.settings).toMatchObject({ atOnce: true, relay: { kernelAfterBytes: 0, kernelAfterMs: 0 } });
    expect(machine.asked).toEqual(['relay keeping', 'plane kept']);
  });

  test.each([
    [ABSENT, /^symsplice\.ko is not loaded: build it with "npm run build:module" and load it with "insmod/],
    [
      { ...LOADED, abi: ABI_VERSION + 1 },
      /^symsplice\.ko of ABI \d+ is loaded, this version has ABI \d+: build it again/,
    ],
    [{ ...LOADED, permitted: -EPERM }, /^not permitted \(EPERM\): needs root, or CAP_NET_ADMIN$/],
    [{ ...ABSENT, error: -EAFNOSUPPORT }, /^unknown: EAFNOSUPPORT/],
  ])('%j: the reason says what to do', (status, reason) => {
    machine.status = status;
    expect(() => open()).toThrow(SpliceError);
    expect(() => open()).toThrow(reason);
    expect(machine.settings).toBeUndefined();
  });

  test('another process has it: who', () => {
    machine.openFails = Object.assign(new Error('EBUSY: x'), { errno: -EBUSY, holder: 'process 7' });
    expect(() => open()).toThrow(/^process 7 has the packet or module backend of this network namespace; stop it/);
    machine.openFails = Object.assign(new Error('ENOMEM: out of memory, netlink'), { errno: -12 });
    expect(() => open()).toThrow(/^ENOMEM/);
  });

  test('flows of the packet backend lie here, and nobody can say on which source ports: who could', () => {
    const left = (errno: number, syscall: string): void => {
      machine.openFails = Object.assign(new Error(`no, ${syscall}`), { errno, syscall });
    };
    left(-EPERM, 'BPF_PROG_GET_FD_BY_ID');
    expect(() => open()).toThrow(/^an earlier process left flows .* needs root, or CAP_SYS_ADMIN$/);
    left(-EPROTO, 'BPF_MAP_GET_FD_BY_ID');
    expect(() => open()).toThrow(/^an earlier process left flows .* "splice-ctl uninstall"$/);
    left(-ENOENT, 'BPF_PROG_GET_FD_BY_ID');
    expect(() => open()).toThrow(/^no, BPF_PROG_GET_FD_BY_ID$/);
  });

  test('a module that is unloaded and loaded again, also one of another version', () => {
    const { plane } = open();
    expect(plane.presence).toBe('there');
    machine.abi = 0;
    expect(plane.presence).toBe('gone');
    machine.abi = ABI_VERSION + 1;
    expect(plane.presence).toBe('other-version');
  });

  test('no source port, no thread: nothing stays open, and no flow is touched', () => {
    expect(() => open({ sourcePorts: [1, 2] })).toThrow('no ports today');
    expect(machine.settings).toBeUndefined();
    machine.relayFails = new Error('EAGAIN');
    expect(() => open()).toThrow('EAGAIN');
    expect(machine.asked).toEqual(['plane kept']);
  });
});

describe('a flow', () => {
  let server: Server;
  let sockets: Socket[];
  beforeEach(async () => {
    sockets = [];
    server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const connected = async (): Promise<Socket> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  const handover = async (part: Partial<Handover> = {}): Promise<Handover> => ({
    client: { kind: 'socket', socket: await connected() },
    upstream: { kind: 'socket', socket: await connected() },
    reply: undefined,
    clientHead: undefined,
    upstreamHead: undefined,
    idleMs: 0,
    bound: undefined,
    prepared: false,
    ...part,
  });

  test('what somebody else is to carry does not wait for a splice any more', async () => {
    const backend = open();
    const given = await handover();
    expect(backend.refuse(given)).toMatch(/the client is on this host/);
    expect(backend.refuse({ ...given, bound: { direction: 'up', maxBytes: 1 }, prepared: true })).toMatch(/bounded/);
    expect(machine.asked).toEqual(['cancel true', 'cancel true']);
    expect(backend.refuse({ ...given, prepared: true })).toBeUndefined();
    expect(machine.asked).toHaveLength(2);
    backend.stop(false);
  });

  test("is the pump's, then the module's, which needs no process once nothing is owed", async () => {
    const backend = open();
    const given = await handover();
    const carriage = { backend: 'module', refusals: [] } as const;
    const flow = new Flow(
      '1',
      carriage,
      (onEnd) => backend.start(given, onEnd),
      () => undefined,
    );
    const [known] = machine.relay.flows.values();
    expect([flow.backend, flow.refusals[0]?.backend]).toEqual(['splice', 'module']);
    Object.assign(known!, { status: PACKET_STATUS.transit, phase: 1, states: [2, 2] });
    expect([flow.backend, flow.refusals, flow.independent]).toEqual(['module', [], false]);
    expect(flow.packet()).toMatchObject({ phase: 'transit', sides: { client: 'PRE_SPLICED', server: 'PRE_SPLICED' } });
    known!.status = PACKET_STATUS.released;
    expect(flow.independent).toBe(true);
    machine.relay.close(1, 3);
    expect(await flow.closed).toMatchObject({ reason: 'idle' });
    expect(flow.backend).toBe('module');
    backend.stop(false);
  });

  test('adopted ones end through the module', async () => {
    const address = (last: number): Uint8Array => Uint8Array.of(4, 0x1f, 0x90, 192, 0, 2, last);
    const [client, server_] = [address(1), address(2)];
    machine.adopted = [{ id: 40, client, server: server_, clientLocal: client, serverLocal: client, ageMs: 900 }];
    const backend = open();
    const [found] = [...backend.adopted()];
    expect(found?.ends).toEqual({ client: '192.0.2.1:8080', server: '192.0.2.2:8080', ageMs: 900 });
    const carriage = { backend: 'module', refusals: [] } as const;
    const flow = new Flow('1', carriage, found!.begin, () => undefined, found!.ends);
    expect([flow.independent, flow.packet()?.phase]).toEqual([true, 'transit']);
    flow.abort();
    expect(await flow.closed).toMatchObject({ reason: 'aborted' });
    expect(machine.plane.ended).toEqual([40]);
    backend.stop(false);
  });
});

describe('words', () => {
  test("every answer has its own; those about programs and maps are the module's", () => {
    const numbers = [...PACKET_ANSWER_NAMES.keys(), ...Object.values(PACKET_ANSWERS_NATIVE)];
    const words = numbers.map((answer) => wordsOf(answer, 'module'));
    expect(words.every((text) => !text.includes('no words'))).toBe(true);
    expect(wordsOf(PACKET_ANSWER['map-full'], 'module')).toMatch(/raise parameter flows of symsplice\.ko/);
    expect(wordsOf(PACKET_ANSWER['map-full'])).toMatch(/--max-flows/);
    expect(wordsOf(PACKET_ANSWER.timestamps, 'module')).toBe(wordsOf(PACKET_ANSWER.timestamps));
  });

  test('why there is no better backend goes with every flow, whoever carries it', () => {
    const better = [{ backend: 'packet', reason: 'no CAP_BPF' }] as const;
    const carriages = new Carriages('module', packetChoice(), false, better);
    const named = (status: number, answer = 0): string[] =>
      carriages.of(status, answer).refusals.map(({ backend }) => backend);
    expect(named(PACKET_STATUS.released)).toEqual(['packet']);
    expect(named(PACKET_STATUS.young)).toEqual(['packet', 'module']);
    expect(named(PACKET_STATUS.refused, PACKET_ANSWERS_NATIVE.MODULE_GONE)).toEqual(['packet', 'module']);
  });

  test('a refused flow is carried by splice, and names the module', () => {
    const carriages = new Carriages('module', { afterBytes: 10, afterMs: Infinity });
    expect(carriages.of(PACKET_STATUS.young, 0)).toEqual({
      backend: 'splice',
      refusals: [{ backend: 'module', reason: 'young: it goes over after 10 bytes' }],
    });
    expect(carriages.of(PACKET_STATUS.refused, PACKET_ANSWER.timestamps)).toEqual({
      backend: 'splice',
      refusals: [{ backend: 'module', reason: 'only one side speaks TCP timestamps' }],
    });
    expect(carriages.of(PACKET_STATUS.transit, 0)).toEqual({ backend: 'module', refusals: [] });
  });
});

test('a snapshot has plain values only, and names every counter', () => {
  const backend = open();
  const snapshot = moduleSnapshot(backend.plane, { text: '65536' });
  expect(structuredClone(snapshot)).toEqual(snapshot);
  expect(snapshot).toMatchObject({
    sourcePorts: [61000, 65535],
    sourcePortsUsed: 4,
    maxFlows: 65536,
    phases: { transit: 1, released: 2, ended: 3 },
    refused: 5,
    counters: { 'not-ip': 1, 'not-tcp': 2, short: 3, relayed: 0 },
    more: { queued: 4, 'queue-again': 5, resets: 0 },
  });
  expect(Object.keys(snapshot.more)).toEqual([...MODULE_COUNTER_NAMES]);
  expect(moduleSnapshot(backend.plane, { problem: '/sys: ENOENT' }).maxFlows).toBeUndefined();
  backend.stop(false);
});

describe('doctor', () => {
  test('loaded, not loaded, another version, not permitted', () => {
    expect(moduleRow({ ...LOADED, flows: 3 }, true)).toMatchObject({
      status: 'ok',
      found: `loaded, ABI ${ABI_VERSION}, 3 flows here`,
    });
    expect(moduleRow(ABSENT, true)).toMatchObject({ status: 'missing', found: 'symsplice.ko is not loaded' });
    expect(moduleRow(ABSENT, true).advice).toMatch(/^optional: .*npm run build:module.*insmod.*docs\/module\.md/);
    expect(moduleRow(ABSENT, false).advice).toMatch(/a kernel that loads modules/);
    expect(moduleRow({ ...LOADED, abi: 77 }, true)).toMatchObject({ status: 'missing' });
    expect(moduleRow({ ...LOADED, abi: 77 }, true).advice).toMatch(/rmmod symsplice/);
    expect(moduleRow({ ...LOADED, permitted: -EPERM }, true)).toMatchObject({ status: 'missing' });
  });
});

/** True on machines that run the tests; where the module is loaded, test/vm is what tests it. */
const here = native().moduleStatus();

describe.skipIf(isLoaded(here))('a machine without the module', () => {
  test('says so, and the way to have it', async () => {
    expect(moduleProblem(here)?.found).toBe('symsplice.ko is not loaded');
    await expect(SpliceEngine.open({ backend: 'module' })).rejects.toMatchObject({
      code: 'ERR_SPLICE_BACKEND',
      message: expect.stringMatching(/"module" cannot be used: symsplice\.ko is not loaded: build it with/) as string,
    });
    expect(resetModule()).toBeUndefined();
    expect(() => native().moduleAbort()).toThrow(/ENOENT|EBUSY/);
  });

  test("auto does not name what it never had in each flow's refusals", async () => {
    const engine = await SpliceEngine.open({ backend: 'auto' });
    expect(engine.preferred.reason).not.toContain('not module');
    const capability = engine.capabilities.find(({ backend }) => backend === 'module');
    expect(capability).toMatchObject({ available: false });
    expect([engine.modulePlane, engine.kernelFlows === undefined]).toEqual([
      undefined,
      engine.packetPlane === undefined,
    ]);
    await engine.close();
  });
});

test('who prefers split gets neither packet nor module', async () => {
  const engine = await SpliceEngine.open({ prefer: 'split' });
  const reasons = engine.capabilities.filter(({ backend }) => backend === 'packet' || backend === 'module');
  expect(reasons.map(({ reason }) => reason)).toEqual(['split is preferred', 'split is preferred']);
  await engine.close();
});
