/** What a run was measured on, and with which symsplice. Called once at the beginning of a run. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { VERSION } from '../../cli/version.js';
import type { Host, Machine, Results } from '../model.js';
import { ROOT } from './paths.js';

/** Prints everything at once, each part behind a line with its name: one question is enough for a remote host. */
const SCRIPT = `
part() { printf '=== %s\\n' "$1"; }
part kernel; uname -srm
part distribution; cat /etc/os-release
part processors; nproc
part cpuinfo; sed '/^$/q' /proc/cpuinfo
part lscpu; LC_ALL=C lscpu 2>/dev/null
part memory; head -n 1 /proc/meminfo
part node; "$1" --version 2>/dev/null
part mitigations; cd /sys/devices/system/cpu/vulnerabilities 2>/dev/null && grep -H . *
part virtual; for kind in vm container; do systemd-detect-virt --$kind 2>/dev/null; done
:`;

export async function describeMachine(host: Host): Promise<Machine> {
  return parseMachine((await host.run(['sh', '-c', SCRIPT, 'sh', process.execPath])).out);
}

/** What is not known is empty, a number that is not known 0. */
export function parseMachine(text: string): Machine {
  const parts = new Map(
    text
      .split(/^=== /m)
      .slice(1)
      .map((part) => {
        const end = part.indexOf('\n');
        return [part.slice(0, end), part.slice(end + 1).trim()] as const;
      }),
  );
  const part = (name: string): string => parts.get(name) ?? '';
  const found = (name: string, pattern: RegExp): string => pattern.exec(part(name))?.[1]?.trim() ?? '';
  const mitigations = part('mitigations')
    .split('\n')
    .flatMap((line) => {
      const match = /^([^:]+):(.*)$/.exec(line);
      return match === null ? [] : [[match[1] ?? '', match[2] ?? ''] as const];
    });
  return {
    kernel: part('kernel'),
    distribution: found('distribution', /^PRETTY_NAME="?([^"\n]*)"?$/m),
    processors: Number(part('processors')) || 0,
    // ARM's cpuinfo has no name, but lscpu knows the parts by number.
    model: found('cpuinfo', /^model name\s*:(.*)$/m) || found('lscpu', /^Model name:(.*)$/m),
    memoryBytes: Number(found('memory', /^MemTotal:\s*(\d+) kB/)) * 1024,
    node: part('node'),
    mitigations: Object.fromEntries(mitigations),
    virtual: virtualization(part('virtual'), part('cpuinfo')),
  };
}

/** Machine and container, `kvm, docker`; the processor's flag at least says whether there is a hypervisor. */
function virtualization(detected: string, cpuinfo: string): string {
  const kinds = detected.split('\n').filter((kind) => kind !== '' && kind !== 'none');
  if (kinds.length > 0) return kinds.join(', ');
  return detected === '' && /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo) ? 'unknown hypervisor' : 'none';
}

async function git(...args: string[]): Promise<string | undefined> {
  try {
    // Also where the tree is another user's, as it is under sudo.
    const settings = ['-C', ROOT, '-c', `safe.directory=${ROOT}`];
    return (await promisify(execFile)('git', [...settings, ...args])).stdout.trim();
  } catch {
    return undefined;
  }
}

/** Commit and changes are those of this checkout; a package without one has a version only, and the commit is empty. */
export async function describeSymsplice(): Promise<Results['symsplice']> {
  // A package that lies in somebody else's repository must not be taken for its commit.
  const own = (await git('rev-parse', '--show-toplevel')) === ROOT;
  const commit = own ? ((await git('rev-parse', 'HEAD')) ?? '') : '';
  const modified = own && (await git('status', '--porcelain')) !== '';
  return { version: VERSION, commit, modified };
}
