/** Kernel modules for the guest: each with what it needs before it, unpacked, in an order that insmod can follow. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Kernel } from './kernels.js';

/** What the guest loads as it comes up, whatever of it the kernel has built in. */
export const needed = [
  // The disk.
  'virtio_pci',
  'virtio_blk',
  'crc32c_generic',
  'libcrc32c',
  // The lab: links, the hooks of the packet backend, and what ss asks.
  'veth',
  'sch_ingress',
  'cls_bpf',
  'tcp_diag',
  // The wires.
  'sch_netem',
  'tcp_bbr',
  // The bad wire of ring 3 (impair.ts) leads over a tap.
  'tun',
];

/** What kernel/test/beside.sh loads: the rest of the stack that symsplice.ko has to live with. */
export const neededBeside = [
  'nft_ct',
  'nft_objref',
  'nft_chain_nat',
  'nft_nat',
  'nft_masq',
  'nft_redir',
  'br_netfilter',
  'vrf',
  'xfrm_user',
];

export interface Module {
  readonly name: string;
  readonly content: Buffer;
}

const unpackers: Readonly<Record<string, string>> = { '.xz': 'xz', '.zst': 'zstd', '.gz': 'gzip' };
const plain = (name: string): string => name.replaceAll('-', '_');

function content(file: string): Buffer {
  const unpacker = unpackers[path.extname(file)];
  if (unpacker === undefined) return readFileSync(file);
  return execFileSync(unpacker, ['-dc', file], { maxBuffer: 64 << 20 });
}

/** `depends` of a module's own information, as modinfo prints it. */
function dependencies(module: Buffer): string[] {
  const text = module.toString('latin1');
  const list = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? '';
  return list.split(',').filter(Boolean).map(plain);
}

/** A name that is not among the files is built into the kernel; one that is really missing shows in the guest. */
export function modulesFor(kernel: Kernel, names: readonly string[]): Module[] {
  const files = new Map<string, string>();
  for (const entry of readdirSync(kernel.modules, { recursive: true, encoding: 'utf8' })) {
    const name = /([^/]+)\.ko(?:\.\w+)?$/.exec(entry)?.[1];
    if (name !== undefined) files.set(plain(name), path.join(kernel.modules, entry));
  }
  const ordered: Module[] = [];
  const seen = new Set<string>();
  const add = (name: string): void => {
    const file = files.get(name);
    if (seen.has(name) || file === undefined) return;
    seen.add(name);
    const module = { name, content: content(file) };
    dependencies(module.content).forEach(add);
    ordered.push(module);
  };
  names.forEach(add);
  return ordered;
}
