/** Doctor: the kernel's version and what it was built with. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { rowOfFile } from './doctor-row.js';
import type { Capability } from './doctor.js';
import { atLeast, parseCount, parseKernelVersion, readText } from './machine-facts.js';

const group = 'kernel';

/** What this version allows: the packet path from 5.15, sockmap from 6.6 and without known faults from 6.16. */
export function versionRow(kernel: string): Capability {
  const row = { group, name: 'version', enables: 'packet from 5.15, sockmap from 6.6 (better 6.16)' };
  const version = parseKernelVersion(kernel);
  if (version === undefined) return { ...row, status: 'limited', found: `unknown: "${kernel}"`, advice: '' };
  if (atLeast(version, 6, 16)) return { ...row, status: 'ok', found: kernel, advice: '' };
  if (atLeast(version, 6, 6)) {
    return { ...row, status: 'ok', found: kernel, advice: 'sockmap had crashes and stalls until 6.16: prefer splice' };
  }
  if (atLeast(version, 5, 15)) {
    return {
      ...row,
      status: 'limited',
      found: kernel,
      advice: 'no sockmap backend below 6.6; packet and splice are not affected',
    };
  }
  return { ...row, status: 'limited', found: kernel, advice: 'splice and copy only; the packet backend needs 5.15' };
}

const UNPRIVILEGED = ['allowed', 'off until reboot', 'off, root may turn it on'];

function loadableRow(): Capability {
  const loadable = existsSync('/proc/modules');
  return {
    group,
    name: 'loadable modules',
    status: loadable ? 'ok' : 'missing',
    found: loadable ? 'supported' : 'this kernel loads no modules',
    enables: 'backend module',
    advice: loadable ? '' : 'needs a kernel built with CONFIG_MODULES; no other backend does',
  };
}

export function probeKernel(): Capability[] {
  const btf = existsSync('/sys/kernel/btf/vmlinux');
  return [
    versionRow(release()),
    {
      group,
      name: 'BTF',
      status: btf ? 'ok' : 'missing',
      found: btf ? '/sys/kernel/btf/vmlinux' : 'none',
      enables: 'BPF programs that fit every kernel (CO-RE): packet, sockmap',
      advice: btf ? '' : 'needs a kernel built with CONFIG_DEBUG_INFO_BTF; distribution kernels are',
    },
    rowOfFile(
      { group, name: 'BPF without privilege', enables: 'nothing symsplice uses: its programs need privilege anyway' },
      readText('/proc/sys/kernel/unprivileged_bpf_disabled'),
      parseCount,
      (value) => ({ status: 'ok', found: UNPRIVILEGED[value] ?? `setting ${value}`, advice: '' }),
    ),
    rowOfFile(
      { group, name: 'BPF compiler (JIT)', enables: 'packet and sockmap at full speed' },
      readText('/proc/sys/net/core/bpf_jit_enable'),
      parseCount,
      (value) =>
        value > 0
          ? { status: 'ok', found: 'on', advice: '' }
          : {
              status: 'limited',
              found: 'off: programs are interpreted',
              advice: 'sysctl -w net.core.bpf_jit_enable=1',
            },
    ),
    loadableRow(),
  ];
}
