/** What `npm pack` takes along, and that it works away from the checkout: with the prebuilt addon alone. */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { allContestants } from '../../src/bench/contestants/index.js';
import { writeResults } from '../../src/bench/results-file.js';
import { syntheticResults } from './bench/fixture.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const platform = `${process.platform}-${process.arch}`;
const { files, dependencies } = z
  .object({ files: z.array(z.string()), dependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(`${root}package.json`, 'utf8')));
const Packed = z.array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) }));

let area: string;
let packed: string[];
let installed: string;

/** A copy of what package.json lists, staged as scripts/prepack does, then packed and unpacked where no build/ is. */
beforeAll(() => {
  area = mkdtempSync(path.join(tmpdir(), 'symsplice-pack-'));
  const copy = path.join(area, 'copy');
  const wanted = files.filter((name) => !name.startsWith('!') && name !== 'prebuilds');
  for (const name of [...wanted, 'package.json', 'README.md', 'LICENSE', 'src', 'test', 'tsconfig.json']) {
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  }
  const stage = path.join(copy, 'prebuilds', platform);
  mkdirSync(stage, { recursive: true });
  cpSync(`${root}build/Release/symsplice.node`, path.join(stage, 'symsplice.node'));
  for (const name of readdirSync(`${root}build/bpf`).filter((file) => file.endsWith('.bpf.o'))) {
    cpSync(`${root}build/bpf/${name}`, path.join(stage, name));
  }
  // Run by `npm test`, we have inherited settings of that npm: its directory, and how much it says.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  const said = execFileSync('npm', ['pack', '--json', '--ignore-scripts'], { cwd: copy, encoding: 'utf8', env });
  const [result] = Packed.parse(JSON.parse(said));
  packed = result!.files.map((file) => file.path).sort();

  const modules = path.join(area, 'project/node_modules');
  mkdirSync(modules, { recursive: true });
  execFileSync('tar', ['-xzf', path.join(copy, result!.filename), '-C', modules]);
  installed = path.join(modules, 'package');
  mkdirSync(path.join(installed, 'node_modules'));
  for (const name of Object.keys(dependencies)) {
    symlinkSync(`${root}node_modules/${name}`, path.join(installed, 'node_modules', name));
  }
});

afterAll(() => rmSync(area, { recursive: true, force: true }));

test('everything that it needs to run, to be built and to be lawful is inside', () => {
  const needed = [
    'LICENSE',
    'README.md',
    'THIRD_PARTY.md',
    'CMakeLists.txt',
    'addon/module.cc',
    'addon/elf/elf_image.h',
    'bpf/sockmap.bpf.c',
    'cmake/Addon.cmake',
    'include/splice/abi.h',
    'kernel/Kbuild',
    'kernel/main.c',
    'kernel/uapi/symsplice.h',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli/splice-http.js',
    'dist/cli/splice-socks.js',
    'dist/cli/splice-ctl.js',
    'dist/cli/splice-bench.js',
    'bench/load/main.c',
    'bench/cost/fill-map.c',
    'bench/statistics/with-statistics.c',
    'bench/contestants/dante.conf',
    'bench/contestants/node-socks.mjs',
    'docs/splice-http.md',
    'docs/splice-socks.md',
    'etc/splice-http.service',
    'etc/splice-http.socket',
    'etc/splice-http.yaml',
    'etc/splice-socks.service',
    'etc/splice-socks.socket',
    'etc/splice-socks.yaml',
    'etc/symsplice.sysusers',
    'scripts/build-module',
    'scripts/install.mjs',
    `prebuilds/${platform}/symsplice.node`,
    `prebuilds/${platform}/sockmap.bpf.o`,
  ];
  expect(needed.filter((name) => !packed.includes(name))).toEqual([]);
});

test('nothing else is', () => {
  const expected =
    /^([A-Z_]+(\.md)?|package\.json|CMakeLists\.txt|scripts\/(build-module|install\.mjs|setup|common\.sh)|dist\/.*(\.js|\.d\.ts)|addon\/.*\.(cc|h)|bpf\/.*\.[ch]|include\/.*\.h|kernel\/(Kbuild|Makefile|dkms\.conf|symsplice\.yaml|([a-z]+\/)?[a-z]+\.[ch]|test\/[\w.-]+)|cmake\/.*\.cmake|docs\/.*\.(md|svg)|bench\/(load|cost|statistics|contestants)\/[\w.-]+|bench\/[\w.-]+|etc\/[\w.-]+|prebuilds\/[\w-]+\/[\w.]+\.(node|o))$/;
  expect(packed.filter((name) => !expected.test(name))).toEqual([]);
});

test('its server starts from the prebuilt addon, and its install script finds nothing to do', async () => {
  expect(existsSync(path.join(installed, 'build'))).toBe(false);
  expect(execFileSync(process.execPath, ['scripts/install.mjs'], { cwd: installed, encoding: 'utf8' })).toBe('');
  const args = ['dist/cli/splice-socks.js', '--listen', '0', '--no-control', '--backend', 'splice'];
  const server = spawn(process.execPath, args, { cwd: installed, stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await Promise.race([once(server.stdout, 'data'), once(server, 'exit')])) as [Buffer | number];
  expect(String(line)).toMatch(/^listening on 127\.0\.0\.1:\d+\n/);
  server.kill('SIGTERM');
  expect(await once(server, 'exit')).toEqual([0, null]);
});

test('its benchmark finds sources and configurations, and does without the libraries for pictures', async () => {
  const bench = (...args: string[]) =>
    execFileSync(process.execPath, ['dist/cli/splice-bench.js', ...args], { cwd: installed, encoding: 'utf8' });
  expect(bench('list')).toMatch(/^ours-splice +here /m);
  expect(bench('--dry-run', '--quick', '--only', 'node-socks,ours-splice')).toMatch(/^a +response-time +2 /m);
  for (const { name, config } of allContestants()) {
    if (config !== undefined) expect(packed, name).toContain(config);
  }
  const file = path.join(area, 'results.json');
  await writeResults(file, syntheticResults());
  const out = path.join(area, 'report');
  expect(bench('report', file, '--out', out)).toContain('npm install --no-save vega vega-lite');
  expect(readdirSync(out).sort()).toEqual(['report.html', 'report.md']);
});

test('without an addon that loads, the message says what to do', () => {
  rmSync(path.join(installed, 'prebuilds'), { recursive: true });
  const args = ['dist/cli/splice-socks.js', '--listen', '0', '--no-control', '--backend', 'splice'];
  const failing = () => execFileSync(process.execPath, args, { cwd: installed, encoding: 'utf8', stdio: 'pipe' });
  expect(failing).toThrow(/npm rebuild symsplice.*libbpf-dev/s);
});
