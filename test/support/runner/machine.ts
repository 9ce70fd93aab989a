/**
 * What this machine can run. A ring is skipped only for a feature named here; where the feature
 * is there, the ring runs, and what goes wrong then is a failure.
 */
import { existsSync } from 'node:fs';
import os from 'node:os';

export interface Machine {
  readonly linux: boolean;
  readonly root: boolean;
  /** Type information of the running kernel, which CO-RE programs need. */
  readonly btf: boolean;
  readonly kernel: string;
  /** The architecture, by Node's name. */
  readonly arch: string;
  /** Which of the programs that make and run a guest are not there. */
  readonly lacking: readonly string[];
}

/** What ring 4 needs, by the names of the programs. It needs no root. */
const guestPrograms = ['qemu-system-x86_64', 'busybox', 'mke2fs', 'apt-get', 'dpkg-deb', 'ip', 'tc', 'ss'];
const programDirectories = ['/usr/local/bin', '/usr/bin', '/usr/sbin', '/bin', '/sbin'];

export function thisMachine(): Machine {
  return {
    linux: process.platform === 'linux',
    root: process.getuid?.() === 0,
    btf: existsSync('/sys/kernel/btf/vmlinux'),
    kernel: os.release(),
    arch: process.arch,
    lacking: guestPrograms.filter((name) => !programDirectories.some((dir) => existsSync(`${dir}/${name}`))),
  };
}

/** True if a kernel release such as `6.8.0-45-generic` is at least `major.minor`. */
export function kernelAtLeast(release: string, major: number, minor: number): boolean {
  const [foundMajor = 0, foundMinor = 0] = release.split(/[.-]/).map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

/** The missing feature that keeps a ring from running, or undefined if it must run. */
export function missingFor(ring: string, machine: Machine): string | undefined {
  switch (ring) {
    case 'bpf':
      if (!machine.linux) return 'Linux';
      if (!machine.root) return 'root (BPF programs are loaded)';
      if (!kernelAtLeast(machine.kernel, 6, 6)) return `kernel 6.6 or later (this is ${machine.kernel})`;
      if (!machine.btf) return 'kernel type information (/sys/kernel/btf/vmlinux)';
      return undefined;
    case 'lab':
      if (!machine.linux) return 'Linux';
      if (!machine.root) return 'root (network namespaces are made)';
      return undefined;
    case 'vm':
      if (!machine.linux || machine.arch !== 'x64') return 'Linux on x86-64';
      if (machine.lacking.length > 0) return machine.lacking.join(', ');
      return undefined;
    default:
      return undefined;
  }
}
