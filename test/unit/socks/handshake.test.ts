import { describe, expect, test } from 'vitest';
import { SpliceStateError } from '../../../src/errors.js';
import { type ConnectFailure, SocksHandshake } from '../../../src/socks/handshake.js';
import { asks, bytes, client, closes, connects, host, leftover, play, receive, server, text } from './playbook.js';

const OPEN = { requireAuthentication: false };
const USERS = { requireAuthentication: true };
const REQUEST = '05 01 00 01 c0000201 0050';
const REQUEST_4 = '04 01 0050 c0000201';
const LOGIN = `01 05 ${text('alice')} 06 ${text('secret')}`;
const failure5 = (code: string): string => `05 ${code} 00 01 00000000 0000`;
const FAILURE_4 = '00 5b 0000 00000000';

describe('SOCKS5 without users', () => {
  test('greeting, request, IPv4', () => {
    const handshake = play(
      OPEN,
      client('05 01 00'),
      server('05 00'),
      client(REQUEST),
      connects('ipv4', '192.0.2.1', 80),
      host.connected('10.1.2.3', 40000),
      server('05 00 00 01 0a010203 9c40'),
      leftover(''),
    );
    expect(handshake.state).toBe('connected');
    expect(handshake.version).toBe(5);
    expect(handshake.user).toBeUndefined();
  });

  test('IPv6, bound to IPv6', () => {
    play(
      OPEN,
      client('05 01 00'),
      server('05 00'),
      client('05 01 00 04 20010db8000000000000000000000001 01bb'),
      connects('ipv6', '2001:db8::1', 443),
      host.connected('2001:db8::ff%eth0', 1),
      server('05 00 00 04 20010db80000000000000000000000ff 0001'),
      leftover(''),
    );
  });

  test('name', () => {
    play(
      OPEN,
      client('05 01 00'),
      server('05 00'),
      client('05 01 00 03 0b', text('Example.org'), '01bb'),
      connects('name', 'Example.org', 443),
    );
  });

  test.each([
    ['192.0.2.7', 'ipv4', '192.0.2.7'],
    ['2001:DB8:0::7', 'ipv6', '2001:db8::7'],
    ['[::1]', 'ipv6', '::1'],
    ['::ffff:192.0.2.7', 'ipv4', '192.0.2.7'],
    ['127.1', 'name', '127.1'],
    ['3com.example', 'name', '3com.example'],
    ['bücher.example', 'name', 'bücher.example'],
    ['_x.example.', 'name', '_x.example.'],
  ] as const)('name %s is a target of type %s', (name, type, expected) => {
    const length = Buffer.byteLength(name).toString(16).padStart(2, '0');
    play(
      OPEN,
      client('05 01 00 05 01 00 03', length, text(name), '0050'),
      server('05 00'),
      connects(type, expected, 80),
    );
  });

  test('an IPv4-mapped address is an IPv4 target', () => {
    play(
      OPEN,
      client('05 01 00 05 01 00 04 00000000000000000000ffff c0000201 0050'),
      server('05 00'),
      connects('ipv4', '192.0.2.1', 80),
    );
  });

  test('everything in one segment, with early data', () => {
    play(
      OPEN,
      client('05 01 00', REQUEST, 'aabb'),
      server('05 00'),
      connects('ipv4', '192.0.2.1', 80),
      client('ccdd'),
      client(''),
      client('ee'),
      host.connected('127.0.0.1', 256),
      server('05 00 00 01 7f000001 0100'),
      leftover('aabbccddee'),
    );
  });

  test('no authentication is preferred when the client offers both', () => {
    play(OPEN, client('05 03 01 02 00'), server('05 00'));
  });

  test('a client that offers a password only gets to send it, and is no user for that', () => {
    const handshake = play(
      OPEN,
      client('05 01 02', LOGIN, REQUEST, 'aa'),
      server('05 02'),
      asks('alice', 'secret'),
      host.says(true),
      server('01 00'),
      connects('ipv4', '192.0.2.1', 80),
      host.connected('127.0.0.1', 1),
      server('05 00 00 01 7f000001 0001'),
      leftover('aa'),
    );
    expect(handshake.user).toBeUndefined();
    expect(handshake.userId).toBe('alice');
  });

  test('a bound address that is none is told as zeros', () => {
    play(
      OPEN,
      client('05 01 00', REQUEST),
      server('05 00'),
      connects('ipv4', '192.0.2.1', 80),
      host.connected('', 0),
      server('05 00 00 01 00000000 0000'),
      leftover(''),
    );
  });

  test.each([
    ['no method', '05 00'],
    ['GSSAPI only', '05 01 01'],
    ['unassigned ones', '05 03 80 81 fe'],
  ])('%s in common', (_what, greeting) => {
    play(OPEN, client(greeting), server('05 ff'), closes('no-acceptable-method'), client(REQUEST));
  });

  test.each([
    ['BIND', '05 02 00 01', '07', 'unsupported-command'],
    ['UDP ASSOCIATE', '05 03 00 01', '07', 'unsupported-command'],
    ['command 0', '05 00 00 01', '07', 'unsupported-command'],
    ['address type 2', '05 01 00 02', '08', 'unsupported-address-type'],
    ['address type 0', '05 01 00 00', '08', 'unsupported-address-type'],
    ['version 4 in the request', '04 01 00 01', '01', 'bad-request-version'],
    ['port 0, IPv4', '05 01 00 01 c0000201 0000', '01', 'bad-port'],
    ['port 0, IPv6', `05 01 00 04 ${'00'.repeat(15)} 01 0000`, '01', 'bad-port'],
    ['port 0, name', `05 01 00 03 01 ${text('a')} 0000`, '01', 'bad-port'],
    ['an empty name', '05 01 00 03 00 0050', '01', 'bad-name'],
    ['a name with NUL', '05 01 00 03 03 610062 0050', '01', 'bad-name'],
    ['a name with a line feed', '05 01 00 03 03 610a62 0050', '01', 'bad-name'],
    ['a name with a space', '05 01 00 03 03 612062 0050', '01', 'bad-name'],
    ['a name that is not UTF-8', '05 01 00 03 02 ff61 0050', '01', 'bad-name'],
    ['a name with a C1 control', '05 01 00 03 02 c285 0050', '01', 'bad-name'],
    ['a zone', `05 01 00 03 08 ${text('fe80::1%')} 0050`, '01', 'bad-name'],
    ['a URL', `05 01 00 03 08 ${text('http://a')} 0050`, '01', 'bad-name'],
  ] as const)('%s is refused', (_what, request, code, reason) => {
    play(OPEN, client('05 01 00'), server('05 00'), client(request), server(failure5(code)), closes(reason));
  });

  test.each([
    ['refused', '05'],
    ['unreachable-host', '04'],
    ['unreachable-network', '03'],
    ['denied', '02'],
    ['timed-out', '06'],
    ['name-not-found', '04'],
    ['limit', '01'],
    ['failed', '01'],
  ] as const)('%s is told as %s', (failure, code) => {
    play(
      OPEN,
      client('05 01 00', REQUEST, 'aa'),
      server('05 00'),
      connects('ipv4', '192.0.2.1', 80),
      host.refused(failure),
      server(failure5(code)),
      closes(failure),
      client('bb'),
    );
  });
});

