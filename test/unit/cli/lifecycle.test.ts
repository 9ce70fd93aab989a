import pino from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { Lifecycle } from '../../../src/cli/lifecycle.js';
import { ConfigError } from '../../../src/errors.js';
import { changesThatNeedRestart, loadConfig } from '../../../src/server/config.js';
import type { FlagValues, SocksConfig } from '../../../src/server/config.js';

interface Call {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

function pending(): Call {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve: () => resolve(), reject: (error) => reject(error) };
}

/** Lets everything that is ready run. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

let calls: string[];
let drain: Call;
let stop: Call;
let lines: { msg: string; settings?: string[]; reason?: string }[];
let read: () => Promise<SocksConfig>;
let initial: SocksConfig;

beforeEach(async () => {
  calls = [];
  lines = [];
  drain = pending();
  stop = pending();
  initial = await loadConfig({});
  read = () => Promise.resolve(initial);
});

function lifecycle(serverReload: () => Promise<void> = () => Promise.resolve()) {
  const logger = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[0]) });
  const record =
    (name: string) =>
    (...values: unknown[]) =>
      void calls.push([name, ...values].join(' '));
  const subject = new Lifecycle({
    server: {
      drain: () => (calls.push('drain'), drain.promise),
      stop: ({ keep } = { keep: false }) => (calls.push(keep ? 'stop, keeping' : 'stop'), stop.promise),
      reload: () => (calls.push('server reload'), serverReload()),
    },
    config: initial,
    readConfig: () => read(),
    changesThatNeedRestart,
    logger,
    metrics: { reloaded: record('reloaded') },
    notifier: { ready: record('READY'), reloading: record('RELOADING'), stopping: record('STOPPING') },
    status: 'serving',
  });
  return { subject, logger };
}

describe('ending', () => {
  test('one signal drains, then stops', async () => {
    const { subject } = lifecycle();
    expect(subject.draining).toBe(false);
    subject.terminate('SIGTERM');
    expect(subject.draining).toBe(true);
    await settle();
    expect(calls).toEqual(['STOPPING draining', 'drain']);
    drain.resolve();
    await settle();
    expect(calls.slice(2)).toEqual(['stop, keeping']);
    stop.resolve();
    expect(await subject.done).toBe(0);
  });

  test('a second signal stops at once, and the drain that ends later changes nothing', async () => {
    const { subject } = lifecycle();
    subject.terminate('SIGTERM');
    subject.terminate('SIGINT');
    expect(calls).toEqual(['STOPPING draining', 'drain', 'stop']);
    drain.resolve();
    subject.terminate('SIGTERM');
    await settle();
    expect(calls).toHaveLength(3);
    stop.resolve();
    expect(await subject.done).toBe(0);
  });

  test('a drain asked for twice is one drain', async () => {
    const { subject } = lifecycle();
    subject.drain('control socket');
    subject.drain('control socket');
    await settle();
    expect(calls).toEqual(['STOPPING draining', 'drain']);
  });

  test('a signal during a drain that was asked for stops at once', () => {
    const { subject } = lifecycle();
    subject.drain('control socket');
    subject.terminate('SIGTERM');
    expect(calls.at(-1)).toBe('stop');
  });

  test('a drain that fails still stops, and the exit code tells', async () => {
    const { subject } = lifecycle();
    subject.terminate('SIGTERM');
    drain.reject(new Error('x'));
    stop.resolve();
    expect(await subject.done).toBe(1);
    expect(calls).toContain('stop, keeping');
  });

  test('a stop that fails ends as well', async () => {
    const { subject } = lifecycle();
    subject.terminate('SIGTERM');
    drain.resolve();
    stop.reject(new Error('x'));
    expect(await subject.done).toBe(1);
  });
});

describe('failing', () => {
  test('stops at once, says why, and the exit code tells', async () => {
    const { subject } = lifecycle();
    subject.fail(new Error('worker 2 has died'));
    expect(calls).toEqual(['STOPPING failed', 'stop, keeping']);
    expect(lines.at(-1)).toMatchObject({
      msg: expect.stringContaining('failed'),
      err: { message: 'worker 2 has died' },
    });
    stop.resolve();
    expect(await subject.done).toBe(1);
  });

  test('also in a drain, which then changes nothing; and not while it stops already', async () => {
    const { subject } = lifecycle();
    subject.terminate('SIGTERM');
    subject.fail(new Error('x'));
    drain.resolve();
    subject.fail(new Error('y'));
    stop.resolve();
    expect(await subject.done).toBe(1);
    expect(calls.filter((call) => call.startsWith('stop'))).toHaveLength(1);
  });
});

describe('reload', () => {
  const withFlags = (flags: FlagValues) => () => loadConfig(flags);

  test('applies what it can and names what it cannot', async () => {
    const { subject, logger } = lifecycle();
    read = withFlags({ listen: ['1081'], logLevel: 'warn', idleTimeout: '1s' });
    await subject.reload('SIGHUP');
    expect(calls).toEqual(['RELOADING', 'server reload', 'reloaded true', 'READY serving']);
    expect(lines.find(({ settings }) => settings !== undefined)?.settings).toEqual(['listen']);
    expect(logger.level).toBe('warn');
  });

  test('a mistake keeps the old configuration, is logged, and reaches who asked', async () => {
    const { subject, logger } = lifecycle();
    read = () => Promise.reject(new ConfigError('bad', { file: 'f', line: 2 }));
    await expect(subject.reload('SIGHUP')).rejects.toThrow('f:2: bad');
    expect(calls).toEqual(['RELOADING', 'reloaded false', 'READY serving']);
    expect(lines.at(-1)).toMatchObject({ reason: 'f:2: bad', msg: expect.stringContaining('old one stays') });
    expect(logger.level).toBe('info');
    read = () => Promise.resolve(initial);
    await subject.reload('SIGHUP');
    expect(calls.slice(3)).toEqual(['RELOADING', 'server reload', 'reloaded true', 'READY serving']);
  });

  test('what the server refuses counts as a mistake', async () => {
    const { subject, logger } = lifecycle(() => Promise.reject(new ConfigError('users')));
    read = withFlags({ logLevel: 'debug' });
    await expect(subject.reload('SIGHUP')).rejects.toThrow('users');
    expect(calls).toContain('reloaded false');
    expect(logger.level).toBe('info');
  });

  test('two at once happen one after the other', async () => {
    const first = pending();
    let reading = 0;
    const { subject } = lifecycle();
    read = async () => {
      calls.push(`read ${++reading}`);
      if (reading === 1) await first.promise;
      return initial;
    };
    const both = [subject.reload('a'), subject.reload('b')];
    await settle();
    expect(calls).toEqual(['RELOADING', 'read 1']);
    first.resolve();
    await Promise.all(both);
    expect(calls.filter((call) => call.startsWith('read'))).toEqual(['read 1', 'read 2']);
  });

  test('none while draining', async () => {
    const { subject } = lifecycle();
    subject.drain('x');
    await expect(subject.reload('SIGHUP')).rejects.toMatchObject({ code: 'ERR_SPLICE_STATE' });
    expect(calls).toEqual(['STOPPING draining', 'drain']);
  });

  test('a drain that begins during a reload is not taken back by READY', async () => {
    const reading = pending();
    const { subject } = lifecycle();
    read = () => reading.promise.then(() => initial);
    const reload = subject.reload('SIGHUP');
    await settle();
    subject.drain('SIGTERM');
    reading.resolve();
    await reload;
    expect(calls).not.toContain('READY serving');
  });
});
