/**
 * Fills, purges, updates and looks in any order, most of them not waited for. Every response names its body by its ETag,
 * so that whatever is found can be held against what was sent: never bytes of another response, never a beginning that
 * looks whole, never what a hard purge meant.
 */
import fc from 'fast-check';
import { writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isComplete } from '../../../src/cache/spans.js';
import type { StoredResponse } from '../../../src/cache/stored.js';
import { CacheDesk } from '../../../src/proxy/cache-desk.js';
import type { LiveFill } from '../../../src/proxy/desk.js';
import { answer, bytes, CACHE, follow, get, LIMITS, readFd, response } from './desk-bed.js';

const KEYS = ['http://example.org/a', 'http://example.org/ab'] as const;
const NO_CACHE = get({ 'Cache-Control': 'no-cache' });

const key = fc.constantFrom(...KEYS);
const which = fc.nat(5);
const command = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('begin' as const),
      key,
      length: fc.constantFrom(0, 900, 1500, 20_000),
      sized: fc.boolean(),
      kernel: fc.boolean(),
      stale: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('write' as const), which, share: fc.constantFrom(0.3, 0.5, 1) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('end' as const), which, cut: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('follow' as const), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('look' as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('validate' as const), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('purge' as const),
      target: fc.oneof(
        fc.record({ key }),
        fc.constant({ prefix: 'http://example.org/' }),
        fc.record({ tag: fc.constantFrom('even', 'odd') }),
      ),
      mode: fc.constantFrom('hard' as const, 'soft' as const),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ do: 'turn' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;
type Purge = Extract<Command, { do: 'purge' }>;

/** What an origin said, known by its number, which is in the ETag. */
interface Said {
  readonly key: string;
  readonly number: number;
  readonly body: Buffer;
  readonly live: LiveFill;
  readonly kernel: boolean;
  sent: number;
  ended: boolean;
  /** The order of all writes. */
  last: Promise<unknown>;
}

class Model {
  readonly said: Said[] = [];
  readonly #gone = new Set<number>();
  readonly #checks: Promise<unknown>[] = [];
  #desk: CacheDesk;
  readonly #directory: string;

  constructor(desk: CacheDesk, directory: string) {
    this.#desk = desk;
    this.#directory = directory;
  }

  static open(directory: string): Promise<CacheDesk> {
    const sink = { fillBegan: () => undefined, fillEnded: () => undefined };
    return CacheDesk.open({ directory, limits: LIMITS, sink });
  }

  async run(step: Command): Promise<void> {
    switch (step.do) {
      case 'begin':
        return this.#begin(step);
      case 'write':
        return this.#write(this.#open(step.which), step.share);
      case 'end':
        return this.#end(this.#open(step.which), step.cut);
      case 'follow': {
        const said = this.#open(step.which);
        if (said?.live.followable === true) this.#later(this.#follow(said));
        return;
      }
      case 'look':
        this.#later(this.#look(step.key));
        return;
      case 'validate':
        this.#later(this.#validate(step.key));
        return;
      case 'purge':
        this.#later(this.#purge(step));
        return;
      case 'turn':
        return new Promise((resolve) => setImmediate(resolve));
      case 'restart':
        await this.finish();
        this.#desk = await Model.open(this.#directory);
    }
  }

  /** Everything ends; what is there in the end is looked at. */
  async finish(): Promise<void> {
    for (const said of this.said) this.#end(said.ended ? undefined : said, true);
    await Promise.all(this.#checks.splice(0));
    await Promise.all(this.said.map(({ last }) => last));
    for (const each of KEYS) await this.#look(each);
    expect(this.#desk.stats()).toMatchObject({ live: 0, fills: 0 });
    await this.#desk.close();
  }

  #later(check: Promise<unknown>): void {
    check.catch(() => undefined); // it is awaited at the end
    this.#checks.push(check);
  }

  #open(index: number): Said | undefined {
    const open = this.said.filter(({ ended }) => !ended);
    return open[index % Math.max(1, open.length)];
  }

  async #begin(step: Extract<Command, { do: 'begin' }>): Promise<void> {
    const number = this.said.length + 1;
    const head = response({
      'Cache-Control': step.stale ? 'max-age=0' : 'max-age=3600',
      ETag: `"${number}"`,
      'Surrogate-Key': tagOf(number),
      ...(step.sized && { 'Content-Length': String(step.length) }),
    });
    const decided = await answer(this.#desk, head, { key: step.key, request: NO_CACHE });
    const live = decided.kind === 'relay' && decided.fill ? this.#desk.begin(decided.fill, step.key, CACHE) : undefined;
    if (live === undefined) return;
    const body = bytes(step.length, number);
    const said = { key: step.key, number, body, live, kernel: step.kernel, sent: 0, ended: false };
    this.said.push({ ...said, last: step.kernel ? live.file() : Promise.resolve() });
  }

  #write(said: Said | undefined, share: number): void {
    if (said === undefined) return;
    const from = said.sent;
    const to = from + Math.ceil((said.body.length - from) * share);
    said.sent = to;
    said.last = said.last.then(async () => {
      if (!said.kernel) {
        await said.live.write(said.body.subarray(from, to));
        return;
      }
      const file = await said.live.opening;
      if (file === undefined) return;
      writeSync(file.fd, said.body, from, to - from, from);
      file.growth.advance(to);
    });
  }

  #end(said: Said | undefined, cut: boolean): void {
    if (said === undefined) return;
    if (!cut) this.#write(said, 1);
    said.ended = true;
    said.last = said.last.then(() => said.live.end(said.sent, !cut || said.sent === said.body.length));
  }

  async #follow(said: Said): Promise<void> {
    const read = await follow(said.live.follow());
    expect(read.bytes.equals(said.body.subarray(0, read.bytes.length))).toBe(true);
    if (read.whole) expect(read.bytes.length).toBe(said.body.length);
  }

  async #look(at: string): Promise<void> {
    const desk = this.#desk;
    const gone = [...this.#gone];
    const found = desk.peek(at, CACHE.policy) ?? (await desk.lookup(at, CACHE.policy));
    for (const each of found) {
      const said = this.#of(each);
      expect(said.key).toBe(at);
      expect(gone).not.toContain(said.number);
      const { extent } = each.record;
      if (isComplete(extent)) expect(extent.total).toBe(said.body.length);
      const body = await desk.body(each);
      if (body?.kind === 'memory') expect(said.body.equals(body.bytes)).toBe(true);
      if (body?.kind !== 'file') continue;
      for (const { first, end } of extent.spans) {
        expect(readFd(body.fd, first, end).equals(said.body.subarray(first, end))).toBe(true);
      }
      body.release();
    }
  }

  async #validate(at: string): Promise<void> {
    const desk = this.#desk;
    const [found] = await desk.lookup(at, CACHE.policy);
    if (found === undefined) return;
    const { number } = this.#of(found);
    await answer(desk, response({ ETag: `"${number}"`, 'Surrogate-Key': tagOf(number) }, 304), {
      key: at,
      request: NO_CACHE,
    });
  }

  async #purge({ target, mode }: Purge): Promise<void> {
    const meant = this.said.filter((said) => {
      if ('key' in target) return said.key === target.key;
      return 'prefix' in target || tagOf(said.number) === target.tag;
    });
    const purging = this.#desk.purge(target, mode);
    if (mode === 'hard') for (const { number } of meant) this.#gone.add(number);
    await purging;
  }

  #of(stored: StoredResponse): Said {
    const said = this.said.find(({ number }) => stored.etag?.text === `"${number}"`);
    if (said === undefined) throw new Error(`nobody said ${stored.etag?.text}`);
    return said;
  }
}

function tagOf(number: number): string {
  return number % 2 === 0 ? 'even' : 'odd';
}

test('whatever happens in whatever order, what is found is what was sent', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), async (commands) => {
      const directory = await mkdtemp(join(tmpdir(), 'desk-'));
      try {
        const model = new Model(await Model.open(directory), directory);
        for (const step of commands) await model.run(step);
        await model.finish();
      } finally {
        await rm(directory, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
});
