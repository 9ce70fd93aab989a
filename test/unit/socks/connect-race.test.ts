import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConnectRace, type RaceCommand, interleave } from '../../../src/socks/connect-race.js';
import type { ConnectFailure } from '../../../src/socks/failure.js';

const attempt = (address: string): RaceCommand => ({ kind: 'attempt', address });
const cancel = (address: string): RaceCommand => ({ kind: 'cancel', address });
const won = (address: string): RaceCommand => ({ kind: 'won', address });
const lost = (failure: ConnectFailure): RaceCommand => ({ kind: 'lost', failure });
const delay: RaceCommand = { kind: 'arm-delay', ms: 250 };

test('families take turns, IPv6 first, in the order of the resolver', () => {
  expect(interleave(['1.1.1.1', '2.2.2.2', 'a::', '3.3.3.3', 'b::', '1.1.1.1'])).toEqual([
    'a::',
    '1.1.1.1',
    'b::',
    '2.2.2.2',
    '3.3.3.3',
  ]);
});

describe('one address', () => {
  test('wins', () => {
    const race = new ConnectRace(['1.1.1.1']);
    expect(race.start()).toEqual([attempt('1.1.1.1')]);
    expect(race.start()).toEqual([]);
    expect(race.delayElapsed()).toEqual([]);
    expect(race.connected('1.1.1.1')).toEqual([won('1.1.1.1')]);
    expect(race.over).toBe(true);
  });

  test('fails', () => {
    const race = new ConnectRace(['a::']);
    race.start();
    expect(race.failed('a::', 'refused')).toEqual([lost('refused')]);
    expect(race.failed('a::', 'timed-out')).toEqual([]);
  });
});

test('no address', () => expect(new ConnectRace([]).start()).toEqual([lost('name-not-found')]));

describe('two addresses', () => {
  const begun = (): ConnectRace => {
    const race = new ConnectRace(['1.1.1.1', 'a::']);
    expect(race.start()).toEqual([attempt('a::'), delay]);
    return race;
  };

  test('the first wins within its head start', () => {
    const race = begun();
    expect(race.connected('a::')).toEqual([won('a::')]);
    expect(race.delayElapsed()).toEqual([]);
  });

  test('the second starts after the delay and wins; the first is cancelled, and may report late', () => {
    const race = begun();
    expect(race.delayElapsed()).toEqual([attempt('1.1.1.1')]);
    expect(race.connected('1.1.1.1')).toEqual([cancel('a::'), won('1.1.1.1')]);
    expect(race.connected('a::')).toEqual([]);
    expect(race.failed('a::', 'refused')).toEqual([]);
  });

  test('the second starts at once when the first fails; the old timer does no harm', () => {
    const race = begun();
    expect(race.failed('a::', 'unreachable-network')).toEqual([attempt('1.1.1.1')]);
    expect(race.delayElapsed()).toEqual([]);
    expect(race.connected('1.1.1.1')).toEqual([won('1.1.1.1')]);
  });

  test('a failure while the other is under way waits for it', () => {
    const race = begun();
    race.delayElapsed();
    expect(race.failed('a::', 'refused')).toEqual([]);
    expect(race.failed('a::', 'refused')).toEqual([]);
    expect(race.failed('1.1.1.1', 'timed-out')).toEqual([lost('refused')]);
  });

  test('abandoned: all are cancelled', () => {
    const race = begun();
    race.delayElapsed();
    expect(race.abandon('timed-out')).toEqual([cancel('a::'), cancel('1.1.1.1'), lost('timed-out')]);
    expect(race.abandon('timed-out')).toEqual([]);
    expect(race.connected('a::')).toEqual([]);
  });

  test('abandoned after a telling failure', () => {
    const race = begun();
    race.failed('a::', 'refused');
    expect(race.abandon('timed-out')).toEqual([cancel('1.1.1.1'), lost('refused')]);
  });

  test('reports about strangers are ignored, also before the start', () => {
    const race = new ConnectRace(['1.1.1.1', 'a::']);
    expect(race.delayElapsed()).toEqual([]);
    expect(race.connected('a::')).toEqual([]);
    race.start();
    expect(race.connected('9.9.9.9')).toEqual([]);
    expect(race.connected('1.1.1.1')).toEqual([]);
  });
});

test('three addresses: every start of an attempt arms the delay anew, but the last', () => {
  const race = new ConnectRace(['a::', 'b::', 'c::'], { attemptDelayMs: 40 });
  const short: RaceCommand = { kind: 'arm-delay', ms: 40 };
  expect(race.start()).toEqual([attempt('a::'), short]);
  expect(race.failed('a::', 'failed')).toEqual([attempt('b::'), short]);
  expect(race.delayElapsed()).toEqual([attempt('c::')]);
});

test('no more attempts than allowed', () => {
  const race = new ConnectRace(['a::', 'b::', '1.1.1.1', '2.2.2.2'], { maxAttempts: 2 });
  race.start();
  expect(race.failed('a::', 'failed')).toEqual([attempt('1.1.1.1')]);
  expect(race.failed('1.1.1.1', 'failed')).toEqual([lost('failed')]);
});

test.each<[ConnectFailure, ConnectFailure, ConnectFailure]>([
  ['refused', 'timed-out', 'refused'],
  ['unreachable-network', 'timed-out', 'timed-out'],
  ['timed-out', 'unreachable-host', 'unreachable-host'],
  ['unreachable-host', 'refused', 'refused'],
  ['limit', 'unreachable-network', 'unreachable-network'],
  ['denied', 'unreachable-network', 'denied'],
])('of %s and %s, %s is told', (first, second, told) => {
  const race = new ConnectRace(['a::', 'b::']);
  race.start();
  race.failed('a::', first);
  expect(race.failed('b::', second)).toEqual([lost(told)]);
});

test('whatever happens: one end, no attempt twice, and at the end nothing is under way but the winner', () => {
  const addresses = ['a::', 'b::', 'c::', '1.1.1.1', '2.2.2.2'];
  const event = fc.record({
    kind: fc.constantFrom('failed', 'connected', 'delay', 'abandon'),
    address: fc.constantFrom(...addresses),
  });
  fc.assert(
    fc.property(fc.shuffledSubarray(addresses), fc.array(event, { maxLength: 30 }), (order, events) => {
      const race = new ConnectRace(order);
      const open = new Set<string>();
      const tried = new Set<string>();
      let ends = 0;
      const take = (commands: RaceCommand[]): void => {
        for (const command of commands) {
          expect(ends).toBe(0);
          if (command.kind === 'attempt') {
            expect(tried.has(command.address)).toBe(false);
            tried.add(command.address);
            open.add(command.address);
          } else if (command.kind === 'cancel') {
            expect(open.delete(command.address)).toBe(true);
          } else if (command.kind === 'won' || command.kind === 'lost') {
            ends++;
            if (command.kind === 'won') expect(open.delete(command.address)).toBe(true);
            expect(open.size).toBe(0);
          }
        }
      };
      take(race.start());
      for (const { kind, address } of events) {
        if (kind === 'delay') take(race.delayElapsed());
        else if (kind === 'abandon') take(race.abandon('timed-out'));
        else if (kind === 'connected') take(race.connected(address));
        else {
          open.delete(address);
          take(race.failed(address, 'refused'));
        }
      }
      for (const address of [...interleave(order)]) {
        open.delete(address);
        take(race.failed(address, 'refused'));
      }
      expect(ends).toBe(1);
      expect(race.over).toBe(true);
    }),
    { numRuns: 1000 },
  );
});