describe('SOCKS5 with users', () => {
  test('right password', () => {
    const handshake = play(
      USERS,
      client('05 02 00 02'),
      server('05 02'),
      client(LOGIN),
      asks('alice', 'secret'),
      host.says(true),
      server('01 00'),
      client(REQUEST),
      connects('ipv4', '192.0.2.1', 80),
    );
    expect(handshake.user).toBe('alice');
    expect(handshake.userId).toBeUndefined();
  });

  test('a name is no user before it is proved', () => {
    const handshake = play(USERS, client('05 01 02', LOGIN), server('05 02'), asks('alice', 'secret'));
    expect(handshake.user).toBeUndefined();
  });

  test('wrong password; what was sent ahead is dropped', () => {
    const handshake = play(
      USERS,
      client('05 01 02', LOGIN, REQUEST),
      server('05 02'),
      asks('alice', 'secret'),
      client('aa'),
      host.says(false),
      server('01 01'),
      closes('authentication-failed'),
      client('bb'),
    );
    expect(handshake.user).toBeUndefined();
    expect(handshake.state).toBe('closed');
  });

  test('request sent ahead in pieces while the password is checked', () => {
    play(
      USERS,
      client('05 01 02', LOGIN),
      server('05 02'),
      asks('alice', 'secret'),
      client('05 01 00 01'),
      client('c0000201 0050 aa'),
      host.says(true),
      server('01 00'),
      connects('ipv4', '192.0.2.1', 80),
      host.connected('127.0.0.1', 1),
      server('05 00 00 01 7f000001 0001'),
      leftover('aa'),
    );
  });

  test('half a request sent ahead, the rest after the answer', () => {
    play(
      USERS,
      client('05 01 02', LOGIN, '05 01 00'),
      server('05 02'),
      asks('alice', 'secret'),
      host.says(true),
      server('01 00'),
      client('01 c0000201 0050'),
      connects('ipv4', '192.0.2.1', 80),
    );
  });

  test('no authentication offered only', () => {
    play(USERS, client('05 01 00'), server('05 ff'), closes('no-acceptable-method'));
  });

  test('empty name and password are asked about', () => {
    play(USERS, client('05 01 02 01 00 00'), server('05 02'), asks('', ''));
  });

  test('UTF-8 and Latin-1 spell the same password', () => {
    play(USERS, client('05 01 02 01 01 61 02 c3a9'), server('05 02'), asks('a', 'é'));
    play(USERS, client('05 01 02 01 01 61 01 e9'), server('05 02'), asks('a', 'é'));
  });

  test('credentials of a wrong version', () => {
    play(USERS, client('05 01 02 05'), server('05 02'), server('01 01'), closes('bad-authentication-version'));
  });

  test('SOCKS4 is refused, also when it names a user', () => {
    const handshake = play(
      USERS,
      client(REQUEST_4, text('alice'), '00'),
      server(FAILURE_4),
      closes('authentication-required'),
    );
    expect(handshake.user).toBeUndefined();
  });
});

