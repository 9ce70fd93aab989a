/** What the addon asks of a machine: nothing but Node and the C library. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { root } from './support.js';

const addon = `${root}/build/Release/symsplice.node`;

function lines(program: string, args: string[]): string[] {
  return execFileSync(program, args, { encoding: 'utf8' }).split('\n');
}

test('libbpf, libelf, zlib and the C++ runtime are inside: only the C library is needed', () => {
  const needed = lines('readelf', ['-d', addon]).flatMap((line) => /\(NEEDED\).*\[(.+)\]/.exec(line)?.[1] ?? []);
  const allowed = /^(libc|libm|libpthread|libdl|ld-linux.*)\.so/;
  expect(needed.filter((name) => !allowed.test(name))).toEqual([]);
});

test('every open symbol is one of Node, or of the C library with a version', () => {
  const open = lines('nm', ['-D', '--undefined-only', addon]).flatMap(
    (line) => /^\s+(U|w)\s+(\S+)$/.exec(line)?.slice(1, 3) ?? [],
  );
  const strangers: string[] = [];
  for (let i = 0; i < open.length; i += 2) {
    const [kind, name] = [open[i]!, open[i + 1]!];
    if (kind === 'U' && !/^(napi_|node_api_|uv_)/.test(name) && !name.includes('@')) strangers.push(name);
  }
  expect(strangers).toEqual([]);
});

test('nothing of libbpf, libelf or zlib shows: another addon may bring its own', () => {
  const shown = lines('nm', ['-D', '--defined-only', addon]).filter((line) =>
    / (bpf_|btf_|libbpf_|elf_|gelf_|elf64_|gz|inflate|deflate)/.test(line),
  );
  expect(shown).toEqual([]);
});
