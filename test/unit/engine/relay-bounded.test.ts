/** Bounded flows: one direction, to an exact byte, and then both sockets are the caller's again. */
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SpliceEngine } from '../../../src/engine/engine.js';
import type { Flow } from '../../../src/engine/flow.js';
import { native } from '../../../src/native.js';
import { BACKENDS_UNDER_TEST } from '../../support/backends.js';
import {
  bytesOf,
  clear,
  descriptors,
  makeBed,
  rawDescriptor,
  readAll,
  readBytes,
  settled,
  until,
  type Bed,
} from '../../support/flow-bed.js';

const MIB = 1024 * 1024;

/** The engine's ends of a bed, as Node sockets or as descriptors that the test keeps. */
interface Ends {
  client: net.Socket | number;
  upstream: net.Socket | number;
  dispose: () => void;
}

const KINDS = {
  sockets: (bed: Bed): Ends => ({
    client: bed.client,
    upstream: bed.upstream,
    dispose: () => clear(bed.client, bed.upstream),
  }),
  descriptors: (bed: Bed): Ends => {
    const [client, upstream] = [rawDescriptor(bed.client), rawDescriptor(bed.upstream)];
    return {
      client,
      upstream,
      dispose: () => {
        native().close(client);
        native().close(upstream);
      },
    };
  },
  'a socket and a descriptor': (bed: Bed): Ends => {
    const upstream = rawDescriptor(bed.upstream);
    return {
      client: bed.client,
      upstream,
      dispose: () => {
        clear(bed.client);
        native().close(upstream);
      },
    };
  },
} as const;

