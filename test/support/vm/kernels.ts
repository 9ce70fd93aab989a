/** The matrix of kernels (test/vm/kernels.yaml), and how a kernel of it comes into build/vm/kernels. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { Apt, homeOf } from './apt.js';

const known = z.union([
  z.strictObject({
    name: z.string(),
    suite: z.string(),
    package: z.string(),
    tests: z.union([z.literal('all'), z.array(z.string())]),
    module: z.boolean().default(false),
  }),
  z.strictObject({ name: z.string(), 'not-run': z.string() }),
]);
export type Known = z.infer<typeof known>;
export type Wanted = Extract<Known, { suite: string }>;

export function matrix(root: string): Known[] {
  return z.array(known).parse(parse(readFileSync(path.join(root, 'test/vm/kernels.yaml'), 'utf8')));
}

/** Those that are called `filter`; if none is, those whose name contains it. */
export function named<Each extends { readonly name: string }>(all: readonly Each[], filter: string): Each[] {
  const exactly = all.filter(({ name }) => name === filter);
  return exactly.length > 0 ? exactly : all.filter(({ name }) => name.includes(filter));
}

/** A kernel in the cache. */
export interface Kernel {
  readonly package: string;
  readonly version: string;
  /** What `uname -r` says in it. */
  readonly release: string;
  readonly image: string;
  /** The directory below which its modules are, as the package has them. */
  readonly modules: string;
}

/** Fetches the newest version unless the cache has it. Throws where the archive cannot be reached or lacks it. */
export function fetchKernel(cache: string, wanted: Wanted): Kernel {
  const apt = new Apt(cache, wanted.suite);
  apt.update();
  const shown = apt.show(wanted.package);
  // linux-image-cloud-amd64 only depends on the kernel of the day, and newer ones are in several packages.
  const real = /\b(linux-image-\d[^\s,|]*)/.exec(shown.depends)?.[1];
  const image = real === undefined ? shown : apt.show(real);
  const parts = [...image.depends.matchAll(/\b(linux-(?:binary|modules)-\d[^\s,|]*)/g)].map(([, part]) => part ?? '');
  const home = homeOf(cache, 'kernels', image);
  apt.unpack(home, [image.name, ...parts], (beside) => void unpacked(beside, image));
  return unpacked(home, image);
}

function unpacked(home: string, { name, version }: { name: string; version: string }): Kernel {
  const modules = ['usr/lib/modules', 'lib/modules'].map((each) => path.join(home, each)).find(existsSync);
  if (modules === undefined) throw new Error(`${name} has no modules`);
  const releases = readdirSync(modules);
  const places = [path.join(home, 'boot'), ...releases.map((each) => path.join(modules, each))];
  const image = places
    .filter(existsSync)
    .flatMap((place) => readdirSync(place).map((file) => path.join(place, file)))
    .find((file) => /^vmlinuz/.test(path.basename(file)));
  if (image === undefined) throw new Error(`${name} has no kernel`);
  return { package: name, version, release: releases[0] ?? '', image, modules };
}
