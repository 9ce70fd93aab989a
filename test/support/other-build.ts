/** This package as another build of it: one of its BPF programs differs in a constant, and it is the one that no filter holds. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Lab } from './lab.js';

/** Path of its `splice-socks`, in the lab's directory. */
export function makeOtherBuild(lab: Lab): string {
  const root = path.join(lab.directory, 'other-build');
  mkdirSync(path.join(root, 'build/bpf'), { recursive: true });
  for (const part of ['package.json', 'dist', 'bpf', 'build/Release']) {
    cpSync(part, path.join(root, part), { recursive: true });
  }
  symlinkSync(path.resolve('node_modules'), path.join(root, 'node_modules'));
  const changed = path.join(root, 'bpf/packet_control.h');
  const text = readFileSync(changed, 'utf8');
  const other = text.replace('#define LOOKS_MOST 64', '#define LOOKS_MOST 63');
  if (other === text) throw new Error(`${changed} has no such constant`);
  writeFileSync(changed, other);
  compile(path.join(root, 'bpf'), path.join(root, 'build/bpf/packet.bpf.o'));
  return path.join(root, 'dist/cli/splice-socks.js');
}

/** As cmake/BpfObject.cmake does. */
function compile(sources: string, object: string): void {
  const multiarch = execFileSync('cc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
  const include = ['-I', 'include', '-I', sources, '-idirafter', `/usr/include/${multiarch}`];
  const options = ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', '-std=gnu11', ...include];
  execFileSync('clang', [...options, '-c', path.join(sources, 'packet.bpf.c'), '-o', object], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
