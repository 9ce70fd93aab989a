/** `splice-ctl flows --watch` and `splice-ctl uninstall`, without a server. */
import { describe, expect, test } from 'vitest';
import { uninstall } from '../../../src/cli/ctl-uninstall.js';
import type { CtlContext } from '../../../src/cli/ctl-context.js';
import { watch } from '../../../src/cli/watch.js';
import { fakeEnvironment, type FakeEnvironment } from './fake-environment.js';

/** Pictures one after another; the signal comes with the last. */
function pictures(environment: FakeEnvironment, ...list: (string | Error)[]): () => Promise<string> {
  return () => {
    const picture = list.shift();
    if (list.length === 0) environment.signal('SIGINT');
    return picture instanceof Error ? Promise.reject(picture) : Promise.resolve(picture ?? '');
  };
}

function terminal(rows: number) {
  const out: string[] = [];
  return { out, stdout: { isTTY: true, rows, write: (text: string) => out.push(text) } };
}

describe('watch', () => {
  test('elsewhere than on a terminal: one table after another, and no control characters', async () => {
    const environment = fakeEnvironment([]);
    expect(await watch(environment, 1, pictures(environment, 'A\nb\n', 'A\nc\n', ''))).toBe(0);
    expect(environment.out()).toBe('A\nb\n\nA\nc\n');
  });

  test('JSON is one line a look', async () => {
    const environment = fakeEnvironment([]);
    await watch(environment, 1, pictures(environment, '[1]\n', '[2]\n', ''));
    expect(environment.out()).toBe('[1]\n[2]\n');
  });

  test('on a terminal each picture takes the place of the one before', async () => {
    const { out, stdout } = terminal(24);
    const environment = fakeEnvironment([], { stdout });
    await watch(environment, 1, pictures(environment, 'one\ntwo\n', 'three\n', ''));
    expect(out).toEqual(['\x1b[2J', '\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J', '\x1b[Hthree\x1b[K\n\x1b[J']);
  });

  test('what does not fit on the screen is counted', async () => {
    const { out, stdout } = terminal(4);
    const environment = fakeEnvironment([], { stdout });
    await watch(environment, 1, pictures(environment, '1\n2\n3\n4\n5\n', ''));
    expect(out[1]?.replaceAll('\x1b[K', '')).toBe('\x1b[H1\n2\n... 3 more\n\x1b[J');
  });

  test('a terminal without a size shows all', async () => {
    const { out, stdout } = terminal(0);
    const environment = fakeEnvironment([], { stdout });
    await watch(environment, 1, pictures(environment, '1\n2\n', ''));
    expect(out[1]).toContain('2');
  });

  test('a first failure is one; later ones are shown, and it goes on', async () => {
    const environment = fakeEnvironment([]);
    await expect(watch(environment, 1, pictures(environment, new Error('nobody there')))).rejects.toThrow('nobody');
    const second = fakeEnvironment([]);
    await watch(second, 1, pictures(second, 'a\n', new Error('restarting'), 'b\n', ''));
    expect(second.out()).toBe('a\nrestarting\nb\n');
  });

  test('ends when nobody reads any more', async () => {
    const out: string[] = [];
    const stdout = { writable: true, write: (text: string) => ((stdout.writable = false), out.push(text)) };
    expect(await watch(fakeEnvironment([], { stdout }), 1, () => Promise.resolve('x\n'))).toBe(0);
    expect(out).toEqual(['x\n']);
  });
});

describe('uninstall', () => {
  const run = async (uninstallPacket: CtlContext['uninstallPacket'], inModule?: number) => {
    const environment = fakeEnvironment([]);
    const resetModule = () => Promise.resolve(inModule);
    const code = await uninstall({ environment, uninstallPacket, resetModule } as unknown as CtlContext, '');
    return `${code} ${environment.out()}`;
  };
  const failing = (errno: number) => () => Promise.reject(Object.assign(new Error('refused'), { errno }));

  test('says what it took off', async () => {
    expect(await run(() => Promise.resolve({ filters: 0, flows: 0 }))).toMatch(/^0 nothing of the packet backend/);
    expect(await run(() => Promise.resolve({ filters: 4, flows: 1 }))).toBe('0 removed 4 filters; 1 flow reset\n');
    expect(await run(() => Promise.resolve({ filters: 0, flows: 0 }), 2)).toMatch(
      /\nsymsplice\.ko is loaded: 2 flows reset; "rmmod symsplice" takes it off\n$/,
    );
  });

  test('a server in use and a lack of privilege are said in words', async () => {
    await expect(run(failing(-16))).rejects.toThrow(/a running process uses the packet or module backend/);
    await expect(run(failing(-1))).rejects.toThrow(/needs root/);
    await expect(run(failing(-12))).rejects.toThrow('refused');
  });
});