describe.each(BACKENDS_UNDER_TEST)('$title', ({ name, options }) => {
  let engine: SpliceEngine;
  beforeAll(async () => {
    engine = await SpliceEngine.open(options);
  });
  afterAll(() => engine.close());

  describe.each(Object.keys(KINDS) as (keyof typeof KINDS)[])('over %s', (kind) => {
    const open = async () => {
      const bed = await makeBed();
      const ends = KINDS[kind](bed);
      /** Bytes that `copy` read beyond the bound of a descriptor: they go first in the next flow. */
      const leftover = { up: new Uint8Array(0), down: new Uint8Array(0) };
      const move = async (direction: 'up' | 'down', maxBytes: number, more = {}): Promise<Flow> => {
        const flow = await engine.splice(ends.client, ends.upstream, { direction, maxBytes, ...more });
        expect(flow.backend).toBe(name);
        return flow;
      };
      const through = async (direction: 'up' | 'down', maxBytes: number): Promise<number> => {
        const before = leftover[direction];
        const head = { [direction === 'up' ? 'clientHead' : 'upstreamHead']: before.subarray(0, maxBytes) };
        const end = await (await move(direction, maxBytes, head)).closed;
        expect(end.reason).toBe('limit');
        leftover[direction] = Buffer.concat([before.subarray(maxBytes), end.leftover ?? new Uint8Array(0)]);
        return direction === 'up' ? end.bytesUp : end.bytesDown;
      };
      return {
        bed,
        move,
        through,
        close: () => {
          ends.dispose();
          clear(bed.caller, bed.server);
        },
      };
    };

    test.each([0, 1, 65536, 65537, MIB + 1])('exactly %i bytes down, and no more', async (size) => {
      const { bed, through, close } = await open();
      const sent = bytesOf(size + 70_000);
      bed.server.write(sent);
      expect(await through('down', size)).toBe(size);
      expect((await readBytes(bed.caller, size)).equals(sent.subarray(0, size))).toBe(true);
      expect(await settled(() => bed.caller.readableLength, 50)).toBe(0);
      expect([...engine.flows()]).toEqual([]);
      close();
    });

    test('the same sockets carry one answer after another, with requests in between', async () => {
      const { bed, through, close } = await open();
      // The server answers all requests at once: the second answer is there before the first is done.
      const answers = [1, 5000, 300_000, 17, 65_536].map(bytesOf);
      bed.server.write(Buffer.concat(answers));
      for (const answer of answers) {
        const request = bytesOf(1000);
        bed.caller.write(request);
        expect(await through('up', request.length)).toBe(request.length);
        expect((await readBytes(bed.server, request.length)).equals(request)).toBe(true);
        expect(await through('down', answer.length)).toBe(answer.length);
        expect((await readBytes(bed.caller, answer.length)).equals(answer)).toBe(true);
      }
      close();
    });

    test.each(['up', 'down'] as const)('the reply goes first, bounded %s', async (direction) => {
      const { bed, move, close } = await open();
      bed.caller.write('request');
      bed.server.write('answers');
      const flow = await move(direction, 7, { reply: Buffer.from('100 Continue ') });
      expect(await flow.closed).toMatchObject({ reason: 'limit', [direction === 'up' ? 'bytesUp' : 'bytesDown']: 7 });
      expect((await readBytes(bed.caller, 13)).toString()).toBe('100 Continue ');
      expect((await readBytes(direction === 'up' ? bed.server : bed.caller, 7)).toString()).toBe(
        direction === 'up' ? 'request' : 'answers',
      );
      close();
    });

    test('an early end is told, and not passed on', async () => {
      const { bed, move, close } = await open();
      const flow = await move('down', 1000);
      bed.server.end('short');
      expect(await flow.closed).toMatchObject({ reason: 'end', bytesDown: 5 });
      expect((await readBytes(bed.caller, 5)).toString()).toBe('short');
      expect(bed.caller.readableEnded).toBe(false);
      bed.caller.write('still here');
      const back = await move('up', 10);
      expect(await back.closed).toMatchObject({ reason: 'limit' });
      expect((await readBytes(bed.server, 10)).toString()).toBe('still here');
      close();
    });

    test('a reset of the side that is read', async () => {
      const { bed, move, close } = await open();
      const flow = await move('down', 1000);
      bed.server.write('x');
      await readBytes(bed.caller, 1);
      bed.server.resetAndDestroy();
      expect(await flow.closed).toMatchObject({ reason: 'upstream-reset', bytesDown: 1 });
      close();
    });

    test('abort gives control back', async () => {
      const { bed, move, close } = await open();
      const flow = await move('down', 1000);
      flow.abort();
      expect(await flow.closed).toMatchObject({ reason: 'aborted', bytesDown: 0 });
      bed.server.write('later');
      expect(await (await move('down', 5)).closed).toMatchObject({ reason: 'limit' });
      expect((await readBytes(bed.caller, 5)).toString()).toBe('later');
      close();
    });

    test('descriptors are as before', async () => {
      const { bed, through, close } = await open();
      bed.server.write(bytesOf(300_000));
      await through('down', 100_000);
      await settled(() => descriptors().sockets, 50);
      const before = descriptors().sockets;
      for (let i = 0; i < 100; i++) {
        bed.server.write('abc');
        await through('down', 3);
      }
      bed.caller.resume();
      await until('duplicates are closed', () => descriptors().sockets <= before);
      close();
    });
  });

  test('what Node has read already counts against the bound, and the rest stays in its buffer', async () => {
    const bed = await makeBed();
    bed.server.write('0123456789');
    bed.upstream.read(0);
    await until('Node has read it', () => bed.upstream.readableLength === 10);
    const flow = await engine.splice(bed.client, bed.upstream, { maxBytes: 4 });
    expect(await flow.closed).toMatchObject({ reason: 'limit', bytesDown: 4 });
    expect((await readBytes(bed.caller, 4)).toString()).toBe('0123');
    expect((await readBytes(bed.upstream, 6)).toString()).toBe('456789');
    bed.server.end('more');
    expect((await readAll(bed.upstream)).toString()).toBe('more');
    clear(bed.client, bed.upstream, bed.caller, bed.server);
  });

  test('a socket that flowed flows again', async () => {
    const bed = await makeBed();
    let seen = '';
    bed.upstream.resume();
    bed.upstream.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
    const flow = await engine.splice(bed.client, bed.upstream, { maxBytes: 5 });
    bed.server.write('boundfree');
    expect(await flow.closed).toMatchObject({ reason: 'limit' });
    expect((await readBytes(bed.caller, 5)).toString()).toBe('bound');
    await until('the rest comes as data', () => seen === 'free');
    clear(bed.client, bed.upstream, bed.caller, bed.server);
  });

  test('while one is bound, the socket belongs to no other flow', async () => {
    const bed = await makeBed();
    const flow = await engine.splice(bed.client, bed.upstream, { maxBytes: 5 });
    await expect(engine.splice(bed.client, bed.upstream, { maxBytes: 5 })).rejects.toMatchObject({
      code: 'ERR_SPLICE_STATE',
    });
    flow.abort();
    await flow.closed;
    const whole = await engine.splice(bed.client, bed.upstream);
    bed.caller.end('a');
    bed.server.end('b');
    expect((await readAll(bed.server)).toString()).toBe('a');
    expect(await whole.closed).toMatchObject({ reason: 'end' });
    clear(bed.caller, bed.server);
  });
});

test('over the same descriptors two bounded flows may run at once, one each way', async () => {
  const engine = await SpliceEngine.open({ backend: 'splice', relayThreads: 1 });
  const bed = await makeBed();
  const [client, upstream] = [rawDescriptor(bed.client), rawDescriptor(bed.upstream)];
  const down = await engine.splice(client, upstream, { maxBytes: 5 });
  const up = await engine.splice(client, upstream, { maxBytes: 2, direction: 'up' });
  bed.server.write('first');
  bed.caller.write('up');
  expect(await down.closed).toMatchObject({ reason: 'limit', bytesDown: 5 });
  expect(await up.closed).toMatchObject({ reason: 'limit', bytesUp: 2 });
  native().close(client);
  native().close(upstream);
  clear(bed.caller, bed.server);
  await engine.close();
});
