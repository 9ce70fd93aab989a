/** The tests' own C and BPF programs: compiled where they are used, and spoken to by lines. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { within, type Child } from './children.js';
import type { Host, Lab } from './lab.js';

const sources = path.resolve('test/support');
const compiled = new Map<string, string>();

function compile(lab: Lab, name: string, make: (from: string, to: string) => [string, string[]]): string {
  const to = path.join(lab.directory, name.replace(/\.c$/, ''));
  if (compiled.get(to) === undefined) {
    const [command, args] = make(path.join(sources, name), to);
    execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    compiled.set(to, to);
  }
  return to;
}

/** Compiles `test/support/<name>.c` into the lab's directory. */
export function compileTool(lab: Lab, name: string, libraries: readonly string[] = []): string {
  return compile(lab, `${name}.c`, (from, to) => ['cc', ['-O1', '-o', to, from, ...libraries.map((l) => `-l${l}`)]]);
}

/** Compiles `test/support/<name>.bpf.c`. */
export function compileFilter(lab: Lab, name: string): string {
  const multiarch = execFileSync('cc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
  return compile(lab, `${name}.bpf.c`, (from, to) => {
    const uapi = ['-idirafter', `/usr/include/${multiarch}`];
    return ['clang', ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', ...uapi, '-c', from, '-o', to]];
  });
}

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
  object: string,
  priority: number,
  where: readonly string[],
): Promise<LineTool> {
  const loader = compileTool(lab, 'packet-filter', ['bpf']);
  return LineTool.start(host, loader, [compileFilter(lab, object), String(priority), ...where]);
}
