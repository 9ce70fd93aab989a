/** The start of splice-http. Its workers run dist/, because Node loads no TypeScript into them: build before. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { HttpMetrics } from '../../../src/control/http-metrics.js';
import { loadHttpConfig, type HttpConfig } from '../../../src/server/http-config.js';
import { startHttpServer } from '../../../src/server/http-start.js';
import type { RunningServer } from '../../../src/server/server-interface.js';

async function start(cacheDir: string, workers: string): Promise<RunningServer<HttpConfig>> {
  const flags = { listen: ['0'], backend: 'splice', origin: 'http://127.0.0.1:1', logLevel: 'silent' };
  const config = await loadHttpConfig({ ...flags, workers, cacheDir });
  const server = await startHttpServer({
    config,
    logger: pino({ level: 'silent' }),
    metrics: new HttpMetrics('1'),
    reload: () => Promise.resolve(config),
    inherited: [],
  });
  onTestFinished(() => server.stop());
  return server;
}

test('a cache directory has one process at a time, whatever number of workers each has', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'start-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const locked = { code: 'ERR_CACHE_LOCKED', message: expect.stringMatching(/in use by process \d+: one/) as string };
  for (const [first, second] of [
    ['1', '2'],
    ['2', '1'],
    ['2', '3'],
  ] as const) {
    const server = await start(directory, first);
    await expect(start(directory, second)).rejects.toMatchObject(locked);
    await server.stop();
    await (await start(directory, second)).stop();
  }
});

test('a start that fails gives the directory back', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'start-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const { listening } = await start(join(directory, 'other'), '1');
  const taken = { ...(await loadHttpConfig({ listen: [String(listening[0]?.port)], origin: 'http://127.0.0.1:1' })) };
  const config = { ...taken, workers: 2, cacheDir: directory };
  const options = { logger: pino({ level: 'silent' }), metrics: new HttpMetrics('1'), inherited: [] };
  const refused = startHttpServer({ ...options, config, reload: () => Promise.resolve(config) });
  await expect(refused).rejects.toMatchObject({ code: 'ERR_SPLICE_LISTEN' });
  await (await start(directory, '2')).stop();
});

test.each(['1', '2'])('a cache directory that cannot be made is an error, with %s workers', async (workers) => {
  await expect(start('/proc/symsplice', workers)).rejects.toMatchObject({
    code: 'ERR_CACHE_DIRECTORY',
    message: expect.stringContaining(
      '/proc/symsplice cannot be used as a cache: no directory can be made in /proc',
    ) as string,
  });
});
