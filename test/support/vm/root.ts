/**
 * The guest's file system. First the archive that the kernel unpacks into memory: busybox, iproute2, modules, and the
 * built tree; made anew for each run in a moment. Second a disk with what is large and seldom changes: Node and node_modules.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { writeArchive, type Entry } from './cpio.js';
import type { Kernel } from './kernels.js';
import type { Module } from './module.js';
import { modulesFor, needed, neededBeside } from './modules.js';

/** What the lab runs beside Node. */
const tools = ['ip', 'tc', 'ss', 'setpriv'];
/** And what the module's tests run, and what those of ring 3. */
const moduleTools = ['ethtool', 'nft'];
const labsTools = ['nstat'];
const busyboxTools =
  'sh mount umount mv cp chmod tar dirname touch find mktemp tr cut date test printf mkdir ls cat echo sed sleep stty insmod rmmod uname wc timeout poweroff sysctl kill rm true env tail head grep sort uniq awk which';

function which(tool: string): string {
  const found = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'].map((dir) => path.join(dir, tool)).find(existsSync);
  if (found === undefined) throw new Error(`${tool} is not installed`);
  return found;
}

/** The shared libraries of programs, by the path that the loader asks for. */
function libraries(files: readonly string[]): string[] {
  const listed = execFileSync('ldd', files, { encoding: 'utf8' });
  return [...new Set([...listed.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? ''))];
}

