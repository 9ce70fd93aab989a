/**
 * What compiles a module: the compiler that its kernel was compiled by, and the C library that the headers' own programs
 * (modpost, objtool) were linked with. Those of this machine where it is of the same Debian; else those of that Debian,
 * unpacked beside the kernels and entered by chroot in a user namespace. So it needs no root, and changes no machine.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { Apt } from './apt.js';

export interface Tools {
  /** They are not this machine's. */
  readonly foreign: boolean;
  /** A path below the cache as the tools see it. */
  seen(file: string): string;
  /** What is to be run for a command with absolute paths. */
  command(program: string, args: readonly string[]): [string, string[]];
}

const own: Tools = {
  foreign: false,
  seen: (file) => file,
  command: (program, args) => [program, [...args]],
};

/** $0: the root, $1: the cache; then the command. Mounts go with the namespace. */
const enter =
  'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind "$1" "$0/mnt" && shift && exec chroot "$0" "$@"';

/** Make, a shell and what kernel makefiles run; pahole, since they complain when it is not the one that they know. */
const base = 'base-files dash bash coreutils sed grep mawk findutils make pahole'.split(' ');

function codename(): string | undefined {
  return /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
}

/** Once for a compiler of a release; never updated, as a machine's compiler need not be. */
function fetchTools(cache: string, release: string, compiler: string): string {
  const home = path.join(cache, 'tools', `${release}_${compiler}`);
  if (existsSync(home)) return home;
  const beside = `${home}.${process.pid}`;
  try {
    mkdirSync(beside, { recursive: true });
    const apt = new Apt(cache, release);
    apt.update();
    apt.unpackAll(beside, [...base, compiler]);
    for (const each of ['proc', 'dev', 'mnt']) mkdirSync(path.join(beside, each), { recursive: true });
    // The scripts of packages would choose among alternatives.
    symlinkSync('mawk', path.join(beside, 'usr/bin/awk'));
    renameSync(beside, home);
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return home;
}

/** Of the release that a suite belongs to. Throws where they cannot be had. */
export function toolsFor(cache: string, suite: string, compiler: string): Tools {
  const release = suite.split('-')[0] ?? suite;
  if (codename() === release && spawnSync(compiler, ['--version']).status === 0) return own;
  const root = fetchTools(cache, release, compiler);
  return {
    foreign: true,
    seen: (file) => path.join('/mnt', path.relative(cache, file)),
    command: (program, args) => [
      'unshare',
      [
        '--map-root-user',
        '--mount',
        'sh',
        '-c',
        enter,
        root,
        cache,
        '/usr/bin/env',
        'PATH=/usr/bin:/bin',
        program,
        ...args,
      ],
    ],
  };
}
