import { chmod, link, mkdir, mkdtemp, readdir, rm, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findControlSockets } from '../../../src/control/control-client.js';
import { chooseDirectory, controlDirectories, isTrusted } from '../../../src/control/control-directory.js';
import { probeSocket, removeDead } from '../../../src/control/socket-file.js';

const uid = process.getuid?.() ?? 0;
let base: string;
let servers: Server[];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
  servers = [];
});
afterEach(async () => {
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  await rm(base, { recursive: true });
});

async function listen(path: string): Promise<void> {
  const server = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  servers.push(server);
}

async function leaveDead(path: string): Promise<void> {
  await listen(`${path}.tmp`);
  await link(`${path}.tmp`, path);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  await unlink(`${path}.tmp`).catch(() => undefined);
}

describe('directories', () => {
  test.each([
    [0, {}, ['/run/symsplice', '/t/symsplice-0']],
    [7, {}, ['/t/symsplice-7']],
    [7, { XDG_RUNTIME_DIR: '/run/user/7' }, ['/run/user/7/symsplice', '/t/symsplice-7']],
    [0, { RUNTIME_DIRECTORY: '/run/symsplice' }, ['/run/symsplice', '/t/symsplice-0']],
    [7, { RUNTIME_DIRECTORY: '/run/a:/run/b' }, ['/run/a', '/t/symsplice-7']],
  ])('uid %i with %o', (user, env, expected) => {
    expect(controlDirectories({ uid: user, tmpdir: '/t', env })).toEqual(expected);
  });

  test('the chosen one is made for its owner alone', async () => {
    const env = { RUNTIME_DIRECTORY: join(base, 'run') };
    expect(await chooseDirectory({ uid, tmpdir: base, env })).toBe(join(base, 'run'));
    expect((await stat(join(base, 'run'))).mode & 0o777).toBe(0o700);
  });

  test('what others could have prepared is passed over', async () => {
    const open = join(base, 'open');
    await mkdir(open);
    await chmod(open, 0o777);
    await symlink(open, join(base, 'link'));
    await writeFile(join(base, 'file'), '');
    for (const name of ['open', 'link', 'file', 'absent'])
      expect(await isTrusted(join(base, name), uid), name).toBe(false);
    expect(await isTrusted(base, uid)).toBe(true);
    const chosen = await chooseDirectory({ uid: 4242, tmpdir: base, env: { RUNTIME_DIRECTORY: open } });
    expect(chosen).not.toBe(open);
  });
});

describe('sockets', () => {
  test('states', async () => {
    await listen(join(base, 'living'));
    await leaveDead(join(base, 'dead'));
    await writeFile(join(base, 'foreign'), '');
    for (const state of ['living', 'dead', 'foreign', 'absent'])
      expect(await probeSocket(join(base, state))).toBe(state);
  });

  test('only the dead are removed', async () => {
    await listen(join(base, 'living'));
    await leaveDead(join(base, 'dead'));
    await writeFile(join(base, 'foreign'), '');
    expect(await removeDead(join(base, 'dead'))).toBe(true);
    for (const name of ['living', 'foreign', 'absent']) expect(await removeDead(join(base, name)), name).toBe(false);
    expect((await readdir(base)).sort()).toEqual(['foreign', 'living']);
  });

  test('a lock is respected while it is fresh, and cleared when its owner must be gone', async () => {
    const path = join(base, 'dead');
    const lock = join(base, '.dead.lock');
    await leaveDead(path);
    await mkdir(lock);
    expect(await removeDead(path)).toBe(false);
    expect(await readdir(base)).toContain('.dead.lock');
    await utimes(lock, 1, 1);
    expect(await removeDead(path)).toBe(false);
    expect(await removeDead(path)).toBe(true);
    expect(await readdir(base)).toEqual([]);
  });

  test('finding servers keeps the living, removes the dead, and touches nothing else', async () => {
    const directory = join(base, 'run');
    await mkdir(directory, { mode: 0o700 });
    await listen(join(directory, 'socks-1.sock'));
    await leaveDead(join(directory, 'socks-2.sock'));
    await leaveDead(join(directory, 'other.sock'));
    await writeFile(join(directory, 'socks-3.sock'), 'no socket');
    const found = await findControlSockets({ uid, tmpdir: base, env: { RUNTIME_DIRECTORY: directory } });
    expect(found.filter((path) => path.startsWith(base))).toEqual([join(directory, 'socks-1.sock')]);
    expect((await readdir(directory)).sort()).toEqual(['other.sock', 'socks-1.sock', 'socks-3.sock']);
  });
});
