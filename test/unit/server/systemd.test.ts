import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SystemdNotifier, takeInheritedSockets } from '../../../src/server/systemd.js';

describe('sockets from systemd', () => {
  test('are taken once, with their names', () => {
    const env = { LISTEN_FDS: '2', LISTEN_PID: '42', LISTEN_FDNAMES: 'socks:more', OTHER: 'x' };
    expect(takeInheritedSockets(env, 42)).toEqual([
      { fd: 3, name: 'socks' },
      { fd: 4, name: 'more' },
    ]);
    expect(env).toEqual({ OTHER: 'x' });
    expect(takeInheritedSockets(env, 42)).toEqual([]);
  });

  test.each([
    ['none', {}],
    ['for another process', { LISTEN_FDS: '1', LISTEN_PID: '41' }],
    ['for nobody', { LISTEN_FDS: '1' }],
    ['not a number', { LISTEN_FDS: '-1', LISTEN_PID: '42' }],
    ['absurdly many', { LISTEN_FDS: '99999', LISTEN_PID: '42' }],
    ['zero', { LISTEN_FDS: '0', LISTEN_PID: '42' }],
  ])('%s', (_name, env) => {
    expect(takeInheritedSockets({ ...env }, 42)).toEqual([]);
  });

  test('without names', () => {
    expect(takeInheritedSockets({ LISTEN_FDS: '1', LISTEN_PID: '42' }, 42)).toEqual([{ fd: 3, name: 'unknown' }]);
  });
});

describe('notifications', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function notifier(env: Record<string, string>, send?: (path: string, message: string) => void) {
    const sent: [path: string, message: string][] = [];
    const failures: unknown[] = [];
    const subject = new SystemdNotifier({
      env,
      pid: 42,
      send: send ?? ((path, message) => void sent.push([path, message])),
      failed: (error) => void failures.push(error),
    });
    return { subject, sent, failures };
  }

  test('the life of a service', () => {
    const { subject, sent } = notifier({ NOTIFY_SOCKET: '@abstract' });
    subject.ready('listening\non x');
    subject.reloading();
    subject.stopping('draining');
    expect(sent.map(([path]) => path)).toEqual(['@abstract', '@abstract', '@abstract']);
    expect(sent[0]?.[1]).toBe('READY=1\nSTATUS=listening on x');
    expect(sent[1]?.[1]).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+$/);
    expect(sent[2]?.[1]).toBe('STOPPING=1\nSTATUS=draining');
  });

  test('without systemd nothing is sent, and no timer runs', () => {
    const { subject, sent } = notifier({ WATCHDOG_USEC: '1000000' });
    subject.ready('x');
    expect(sent).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('keep-alives at half the watchdog time, until closed', () => {
    const { subject, sent } = notifier({ NOTIFY_SOCKET: '/n', WATCHDOG_USEC: '3000000', WATCHDOG_PID: '42' });
    subject.ready('x');
    subject.ready('reloaded');
    vi.advanceTimersByTime(1499);
    expect(sent).toHaveLength(2);
    vi.advanceTimersByTime(1501);
    expect(sent.slice(2)).toEqual([
      ['/n', 'WATCHDOG=1'],
      ['/n', 'WATCHDOG=1'],
    ]);
    subject.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([{ WATCHDOG_PID: '41', WATCHDOG_USEC: '1000' }, { WATCHDOG_USEC: 'x' }, { WATCHDOG_USEC: '0' }])(
    'no keep-alives for %o',
    (env) => {
      const { subject } = notifier({ NOTIFY_SOCKET: '/n', ...env });
      subject.ready('x');
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  test('a message that cannot be sent is reported and does no harm', () => {
    const { subject, failures } = notifier({ NOTIFY_SOCKET: '/n' }, () => {
      throw new Error('gone');
    });
    subject.ready('x');
    expect(failures).toEqual([new Error('gone')]);
  });
});