describe('SOCKS4 and 4a', () => {
  test('IPv4 with user id', () => {
    const handshake = play(
      OPEN,
      client(REQUEST_4, text('joe'), '00 aa'),
      connects('ipv4', '192.0.2.1', 80),
      host.connected('10.1.2.3', 40000),
      server('00 5a 9c40 0a010203'),
      leftover('aa'),
    );
    expect(handshake.version).toBe(4);
    expect(handshake.user).toBeUndefined();
    expect(handshake.userId).toBe('joe');
  });

  test('empty user id, bound to IPv6', () => {
    const handshake = play(
      OPEN,
      client(REQUEST_4, '00'),
      connects('ipv4', '192.0.2.1', 80),
      host.connected('2001:db8::1', 40000),
      server('00 5a 9c40 00000000'),
      leftover(''),
    );
    expect(handshake.userId).toBeUndefined();
  });

  test('control characters of a user id do not reach a log', () => {
    const handshake = play(OPEN, client(REQUEST_4, '1b5b41ff 00'), connects('ipv4', '192.0.2.1', 80));
    expect(handshake.userId).toBe('?[A?');
  });

  test('4a name', () => {
    play(
      OPEN,
      client('04 01 01bb 00000001', text('joe'), '00', text('example.org'), '00 aa'),
      connects('name', 'example.org', 443),
      host.connected('10.1.2.3', 1),
      server('00 5a 0001 0a010203'),
      leftover('aa'),
    );
  });

  test('0.0.0.0 is an address, not the sign of a name', () => {
    play(OPEN, client('04 01 0050 00000000 00'), connects('ipv4', '0.0.0.0', 80));
  });

  test('longest user id and name', () => {
    play(
      OPEN,
      client('04 01 0050 00000001', '61'.repeat(255), '00', '62'.repeat(255), '00'),
      connects('name', 'b'.repeat(255), 80),
    );
  });

  test.each([
    ['BIND', '04 02 0050 c0000201', 'unsupported-command'],
    ['port 0', '04 01 0000 c0000201', 'bad-port'],
    ['user id of 256 bytes', `${REQUEST_4} ${'61'.repeat(256)}`, 'userid-too-long'],
    ['name of 256 bytes', `04 01 0050 00000001 00 ${'61'.repeat(256)}`, 'name-too-long'],
    ['empty name', '04 01 0050 00000001 00 00', 'bad-name'],
    ['name with a control character', '04 01 0050 00000001 00 6107 00', 'bad-name'],
  ] as const)('%s is refused', (_what, request, reason) => {
    play(OPEN, client(request), server(FAILURE_4), closes(reason));
  });

  test.each<ConnectFailure>(['refused', 'denied', 'timed-out'])('%s is told as 5b', (failure) => {
    play(
      OPEN,
      client(REQUEST_4, '00'),
      connects('ipv4', '192.0.2.1', 80),
      host.refused(failure),
      server(FAILURE_4),
      closes(failure),
    );
  });
});

