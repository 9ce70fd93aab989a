/** Debian's archive, asked by apt with package lists of its own: nothing of the machine is changed, no other source asked. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Debian's own key: the package lists are verified whatever the machine's other sources are. */
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const archive = 'http://deb.debian.org/debian';

/** What of a package's description is looked at. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly depends: string;
}

export class Apt {
  readonly #directory: string;
  readonly #options: string[];

  constructor(cache: string, suite: string) {
    const directory = path.join(cache, 'apt', suite);
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
      // Nothing of the machine is changed, so nobody need be kept from it.
      'Debug::NoLocking': 'true',
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

  /** The newest version of a package. */
  show(name: string): Package {
    const shown = this.#run('apt-cache', 'show', '--no-all-versions', name);
    const field = (title: string): string => new RegExp(`^${title}: (.*)$`, 'm').exec(shown)?.[1] ?? '';
    return { name, version: field('Version'), depends: field('Depends') };
  }

  #extract(file: string, to: string): void {
    execFileSync('dpkg-deb', ['-x', file, to]);
    rmSync(file);
  }

  /** Unpacks packages with all that they depend on into `to`. No script of theirs is run. */
  unpackAll(to: string, names: readonly string[]): void {
    const archives = path.join(this.#directory, 'archives');
    this.#run('apt-get', '-q', '-y', '--download-only', '--no-install-recommends', 'install', ...names);
    const files = readdirSync(archives).filter((entry) => entry.endsWith('.deb'));
    for (const file of files) this.#extract(path.join(archives, file), to);
  }

  /** Unpacks packages into `home`, unless it is there: beside it and renamed, so that an interrupted run leaves no half. */
  unpack(home: string, names: readonly string[], finish: (beside: string) => void): void {
    if (existsSync(home)) return;
    const beside = `${home}.${process.pid}`;
    try {
      mkdirSync(beside, { recursive: true });
      for (const name of names) {
        this.#run('apt-get', '-q', 'download', name);
        const isIt = (entry: string): boolean => entry.startsWith(`${name}_`) && entry.endsWith('.deb');
        const file = readdirSync(this.#directory).find(isIt);
        if (file === undefined) throw new Error(`apt-get download ${name} left no package`);
        this.#extract(path.join(this.#directory, file), beside);
      }
      finish(beside);
      renameSync(beside, home);
    } finally {
      rmSync(beside, { recursive: true, force: true });
    }
  }
}

/** A directory's name for a version of a package. */
export const homeOf = (cache: string, kind: string, { name, version }: Package): string =>
  path.join(cache, kind, `${name}_${version.replace(/[^\w.+~-]/g, '_')}`);
