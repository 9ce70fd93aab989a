/** Makes one stream of TAP out of those of the test programs in a guest: the points of all are numbered through. */

/** What a guest's init says around its tests (test/vm/init). */
export class Points {
  readonly #print: (line: string) => void;
  readonly #complain: (line: string) => void;
  #count = 0;
  #test: { name: string; points: number; plan: number | undefined; failed: number } | undefined;
  #begun = { wall: 0, processor: 0 };
  readonly ended = new Set<string>();
  kernel = '';
  off = false;
  left = '';
  /** How often the module was unloaded, and nothing of it stayed. */
  unloaded = 0;

  /** `complain` gets what the tests write to standard error. */
  constructor(print: (line: string) => void, complain: (line: string) => void) {
    this.#print = print;
    this.#complain = complain;
    print('TAP version 14');
  }

  point(ok: boolean, name: string, detail: readonly string[] = []): void {
    this.#print(`${ok ? '' : 'not '}ok ${++this.#count} - ${name}`);
    if (detail.length === 0) return;
    this.#print('  ---');
    this.#print('  detail: |');
    for (const line of detail.flatMap((each) => each.split('\n'))) this.#print(`    ${line}`);
    this.#print('  ...');
  }

  skip(name: string, reason: string): void {
    this.#print(`ok ${++this.#count} - ${name} # SKIP ${reason}`);
  }

  /** A line of the guest's port, and how long the guest has computed so far. */
  line(text: string, processorSeconds = 0): void {
    const order = /^@ (\w+):? ?(.*)$/.exec(text);
    if (order !== null) {
      this.#order(order[1] ?? '', order[2] ?? '', processorSeconds);
      return;
    }
    const test = this.#test;
    if (test === undefined || /^TAP version/.test(text)) return;
    const plan = /^1\.\.(\d+)/.exec(text);
    if (plan !== null) {
      test.plan = Number(plan[1]);
      return;
    }
    const point = /^(not )?ok \d+ -? ?(.*)$/.exec(text);
    if (point === null) {
      this.#print(text);
      return;
    }
    test.points++;
    if (point[1] !== undefined) test.failed++;
    this.#print(`${point[1] ?? ''}ok ${++this.#count} - ${test.name}: ${point[2]}`);
  }

  #order(word: string, rest: string, processorSeconds: number): void {
    switch (word) {
      case 'kernel':
        this.kernel = rest;
        return;
      case 'begin':
        this.#test = { name: rest, points: 0, plan: undefined, failed: 0 };
        this.#begun = { wall: performance.now() / 1000, processor: processorSeconds };
        return;
      case 'stderr':
        this.#complain(rest);
        return;
      case 'unloaded':
        this.unloaded++;
        return;
      case 'end':
        this.#end(Number.parseInt(rest, 10), processorSeconds);
        return;
      case 'trouble':
        this.point(false, rest);
        return;
      case 'left':
        this.left = rest;
        return;
      case 'off':
        this.off = true;
        return;
      default:
        this.#print(`# ${word} ${rest}`);
    }
  }

  /** A program must have kept its plan and said nothing with its exit code that its points do not say. */
  #end(code: number, processorSeconds: number): void {
    const test = this.#test;
    if (test === undefined) return;
    const wall = performance.now() / 1000 - this.#begun.wall;
    // On a machine that others use too, the second tells what a test costs.
    const processor = processorSeconds - this.#begun.processor;
    this.#print(`# ${test.name} took ${wall.toFixed(1)} s, ${processor.toFixed(1)} s of processor time`);
    this.#test = undefined;
    this.ended.add(test.name);
    if (code === 143 || code === 137) this.point(false, `${test.name}: ended in its time`);
    else if (test.plan !== test.points) {
      this.point(false, `${test.name}: ran ${test.points} of ${test.plan ?? 'no'} planned tests, exit code ${code}`);
    } else if (code !== 0 && test.failed === 0)
      this.point(false, `${test.name}: exit code ${code} although no test failed`);
  }

  finish(): void {
    this.#print(`1..${this.#count}`);
  }
}