describe('what is not SOCKS', () => {
  test.each(['GET / HTTP/1.1\r\n', 'CONNECT a:443 HTTP/1.1\r\n', 'POST', 'P', 'OPTIONS', 'DELETE', 'HEAD', 'TRACE'])(
    '%j gets an answer in HTTP',
    (request) => {
      const commands = receive(new SocksHandshake(OPEN), bytes(text(request)));
      expect(commands).toHaveLength(2);
      expect(commands[1]).toEqual({ kind: 'close', reason: 'http-request' });
      const answer = commands[0]?.kind === 'send' ? Buffer.from(commands[0].bytes).toString() : '';
      const [head = '', body = ''] = answer.split('\r\n\r\n');
      expect(head).toMatch(/^HTTP\/1\.1 400 /);
      expect(head).toContain(`Content-Length: ${Buffer.byteLength(body)}`);
      expect(body).toContain('SOCKS');
    },
  );

  test.each([
    ['TLS', '16 03 01 02 00', 'tls-client-hello'],
    ['SSH', text('SSH-2.0-x'), 'unknown-protocol'],
    ['SOCKS 6', '06', 'unknown-protocol'],
    ['NUL', '00', 'unknown-protocol'],
  ] as const)('%s gets no answer', (_what, input, reason) => {
    const handshake = play(OPEN, client(input), closes(reason), client(input));
    expect(handshake.version).toBeUndefined();
  });
});

describe('calls out of order throw and change nothing', () => {
  const stages = {
    greeting: () => play(OPEN, client('05')),
    request: () => play(OPEN, client('05 01 00'), server('05 00')),
    credentials: () => play(USERS, client('05 01 02'), server('05 02')),
    authenticating: () => play(USERS, client('05 01 02', LOGIN), server('05 02'), asks('alice', 'secret')),
    connecting: () => play(OPEN, client(REQUEST_4, '00'), connects('ipv4', '192.0.2.1', 80)),
    connected: () =>
      play(
        OPEN,
        client(REQUEST_4, '00'),
        connects('ipv4', '192.0.2.1', 80),
        host.connected('127.0.0.1', 1),
        server('00 5a 0001 7f000001'),
        leftover(''),
      ),
    closed: () => play(OPEN, client('00'), closes('unknown-protocol')),
  } as const;
  const calls = {
    authenticated: (handshake: SocksHandshake) => handshake.authenticated(true),
    connected: (handshake: SocksHandshake) => handshake.connected({ address: '::', port: 1 }),
    refused: (handshake: SocksHandshake) => handshake.refused('failed'),
    receive: (handshake: SocksHandshake) => handshake.receive(new Uint8Array(0)),
  } as const;
  const allowed: Record<keyof typeof calls, readonly string[]> = {
    authenticated: ['authenticating'],
    connected: ['connecting'],
    refused: ['connecting'],
    receive: ['greeting', 'request', 'credentials', 'authenticating', 'connecting', 'closed'],
  };

  for (const stage of Object.keys(stages) as (keyof typeof stages)[]) {
    for (const call of Object.keys(calls) as (keyof typeof calls)[]) {
      const fine = allowed[call].includes(stage);
      test(`${call} while ${stage}: ${fine ? 'allowed' : 'refused'}`, () => {
        const handshake = stages[stage]();
        expect(handshake.state).toBe(stage);
        if (fine) {
          expect(() => calls[call](handshake)).not.toThrow();
        } else {
          expect(() => calls[call](handshake)).toThrow(SpliceStateError);
          expect(handshake.state).toBe(stage);
        }
      });
    }
  }
});
