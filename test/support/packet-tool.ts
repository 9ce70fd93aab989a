/** The tests' own C and BPF programs: compiled where they are used, or brought along, and spoken to by lines. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { within, type Child } from './children.js';
import type { Host, Lab } from './lab.js';

const sources = path.resolve('test/support');
/** Where they are already: a guest of ring 4 has no compiler. */
const brought = process.env['SYMSPLICE_LAB_TOOLS'];

/** All of them: C programs with the libraries that they are linked with, and BPF objects. */
const programs = { peer: [], forge: [], 'impair-hold': [], 'packet-filter': ['bpf'] } as const satisfies Record<
  string,
  readonly string[]
>;
const filters = ['impair', 'peer'] as const;
type Program = keyof typeof programs;
type Filter = (typeof filters)[number];

const cc = (...args: string[]): string =>
  execFileSync('cc', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function makeProgram(name: Program, to: string): void {
  cc('-O1', '-o', to, path.join(sources, `${name}.c`), ...programs[name].map((library) => `-l${library}`));
}

function makeFilter(name: Filter, to: string): void {
  const uapi = ['-idirafter', `/usr/include/${cc('-print-multiarch').trim()}`];
  const options = ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', ...uapi];
  execFileSync('clang', [...options, '-c', path.join(sources, `${name}.bpf.c`), '-o', to], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Compiles all into a directory that SYMSPLICE_LAB_TOOLS may name. */
export function makeTools(directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const name of Object.keys(programs) as Program[]) makeProgram(name, path.join(directory, name));
  for (const name of filters) makeFilter(name, path.join(directory, `${name}.bpf`));
}

const made = new Set<string>();

function once(lab: Lab, file: string, make: (to: string) => void): string {
  if (brought !== undefined) return path.join(brought, file);
  const to = path.join(lab.directory, file);
  if (!made.has(to)) make(to);
  made.add(to);
  return to;
}

/** Path of `test/support/<name>.c`, compiled. */
export const compileTool = (lab: Lab, name: Program): string => once(lab, name, (to) => makeProgram(name, to));

/** Path of `test/support/<name>.bpf.c`, compiled. */
const compileFilter = (lab: Lab, name: Filter): string => once(lab, `${name}.bpf`, (to) => makeFilter(name, to));

/** A program that answers each line by one line. Questions wait for each other. */
export class LineTool {
  readonly child: Child;
  /** Its first line. */
  readonly greeting: string;
  #read: number;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(child: Child, greeting: string) {
    this.child = child;
    this.greeting = greeting;
    this.#read = greeting.length + 1;
  }

  static async start(host: Host, program: string, args: readonly string[] = []): Promise<LineTool> {
    const child = host.spawn(program, args);
    return new LineTool(child, (await child.waitForOutput(/^[^\n]*(?=\n)/))[0]);
  }

  ask(line: string, limitMs = 90_000): Promise<string> {
    const answer = this.#last.then(async () => {
      const from = this.#read;
      this.child.write(`${line}\n`);
      const [text] = await this.child.waitForOutput(/^[^\n]*(?=\n)/, { from, limitMs });
      this.#read = from + text.length + 1;
      if (/^error\b|^\{"error"/.test(text)) throw new Error(`${line}: ${text}`);
      return text;
    });
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async json<T>(line: string): Promise<T> {
    return JSON.parse(await this.ask(line)) as T;
  }

  /** Ends it by the end of its input, so that it can clear up. */
  async stop(): Promise<void> {
    this.child.process.stdin?.end();
    await within(this.child.exited, 5_000, () => `${this.child.name} does not end`).catch(() => this.child.stop());
  }
}

/** Programs of a BPF object as tc filters of a lab host; `where` as `out=c:egress`. */
export async function attachFilters(
  lab: Lab,
  host: Host,
  object: Filter,
  priority: number,
  where: readonly string[],
): Promise<LineTool> {
  const loader = compileTool(lab, 'packet-filter');
  return LineTool.start(host, loader, [compileFilter(lab, object), String(priority), ...where]);
}
