import { describe, expect, test, vi } from 'vitest';
import { accessLine, createLogger, logAccess, LineBuffer } from '../../../src/server/logging.js';
import type { LoggingOptions } from '../../../src/server/logging.js';

const RECORD = {
  client: '192.0.2.1:5000',
  user: 'alice',
  target: 'example.org:443',
  upstream: '198.51.100.1:443',
  bytesUp: 10,
  bytesDown: 20,
  durationMs: 12.6,
  backend: 'splice',
  refusals: [
    { backend: 'packet', reason: 'no CAP_BPF' },
    { backend: 'sockmap', reason: 'not asked for' },
  ],
  reason: 'finished',
};

function capture(options: Partial<LoggingOptions>) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ level: 'info', format: 'json', terminal: false, destination, ...options });
  return { logger, lines };
}

describe('access line', () => {
  test('has the promised fields', () => {
    const { logger, lines } = capture({});
    logAccess(logger, RECORD);
    const line: unknown = JSON.parse(lines.join(''));
    expect(line).toMatchObject({
      level: 'info',
      msg: 'flow closed',
      client: '192.0.2.1:5000',
      user: 'alice',
      target: 'example.org:443',
      upstream: '198.51.100.1:443',
      bytes_up: 10,
      bytes_down: 20,
      duration_ms: 13,
      backend: 'splice',
      refused: 'packet: no CAP_BPF; sockmap: not asked for',
      reason: 'finished',
    });
  });

  test('leaves out what is not known', () => {
    const { logger, lines } = capture({});
    logAccess(logger, { client: 'c', bytesUp: 0, bytesDown: 0, durationMs: 1, reason: 'handshake timeout' });
    const line = JSON.parse(lines.join('')) as Record<string, unknown>;
    for (const key of ['user', 'target', 'upstream', 'backend', 'refused']) expect(line).not.toHaveProperty(key);
  });

  test('no better backend refused means no field', () => {
    expect(accessLine({ ...RECORD, refusals: [] }).refused).toBeUndefined();
  });

  test('is not written below its level', () => {
    const { logger, lines } = capture({ level: 'warn' });
    logAccess(logger, RECORD);
    expect(lines).toEqual([]);
  });
});

describe('form', () => {
  test.each([
    ['json', true, true],
    ['json', false, true],
    ['pretty', true, false],
    ['pretty', false, false],
    ['auto', true, false],
    ['auto', false, true],
  ] as const)('%s, terminal %s: JSON %s', (format, terminal, isJson) => {
    const { logger, lines } = capture({ format, terminal });
    logger.info({ a: 1 }, 'hello');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.startsWith('{')).toBe(isJson);
    expect(lines[0]).toContain('hello');
    expect(lines[0]?.endsWith('\n')).toBe(true);
  });

  test('no colours where there is no terminal', () => {
    const { logger, lines } = capture({ format: 'pretty', terminal: false });
    logger.error('x');
    expect(lines.join('')).not.toContain('\u001b');
  });

  test('a name from a stranger cannot start a new line or steer the terminal', () => {
    const { logger, lines } = capture({ format: 'pretty', terminal: false });
    logAccess(logger, { ...RECORD, target: 'a\n\u001b[2Jb:1' });
    expect(lines.join('').trimEnd()).not.toMatch(/[\n\u001b]/);
  });
});

describe('threads', () => {
  test('the worker stands in every line where there is one', () => {
    const one = capture({});
    one.logger.info('x');
    expect(JSON.parse(one.lines[0] ?? '')).not.toHaveProperty('worker');
    const several = capture({ worker: 2 });
    several.logger.info('x');
    expect(JSON.parse(several.lines[0] ?? '')).toMatchObject({ worker: 2 });
  });

  test('a piece holds whole lines: as many as fit, or one that is too long', () => {
    const written: string[] = [];
    const buffer = new LineBuffer({ write: (text: string) => void written.push(text) }, 8);
    for (const line of ['12\n', '345\n', '6\n', 'a line too long\n', 'x\n']) buffer.write(line);
    buffer.flush();
    expect(written).toEqual(['12\n345\n', '6\n', 'a line too long\n', 'x\n']);
  });

  test('bytes are counted, not characters', () => {
    const written: string[] = [];
    const buffer = new LineBuffer({ write: (text: string) => void written.push(text) }, 8);
    for (const line of ['äöü\n', 'ß\n']) buffer.write(line);
    buffer.flush();
    expect(written).toEqual(['äöü\n', 'ß\n']);
  });
});

test('many loggers listen for the end of the process once, and lose nothing at it', async () => {
  const before = process.listeners('exit');
  vi.resetModules();
  const { LineBuffer: Fresh } = await import('../../../src/server/logging.js');
  const written: string[] = [];
  const buffers = [0, 1, 2].map(() => new Fresh({ write: (text: string) => void written.push(text) }));
  const added = process.listeners('exit').filter((listener) => !before.includes(listener));
  expect(added).toHaveLength(1);
  buffers.forEach((buffer, index) => buffer.write(`${index}\n`));
  buffers[1]?.flush();
  expect(written).toEqual(['1\n']);
  added[0]?.(0);
  expect(written).toEqual(['1\n', '0\n', '2\n']);
  added[0]?.(0);
  expect(written).toHaveLength(3);
});

test('a pretty line has no character that a terminal would obey', () => {
  const { logger, lines } = capture({ format: 'pretty' });
  logger.warn({ user: 'a\nb\u001b[31m\u009b31m\u007f' }, 'wrong user');
  const text = lines.join('');
  expect(text.trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  expect(text).toContain('\\u009b31m\\u007f');
});
