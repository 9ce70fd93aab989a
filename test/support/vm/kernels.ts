/** The matrix of kernels (test/vm/kernels.yaml), and how a kernel of it comes into build/vm/kernels. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

const known = z.union([
  z.strictObject({
    name: z.string(),
    suite: z.string(),
    package: z.string(),
    tests: z.enum(['all', 'short']),
  }),
  z.strictObject({ name: z.string(), 'not-run': z.string() }),
]);
export type Known = z.infer<typeof known>;
export type Wanted = Extract<Known, { suite: string }>;

export function matrix(root: string): Known[] {
  return z.array(known).parse(parse(readFileSync(path.join(root, 'test/vm/kernels.yaml'), 'utf8')));
}

/** A kernel in the cache. */
export interface Kernel {
  readonly package: string;
  readonly version: string;
  readonly image: string;
  /** The directory below which its modules are, as the package has them. */
  readonly modules: string;
}

/** Debian's own key: the package lists are verified whatever the machine's other sources are. */
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const archive = 'http://deb.debian.org/debian';

/** apt with package lists of its own, so that nothing of the machine is changed and no other source is asked. */
class Apt {
  readonly #directory: string;
  readonly #options: string[];

  constructor(directory: string, suite: string) {
    this.#directory = directory;
    for (const each of ['lists/partial', 'archives/partial']) {
      mkdirSync(path.join(directory, each), { recursive: true });
    }
    const lines = [`deb [signed-by=${keyring}] ${archive} ${suite} main`];
    // Backports have no security suite of their own.
    if (!suite.includes('-')) {
      lines.push(`deb [signed-by=${keyring}] ${archive}-security ${suite}-security main`);
    }
    writeFileSync(path.join(directory, 'sources.list'), `${lines.join('\n')}\n`);
    this.#options = Object.entries({
      'Dir::Etc::SourceList': path.join(directory, 'sources.list'),
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::State::Lists': path.join(directory, 'lists'),
      'Dir::State::Status': '/dev/null',
      'Dir::Cache': directory,
      'APT::Sandbox::User': 'root',
      'Acquire::Retries': '2',
      'Acquire::Languages': 'none',
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  }

  #run(command: string, ...args: string[]): string {
    return execFileSync(command, [...this.#options, ...args], {
      encoding: 'utf8',
      cwd: this.#directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 << 20,
    });
  }

  update(): void {
    this.#run('apt-get', '-q', 'update');
  }

  /** The packages with the kernel that `name` stands for, the one with its name first. */
  kernelOf(name: string): { names: string[]; version: string } {
    const show = (each: string): string => this.#run('apt-cache', 'show', '--no-all-versions', each);
    const field = (text: string, title: string): string => new RegExp(`^${title}: (.*)$`, 'm').exec(text)?.[1] ?? '';
    const shown = show(name);
    // linux-image-cloud-amd64 only depends on the kernel of the day, and newer ones are in several packages.
    const real = /\b(linux-image-\d[^\s,|]*)/.exec(field(shown, 'Depends'))?.[1] ?? name;
    const text = real === name ? shown : show(real);
    const parts = [...field(text, 'Depends').matchAll(/\b(linux-(?:binary|modules)-\d[^\s,|]*)/g)];
    return { names: [real, ...parts.map((match) => match[1] ?? '')], version: field(text, 'Version') };
  }

  download(name: string): string {
    this.#run('apt-get', '-q', 'download', name);
    const file = readdirSync(this.#directory).find((entry) => entry.startsWith(`${name}_`) && entry.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get download ${name} left no package`);
    return path.join(this.#directory, file);
  }
}

/** Fetches the newest version unless the cache has it. Throws where the archive cannot be reached or lacks it. */
export function fetchKernel(cache: string, wanted: Wanted): Kernel {
  const directory = path.join(cache, 'apt', wanted.suite);
  const apt = new Apt(directory, wanted.suite);
  apt.update();
  const { names, version } = apt.kernelOf(wanted.package);
  const [name = ''] = names;
  const home = path.join(cache, 'kernels', `${name}_${version.replace(/[^\w.+~-]/g, '_')}`);
  if (!existsSync(home)) {
    // Unpacked beside and renamed: a run that was interrupted leaves no half kernel.
    const beside = `${home}.${process.pid}`;
    mkdirSync(beside, { recursive: true });
    for (const each of names) {
      const file = apt.download(each);
      execFileSync('dpkg-deb', ['-x', file, beside]);
      rmSync(file);
    }
    unpacked(beside, name, version);
    renameSync(beside, home);
  }
  return unpacked(home, name, version);
}

function unpacked(home: string, name: string, version: string): Kernel {
  const modules = ['usr/lib/modules', 'lib/modules'].map((each) => path.join(home, each)).find(existsSync);
  if (modules === undefined) throw new Error(`${name} has no modules`);
  const places = [path.join(home, 'boot'), ...readdirSync(modules).map((each) => path.join(modules, each))];
  const image = places
    .filter(existsSync)
    .flatMap((place) => readdirSync(place).map((file) => path.join(place, file)))
    .find((file) => /^vmlinuz/.test(path.basename(file)));
  if (image === undefined) throw new Error(`${name} has no kernel`);
  return { package: name, version, image, modules };
}