const file = (from: string, to: string): Entry => ({
  path: to.replace(/^\//, ''),
  kind: 'file',
  content: readFileSync(from),
  mode: statSync(from).mode & 0o777,
});

/** Every file below, but no maps of sources. */
function tree(root: string, below: string, to: string): Entry[] {
  return readdirSync(path.join(root, below), { recursive: true, encoding: 'utf8' })
    .filter((name) => !/\.map$|\.d\.ts$|\.tsbuildinfo$/.test(name))
    .filter((name) => statSync(path.join(root, below, name)).isFile())
    .map((name) => file(path.join(root, below, name), path.join(to, below, name)));
}

const text = (to: string, content: string, mode?: number): Entry => ({
  path: to,
  kind: 'file',
  content: Buffer.from(content),
  ...(mode === undefined ? {} : { mode }),
});

/** A test of the guest: what it is called, and the command that prints its TAP; `sh` runs tests of the module alone. */
export interface Job {
  readonly name: string;
  readonly command: string;
}

/** Whether the guest loads the module for it, as it does for all that do not load it themselves. */
export const isLoadedFor = ({ command }: Job): boolean => !command.startsWith('sh ');

/** A program that was compiled from test/vm. */
export const compiled = (name: string): Job => ({ name, command: `node build/test/vm/${name}.js` });

export interface RootOptions {
  readonly root: string;
  readonly kernel: Kernel;
  /** Ours for this kernel, if it is to be there. */
  readonly module?: Module | undefined;
  readonly jobs: readonly Job[];
  /** For labs of ring 3: the directory with their own programs (packet-tool.ts), and what else they run. */
  readonly labTools?: string | undefined;
  readonly labPrograms?: readonly string[] | undefined;
  /** Shell variables that init reads. */
  readonly settings: Readonly<Record<string, string>>;
}

/** symsplice.ko and its own tests. */
function ofModule(root: string, { file: built, lab }: Module): Entry[] {
  return [
    file(built, 'module/symsplice.ko'),
    file(lab, 'module/lab'),
    ...tree(root, 'kernel/test', 'symsplice').filter((entry) => entry.path.endsWith('.sh')),
  ];
}

export function writeRoot(to: string, options: RootOptions): void {
  const { root, kernel, module, jobs, labTools, labPrograms = [], settings } = options;
  const modules = modulesFor(kernel, needed);
  const early = new Set(modules.map(({ name }) => name));
  const beside = module === undefined ? [] : modulesFor(kernel, neededBeside).filter(({ name }) => !early.has(name));
  const own = labTools === undefined ? [] : readdirSync(labTools).map((name) => path.join(labTools, name));
  const programs = [
    ...tools,
    ...(module === undefined ? [] : moduleTools),
    ...(labTools === undefined ? [] : labsTools),
    ...labPrograms,
  ].map((name) => (path.isAbsolute(name) ? { from: name, to: name } : { from: which(name), to: `/sbin/${name}` }));
  const addon = path.join(root, 'build/Release/symsplice.node');
  const entries: Entry[] = [
    { path: 'dev/console', kind: 'character', major: 5, minor: 1 },
    ...['proc', 'sys', 'run', 'tmp', 'lab', 'root', 'etc/netns', 'var'].map((name): Entry => ({
      path: name,
      kind: 'directory',
    })),
    { path: 'var/run', kind: 'link', target: '/run' },
    file(path.join(root, 'test/vm/init'), 'init'),
    file(realpathSync(which('busybox')), 'bin/busybox'),
    ...busyboxTools.split(' ').map((name): Entry => ({ path: `bin/${name}`, kind: 'link', target: 'busybox' })),
    ...programs.map(({ from, to }) => file(from, to)),
    ...own.map((each) => file(each, `tools/${path.basename(each)}`)),
    ...libraries([
      ...programs.map(({ from }) => from),
      ...own.filter((each) => !each.endsWith('.bpf')),
      process.execPath,
      addon,
    ]).map((library) => file(library, library)),
    ...[...modules, ...beside].map(({ name, content }): Entry => ({
      path: `modules/${name}.ko`,
      kind: 'file',
      content,
    })),
    text('modules/order', modules.map(({ name }) => `${name}\n`).join('')),
    text('modules/beside', beside.map(({ name }) => `${name}\n`).join('')),
    // sshd has a user of its own for what it does before a login.
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n'),
    text('etc/group', 'root:x:0:\nnogroup:x:65534:\n'),
    text('etc/hosts', '127.0.0.1 localhost\n'),
    text('etc/resolv.conf', ''),
    text('etc/nsswitch.conf', 'hosts: files\n'),
    text('tests', jobs.map(({ name, command }) => `${name} ${command}\n`).join('')),
    text(
      'settings',
      Object.entries(settings)
        .map(([name, value]) => `export ${name}='${value}'\n`)
        .join(''),
    ),
    ...['dist', 'build/test', 'build/bpf'].flatMap((below) => tree(root, below, 'symsplice')),
    file(addon, 'symsplice/build/Release/symsplice.node'),
    file(path.join(root, 'package.json'), 'symsplice/package.json'),
    file(path.join(root, 'scripts/provision'), 'symsplice/scripts/provision'),
    ...(module === undefined ? [] : ofModule(root, module)),
    ...tree(root, 'bench', 'symsplice').filter((entry) => !entry.path.includes('/results/')),
    { path: 'symsplice/node_modules', kind: 'link', target: '/lab/node_modules' },
  ];
  writeArchive(to, entries);
}

/** The disk of this Node and these packages, from the cache unless they have changed. */
export function diskFor(cache: string, root: string): string {
  const modules = realpathSync(path.join(root, 'node_modules'));
  const key = createHash('sha256')
    .update(process.version)
    .update(readFileSync(path.join(modules, '.package-lock.json')))
    .digest('hex')
    .slice(0, 16);
  const disk = path.join(cache, `disk-${key}.ext4`);
  if (existsSync(disk)) return disk;
  mkdirSync(cache, { recursive: true });
  // Two kernels may be here at once: neither takes away what the other has made.
  const isOld = (name: string): boolean => /^disk-.*\.ext4$/.test(name) && name !== path.basename(disk);
  for (const old of readdirSync(cache).filter(isOld)) rmSync(path.join(cache, old), { force: true });
  const staging = mkdtempSync(path.join(cache, 'staging-'));
  try {
    mkdirSync(path.join(staging, 'bin'));
    cpSync(process.execPath, path.join(staging, 'bin/node'));
    cpSync(modules, path.join(staging, 'node_modules'), {
      recursive: true,
      verbatimSymlinks: true,
      // What only builds, formats, draws or runs ring 0.
      filter: (from) => !buildOnly.has(path.relative(modules, from)),
    });
    const beside = `${disk}.${process.pid}`;
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-d', staging, beside, '640M'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    renameSync(beside, disk);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  return disk;
}

const buildOnly = new Set(
  '.cache .vite .bin @esbuild prettier vega vega-lite vite vitest rollup @rollup esbuild'.split(' '),
);
