/** The packet backend's TypeScript half over a data plane without a kernel: what it opens, refuses, says and leaves. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PACKET_ANSWER, PACKET_ANSWER_NAMES } from '../../../src/abi.gen.js';
import type { Handover } from '../../../src/engine/backend.js';
import { PACKET_NEEDS, reasonOf } from '../../../src/engine/build.js';
import { Flow, type FlowEnd } from '../../../src/engine/flow.js';
import type { Link } from '../../../src/engine/links.js';
import { PacketBackend } from '../../../src/engine/packet-backend.js';
import { packetChoice, type PacketOptions } from '../../../src/engine/packet-options.js';
import { PacketPlane } from '../../../src/engine/packet-plane.js';
import { packetSnapshot } from '../../../src/engine/packet-snapshot.js';
import { Carriages, wordsOf } from '../../../src/engine/packet-words.js';
import { SpliceError } from '../../../src/errors.js';
import { PACKET_ANSWERS_NATIVE, PACKET_STATUS } from '../../../src/native.js';
import { FakeMachine } from './fake-packet.js';

const RELAY = { threads: 1, pipeSize: 65536, spliceAfter: 65536 };

let machine: FakeMachine;
beforeEach(() => (machine = new FakeMachine()));

const open = (options: PacketOptions = {}): PacketBackend =>
  new PacketBackend(RELAY, packetChoice(options), 0, machine.parts);

describe('options', () => {
  test('0 for either: every flow at once', () => {
    expect(packetChoice()).toMatchObject({ afterBytes: 65_536, afterMs: 100, flows: 65_536 });
    expect(packetChoice({ afterBytes: 0 })).toMatchObject({ afterBytes: 0, afterMs: 0 });
    expect(packetChoice({ afterMs: 0 })).toMatchObject({ afterBytes: 0, afterMs: 0 });
  });
  test.each<[PacketOptions, RegExp]>([
    [{ afterBytes: -1 }, /packet\.afterBytes/],
    [{ afterMs: NaN }, /packet\.afterMs/],
    [{ flows: 0 }, /packet\.flows/],
    [{ flows: 1.5 }, /packet\.flows: 1\.5 is no whole/],
    [{ sourcePorts: [2, 1] }, /packet\.sourcePorts\[1\]/],
    [{ sourcePorts: [0, 1] }, /packet\.sourcePorts\[0\]/],
    [{ interfaces: [] }, /packet\.interfaces/],
    [{ timeWaitMs: 1e9 }, /packet\.timeWaitMs/],
    [{ pinDirectory: 'here' }, /packet\.pinDirectory/],
  ])('%j is refused', (options, message) => expect(() => packetChoice(options)).toThrow(message));
});

describe('opening', () => {
  test('what was asked for reaches the addon', () => {
    open({ flows: 100, afterBytes: 1000, afterMs: 20, timeWaitMs: 5 }).stop(false);
    expect(machine.settings).toMatchObject({
      flows: 100,
      portLow: 61000,
      portHigh: 65535,
      timeWaitMs: 5,
      relay: { threads: 1, kernelAfterBytes: 1000, kernelAfterMs: 20 },
    });
    expect(machine.attached).toEqual([[2, true]]);
    expect(machine.stopped).toEqual(['relay all', 'plane taken off']);
  });

  test('an old kernel, no port, no interface: each says so, and nothing stays open', () => {
    machine.kernel = '5.10.0-8';
    expect(() => open()).toThrow(/needs Linux 5\.15 or later, this is 5\.10\.0-8/);
    machine.kernel = '5.15.0';
    expect(() => open({ sourcePorts: [1, 2] })).toThrow('no ports today');
    expect(machine.settings).toBeUndefined();
    machine.links = [];
    expect(() => open()).toThrow(/no interface can be watched/);
    expect(machine.stopped).toEqual(['plane kept']);
  });

  test('another process has it: the addon says which', () => {
    machine.openFails = Object.assign(new Error('packet: process 7 has the packet or module backend'), { errno: -16 });
    expect(() => open()).toThrow(machine.openFails);
    expect(reasonOf(machine.openFails, PACKET_NEEDS)).toBe('process 7 has the packet or module backend');
  });

  test('an interface that refuses is the reason when it is the only one', () => {
    machine.attachFails = new Error('EINVAL: tc');
    expect(() => open()).toThrow('interface eth0 cannot be watched: EINVAL: tc');
    expect(machine.stopped).toEqual(['plane kept']);
  });

  test('without relay threads the plane is let go, and its flows are not touched', () => {
    machine.relayFails = new Error('EAGAIN');
    expect(() => open()).toThrow('EAGAIN');
    expect(machine.stopped).toEqual(['plane kept']);
  });

  test('interfaces that come up later are watched, those that come back, too', () => {
    vi.useFakeTimers();
    try {
      const plane = PacketPlane.open(packetChoice(), 0, () => undefined, machine.planeParts);
      const [eth] = machine.links;
      machine.links = [eth!, { name: 'wg0', ifindex: 7, type: 65534, flags: 1, enslaved: false }];
      vi.advanceTimersByTime(2500);
      expect(plane.interfaces).toEqual(['eth0', 'wg0']);
      machine.links = [eth!];
      vi.advanceTimersByTime(2000);
      expect(plane.interfaces).toEqual(['eth0']);
      machine.links = [{ ...eth!, ifindex: 9 }];
      vi.advanceTimersByTime(2000);
      expect(machine.attached).toEqual([
        [2, true],
        [7, false],
        [9, true],
      ]);
      plane.close(false);
      machine.links = [{ ...eth!, ifindex: 10 }];
      vi.advanceTimersByTime(10_000);
      expect(machine.attached).toHaveLength(3);
    } finally {
      vi.useRealTimers();
    }
  });

  test('a look that fails, for want of a descriptor, changes nothing', () => {
    vi.useFakeTimers();
    try {
      const parts = machine.planeParts;
      let fails = false;
      const links = (): Link[] => {
        if (fails) throw Object.assign(new Error('EMFILE: too many open files'), { errno: -24 });
        return parts.links();
      };
      const plane = PacketPlane.open(packetChoice(), 0, () => undefined, { ...parts, links });
      fails = true;
      vi.advanceTimersByTime(5000);
      expect(plane.interfaces).toEqual(['eth0']);
      fails = false;
      machine.links = [...machine.links, { name: 'eth1', ifindex: 3, type: 1, flags: 1, enslaved: false }];
      vi.advanceTimersByTime(2000);
      expect(plane.interfaces).toEqual(['eth0', 'eth1']);
      plane.close(false);
    } finally {
      vi.useRealTimers();
    }
  });

  test('interfaces that are not watched beside some that are: each says why', () => {
    const [eth] = machine.links;
    machine.links = [eth!, { ...eth!, name: 'eth1', ifindex: 3, flags: 0 }];
    const named = PacketPlane.open(
      packetChoice({ interfaces: ['eth0', 'eth1', 'eth7'] }),
      0,
      () => undefined,
      machine.planeParts,
    );
    expect(named.interfaces).toEqual(['eth0']);
    expect(named.unwatched).toEqual(['eth1 is down', 'there is no interface eth7']);
    named.close(false);
    machine.links = [eth!, { ...eth!, name: 'bad', ifindex: 4 }];
    machine.attachFails = new Error('EINVAL: tc');
    machine.attachFailsOn = 4;
    const all = PacketPlane.open(packetChoice(), 0, () => undefined, machine.planeParts);
    expect(all.unwatched).toEqual(['interface bad cannot be watched: EINVAL: tc']);
    all.close(false);
  });

  test('a snapshot has plain values only', () => {
    const backend = open();
    const snapshot = packetSnapshot(backend.plane);
    expect(structuredClone(snapshot)).toEqual(snapshot);
    expect(snapshot).toMatchObject({
      interfaces: ['eth0'],
      sourcePorts: [61000, 65535],
      sourcePortsUsed: 4,
      phases: { transit: 1, released: 2, ended: 3 },
      counters: { 'not-ip': 1, 'not-tcp': 2, short: 3, relayed: 0 },
    });
    backend.stop(false);
  });
});

describe('words', () => {
  test('why there is no such backend here', () => {
    const denied = (syscall: string): Error =>
      new SpliceError('ERR_SPLICE_SYSTEM', 'x', { cause: Object.assign(new Error('y'), { errno: -1, syscall }) });
    expect(reasonOf(denied('bpf'), PACKET_NEEDS)).toBe(
      'needs root, or CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_PERFMON',
    );
    expect(reasonOf(denied('BPF_PROG_GET_FD_BY_ID'), PACKET_NEEDS)).toMatch(
      /an earlier process left flows .* CAP_SYS_ADMIN/,
    );
    expect(reasonOf(new Error('first line\nsecond'), PACKET_NEEDS)).toBe('first line');
    expect(reasonOf('text', PACKET_NEEDS)).toBe('text');
  });

  test('every answer has its own, but for two that mean the same', () => {
    const numbers = [...PACKET_ANSWER_NAMES.keys(), ...Object.values(PACKET_ANSWERS_NATIVE)];
    const words = numbers.map((answer) => wordsOf(answer));
    expect(words.every((text) => !text.includes('no words'))).toBe(true);
    expect(new Set(words).size).toBe(words.length - 1);
    expect(wordsOf(77)).toContain('(77)');
  });

  test('young, installed, refused', () => {
    const carriages = new Carriages('packet', { afterBytes: 10, afterMs: 20 });
    expect(carriages.of(PACKET_STATUS.young, 0)).toEqual({
      backend: 'splice',
      refusals: [{ backend: 'packet', reason: 'young: it goes over after 10 bytes, or when it is 20 ms old' }],
    });
    for (const status of [PACKET_STATUS.transit, PACKET_STATUS.released]) {
      expect(carriages.of(status, 0)).toEqual({ backend: 'packet', refusals: [] });
    }
    const refused = carriages.of(PACKET_STATUS.refused, PACKET_ANSWER.local);
    expect(refused.refusals[0]?.reason).toMatch(/one end is on this host/);
    expect(carriages.of(PACKET_STATUS.refused, PACKET_ANSWER.local)).toBe(refused);
    const never = new Carriages('packet', { afterBytes: Infinity, afterMs: Infinity });
    expect(never.of(0, 0).refusals[0]?.reason).toBe('young: it never goes over');
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

  const pair = async (): Promise<Socket> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  const handover = async (part: Partial<Handover> = {}): Promise<Handover> => ({
    client: { kind: 'socket', socket: await pair() },
    upstream: { kind: 'socket', socket: await pair() },
    reply: undefined,
    clientHead: undefined,
    upstreamHead: undefined,
    idleMs: 0,
    bound: undefined,
    prepared: false,
    ...part,
  });

  test('what it refuses', async () => {
    const backend = open();
    const given = await handover();
    expect(backend.refuse(given)).toBe('the client is on this host: its segments come by no interface');
    expect(backend.refuse({ ...given, bound: { direction: 'up', maxBytes: 1 } })).toMatch(/bounded/);
    // Who vouches for descriptors pays for no question: the addon refuses it when it is due.
    expect(backend.refuse({ ...given, prepared: true })).toBeUndefined();
    backend.stop(false);
  });

  const begin = async (backend: PacketBackend): Promise<Flow> => {
    const given = await handover();
    const carriage = { backend: 'packet', refusals: [] } as const;
    return new Flow(
      '1',
      carriage,
      (onEnd) => backend.start(given, onEnd),
      () => undefined,
    );
  };

  test('its backend, refusals and sides are those of the moment, and of the last one after its end', async () => {
    const backend = open();
    const flow = await begin(backend);
    const [known] = machine.relay.flows.values();
    expect([flow.backend, flow.refusals[0]?.backend, flow.packet()]).toEqual(['splice', 'packet', undefined]);
    Object.assign(known!, { status: PACKET_STATUS.released, phase: 2, states: [4, 3], bytesUp: 11 });
    expect([flow.backend, flow.refusals]).toEqual(['packet', []]);
    expect(flow.packet()).toEqual({
      phase: 'released',
      sides: { client: 'FIN_RELAYED', server: 'SPLICED' },
      ways: { up: 'fast', down: 'slow' },
      segments: { up: 7, down: 9 },
    });
    expect(flow.counters()).toEqual({ bytesUp: 11, bytesDown: 0, idleMs: 5 });
    machine.relay.close(1, 0);
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 11 });
    expect([flow.backend, flow.refusals, flow.packet()]).toEqual(['packet', [], undefined]);
    backend.stop(false);
  });

  test('one that ended refused still says why', async () => {
    const backend = open();
    const flow = await begin(backend);
    Object.assign([...machine.relay.flows.values()][0]!, {
      status: PACKET_STATUS.refused,
      answer: PACKET_ANSWERS_NATIVE.FOREIGN_PORT,
    });
    machine.relay.close(1, 0);
    await flow.closed;
    expect(flow.backend).toBe('splice');
    expect(flow.refusals[0]?.reason).toContain('none of our source ports');
    backend.stop(false);
  });

  test('only a released one can be left', async () => {
    const backend = open();
    const flow = await begin(backend);
    const ends: FlowEnd[] = [];
    flow.onClosed((end) => ends.push(end));
    const [known] = machine.relay.flows.values();
    for (const status of [PACKET_STATUS.young, PACKET_STATUS.transit, PACKET_STATUS.refused]) {
      known!.status = status;
      expect(flow.independent).toBe(false);
      expect(flow.leave()).toBe(false);
    }
    Object.assign(known!, { status: PACKET_STATUS.released, bytesDown: 12 });
    expect(flow.independent).toBe(true);
    expect(flow.leave()).toBe(true);
    expect(flow.independent).toBe(false);
    expect(flow.leave()).toBe(false);
    expect(ends).toMatchObject([{ reason: 'kept', bytesDown: 12 }]);
    expect([flow.state, flow.backend]).toEqual(['closed', 'packet']);
    machine.relay.close(1, 0);
    expect(ends).toHaveLength(1);
    backend.stop(true);
    expect(machine.stopped).toEqual(['relay keeping', 'plane kept']);
  });

  test('adopted ones have the addresses that were found, and end through the plane', async () => {
    const address = (last: number): Uint8Array => Uint8Array.of(4, 0x1f, 0x90, 192, 0, 2, last);
    const [client, server_] = [address(1), address(2)];
    machine.adopted = [{ id: 40, client, server: server_, clientLocal: client, serverLocal: client, ageMs: 900 }];
    const backend = open();
    const [found] = [...backend.adopted()];
    expect(found?.ends).toEqual({ client: '192.0.2.1:8080', server: '192.0.2.2:8080', ageMs: 900 });
    const carriage = { backend: 'packet', refusals: [] } as const;
    const flow = new Flow('1', carriage, found!.begin, () => undefined, found!.ends);
    expect(flow.packet()?.sides).toEqual({ client: 'SPLICED', server: 'SPLICED' });
    flow.abort();
    expect(await flow.closed).toMatchObject({ reason: 'aborted' });
    expect(machine.plane.ended).toEqual([40]);
    backend.stop(false);
  });
});
