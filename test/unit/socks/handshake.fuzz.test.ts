/**
 * Properties of the handshake over all inputs: nothing throws, nothing hangs, and only the bytes matter, not the cut.
 * The host of these runs answers at once: it accepts a password when its length is even, and connects to even ports.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SocksHandshake } from '../../../src/socks/handshake.js';
import { outputOf, receive } from './playbook.js';

interface Run {
  readonly outputs: string[];
  readonly leftover: string | undefined;
  readonly version: number | undefined;
  readonly user: string | undefined;
  readonly userId: string | undefined;
}

/** Feeds `pieces`; answers to the host's questions come after `lag` further pieces, or at the end. */
function run(pieces: Uint8Array[], requireAuthentication: boolean, lag: number): Run {
  const handshake = new SocksHandshake({ requireAuthentication });
  const outputs: string[] = [];
  let due: { at: number; answer: () => ReturnType<SocksHandshake['receive']> } | undefined;
  let leftover: string | undefined;
  let tail = '';

  const take = (commands: ReturnType<SocksHandshake['receive']>, now: number): void => {
    for (const command of commands) {
      outputs.push(outputOf(command));
      if (command.kind === 'authenticate') {
        due = { at: now + lag, answer: () => handshake.authenticated(command.password.length % 2 === 0) };
      } else if (command.kind === 'connect') {
        due = {
          at: now + lag,
          answer: () => {
            if (command.target.port % 2 === 1) return handshake.refused('refused');
            const result = handshake.connected({ address: '192.0.2.9', port: 9 });
            outputs.push(`reply ${Buffer.from(result.reply).toString('hex')}`);
            leftover = Buffer.from(result.leftover).toString('hex');
            return [];
          },
        };
      }
    }
  };
  const answer = (now: number): void => {
    while (due !== undefined && due.at <= now) {
      const ready = due.answer;
      due = undefined;
      take(ready(), now);
    }
  };

  pieces.forEach((piece, now) => {
    if (handshake.state === 'connected') tail += Buffer.from(piece).toString('hex');
    else take(receive(handshake, piece), now);
    answer(now);
  });
  answer(Infinity);
  return {
    outputs,
    leftover: leftover === undefined ? undefined : leftover + tail,
    version: handshake.version,
    user: handshake.user,
    userId: handshake.userId,
  };
}

function cut(input: Uint8Array, at: readonly number[]): Uint8Array[] {
  const marks = [...new Set(at.map((n) => n % (input.length + 1)))].sort((a, b) => a - b);
  return [...marks, input.length].map((end, i) => input.subarray(i === 0 ? 0 : marks[i - 1], end));
}

const tail = fc.uint8Array({ maxLength: 12 });
const short = fc.uint8Array({ maxLength: 9 });
/** A field whose length byte is mostly right. */
const counted = short.chain((field) =>
  fc
    .oneof({ weight: 6, arbitrary: fc.constant(field.length) }, { weight: 1, arbitrary: fc.nat(255) })
    .map((length) => [length, ...field]),
);
const port = fc.tuple(fc.constantFrom(0, 1, 200), fc.nat(255));
const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => [1, ...bytes]),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => [4, ...bytes]),
  counted.map((bytes) => [3, ...bytes]),
  fc
    .constantFrom('a.example', '10.0.0.1', '[::1]', 'bü')
    .map((name) => [3, Buffer.byteLength(name), ...Buffer.from(name)]),
  fc.tuple(fc.nat(255)).map(([type]) => [type]),
);
const mostly = (value: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.nat(255) });

const socks5 = fc
  .tuple(
    fc.constantFrom([5, 1, 0], [5, 1, 2], [5, 2, 0, 2], [5, 0], [5, 1, 1]),
    fc.option(fc.tuple(mostly(1), counted, counted), { nil: undefined }),
    mostly(5),
    mostly(1),
    address,
    port,
    tail,
  )
  .map(([greeting, login, version, command, target, at, data]) =>
    Uint8Array.from([...greeting, ...(login?.flat() ?? []), version, command, 0, ...target, ...at, ...data]),
  );
const text = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ min: 1, maxLength: 9 }) },
  { weight: 1, arbitrary: fc.uint8Array({ min: 1, minLength: 250, maxLength: 260 }) },
);
const socks4 = fc
  .tuple(mostly(1), port, fc.constantFrom([192, 0, 2, 1], [0, 0, 0, 1], [0, 0, 0, 0]), text, text, tail)
  .map(([command, at, ip, user, name, data]) =>
    Uint8Array.from([4, command, ...at, ...ip, ...user, 0, ...name, 0, ...data]),
  );
const noise = fc
  .tuple(fc.constantFrom([], [4], [5], [5, 1, 0], [5, 1, 2, 1], [0x16], [0x47]), fc.uint8Array({ maxLength: 600 }))
  .map(([head, rest]) => Uint8Array.from([...head, ...rest]));
const stream = fc.oneof(
  { weight: 4, arbitrary: socks5 },
  { weight: 2, arbitrary: socks4 },
  { weight: 1, arbitrary: noise },
);

test('any cut gives what one piece gives, at any speed of the host', () => {
  fc.assert(
    fc.property(stream, fc.boolean(), fc.array(fc.nat(700), { maxLength: 20 }), fc.nat(6), (input, users, at, lag) => {
      expect(run(cut(input, at), users, lag)).toEqual(run([input], users, 0));
    }),
    { numRuns: 3000 },
  );
});

test('one byte at a time gives what one piece gives', () => {
  fc.assert(
    fc.property(stream, fc.boolean(), fc.nat(3), (input, users, lag) => {
      const bytes = Array.from(input, (byte) => Uint8Array.of(byte));
      expect(run(bytes, users, lag)).toEqual(run([input], users, 0));
    }),
    { numRuns: 500 },
  );
});

test('a whole valid conversation ends connected, with every later byte left over', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(400), { maxLength: 8 }), (data, at) => {
      const input = Uint8Array.from([5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 80, ...data]);
      const result = run(cut(input, at), false, 0);
      expect(result.outputs).toEqual(['server 0500', 'connects ipv4 192.0.2.1 80', 'reply 05000001c00002090009']);
      expect(result.leftover).toBe(Buffer.from(data).toString('hex'));
    }),
  );
});

test('a prefix never says more than the whole, and nothing follows a close', () => {
  fc.assert(
    fc.property(stream, fc.boolean(), fc.nat(700), (input, users, length) => {
      const whole = run([input], users, 0).outputs;
      const part = run([input.subarray(0, length % (input.length + 1))], users, 0).outputs;
      expect(whole.slice(0, part.length)).toEqual(part);
      const close = whole.findIndex((output) => output.startsWith('closes'));
      expect(close === -1 || close === whole.length - 1).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test('a client that is not understood cannot make the handshake hold much', () => {
  // Longest message of each kind: greeting 257, credentials 513, request 262, SOCKS4a 8 + 256 + 256.
  for (const head of [
    [5, 255],
    [5, 1, 2, 1, 255],
    [5, 1, 0, 5, 1, 0, 3, 255],
    [4, 1, 0, 80, 0, 0, 0, 1],
  ]) {
    const handshake = new SocksHandshake({ requireAuthentication: false });
    receive(handshake, Uint8Array.from(head));
    let fed = 0;
    while (['greeting', 'credentials', 'request'].includes(handshake.state) && fed < 2000) {
      receive(handshake, Uint8Array.of(0x61));
      fed++;
    }
    expect(fed).toBeLessThan(1100);
  }
});
