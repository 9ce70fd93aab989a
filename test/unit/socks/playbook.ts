/**
 * Transcripts of SOCKS handshakes. A play is a list of lines; each line is what one side does, in hex or words:
 *
 *     client('05 01 00')           the client sends; what follows must be exactly what comes out
 *     server('05 00')              the proxy sends
 *     asks('alice', 'secret')      the proxy wants a password checked
 *     connects('192.0.2.1', 80)    the proxy wants a connection
 *     closes('denied')             the proxy closes
 *     host.says(true)              the host answers asks()
 *     host.connected('::1', 80)    the host answers connects(); then server() and leftover() must follow
 *     host.refused('refused')
 *     leftover('aa bb')            what is given to the target
 */
import { expect } from 'vitest';
import {
  type ConnectFailure,
  type HandshakeFailure,
  type HandshakeOptions,
  type SocksCommand,
  SocksHandshake,
} from '../../../src/socks/handshake.js';

type Output = string;
type Line =
  | { by: 'client'; bytes: Uint8Array }
  | { by: 'host'; act: (handshake: SocksHandshake) => Output[] }
  | { by: 'proxy'; output: Output };

export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
}

/** Text in a transcript, as hex. */
export function text(value: string): string {
  return Buffer.from(value).toString('hex');
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex');
}

export function outputOf(command: SocksCommand): Output {
  switch (command.kind) {
    case 'send':
      return `server ${hex(command.bytes)}`;
    case 'authenticate':
      return `asks ${JSON.stringify([command.user, command.password])}`;
    case 'connect':
      return `connects ${command.target.type} ${command.target.host} ${command.target.port}`;
    case 'close':
      return `closes ${command.reason}`;
  }
}

export const client = (...parts: string[]): Line => ({ by: 'client', bytes: bytes(parts.join('')) });
export const server = (value: string): Line => ({ by: 'proxy', output: `server ${hex(bytes(value))}` });
export const asks = (user: string, password: string): Line => ({
  by: 'proxy',
  output: `asks ${JSON.stringify([user, password])}`,
});
export const connects = (type: 'ipv4' | 'ipv6' | 'name', host: string, port: number): Line => ({
  by: 'proxy',
  output: `connects ${type} ${host} ${port}`,
});
export const closes = (reason: HandshakeFailure): Line => ({ by: 'proxy', output: `closes ${reason}` });
export const leftover = (value: string): Line => ({ by: 'proxy', output: `leftover ${hex(bytes(value))}` });

export const host = {
  says: (ok: boolean): Line => ({ by: 'host', act: (handshake) => handshake.authenticated(ok).map(outputOf) }),
  refused: (failure: ConnectFailure): Line => ({
    by: 'host',
    act: (handshake) => handshake.refused(failure).map(outputOf),
  }),
  connected: (address: string, port: number): Line => ({
    by: 'host',
    act: (handshake) => {
      const result = handshake.connected({ address, port });
      return [`server ${hex(result.reply)}`, `leftover ${hex(result.leftover)}`];
    },
  }),
};

/** Hands `input` over the way the host does: in a buffer that is overwritten as soon as the call returns. */
export function receive(handshake: SocksHandshake, input: Uint8Array): readonly SocksCommand[] {
  const reused = Buffer.alloc(input.length + 2, 0xee);
  reused.set(input, 1);
  const commands = handshake.receive(reused.subarray(1, 1 + input.length));
  reused.fill(0xee);
  return commands;
}

/** Plays the lines: what the proxy puts out between two other lines must be what is written there. */
export function play(options: HandshakeOptions, ...lines: Line[]): SocksHandshake {
  const handshake = new SocksHandshake(options);
  let outputs: Output[] = [];
  lines.forEach((line, i) => {
    const where = `line ${i + 1}`;
    if (line.by === 'proxy') {
      expect(outputs.shift(), where).toBe(line.output);
      return;
    }
    expect(outputs, `before ${where}`).toEqual([]);
    outputs = line.by === 'client' ? receive(handshake, line.bytes).map(outputOf) : line.act(handshake);
  });
  expect(outputs, 'at the end').toEqual([]);
  return handshake;
}
