/** Reads and writes files of results. A file that is no such thing, or that another version wrote, is a ConfigError. */
import { mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../errors.js';
import type { Results } from './model.js';

const percentiles = z.object({
  count: z.number(),
  p50: z.number(),
  p90: z.number(),
  p99: z.number(),
  p999: z.number(),
  max: z.number(),
  buckets: z.array(z.tuple([z.number(), z.number()])).exactOptional(),
});

const via = z.enum(['direct', 'relay', 'socks5', 'connect', 'http']);

// Loose: the load generator says more about itself than the model names, and none of it may be lost on the way.
const load = z.looseObject({
  mode: z.enum(['download', 'upload', 'ping', 'connect', 'fetch', 'small', 'idle', 'mixed', 'http', 'web']),
  via,
  connections: z.number(),
  seconds: z.number(),
  bytes: z.number(),
  gbps: z.number(),
  operations: z.number(),
  perSecond: z.number(),
  latencyUs: percentiles,
  handshakeUs: percentiles,
  responseUs: percentiles.exactOptional(),
  fresh: z.number().exactOptional(),
  lastSerial: z.number().exactOptional(),
  reopened: z.number().exactOptional(),
  wire: z
    .object({ segmentsOut: z.number(), segmentsIn: z.number(), bytesOut: z.number(), bytesIn: z.number() })
    .exactOptional(),
  cpu: z.object({
    busy: z.number(),
    user: z.number(),
    system: z.number(),
    softirq: z.number(),
    irq: z.number(),
    steal: z.number(),
    idle: z.number(),
    client: z.number(),
    server: z.number(),
    proxy: z.number(),
    others: z.number(),
  }),
  stalled: z.number(),
  corrupt: z.number(),
  errors: z.number(),
  firstError: z.string(),
  clean: z.boolean(),
});

const point = z.record(z.string(), z.union([z.number(), z.string()]));
const summary = z.object({ median: z.number(), min: z.number(), max: z.number(), count: z.int().positive() });

const figure = z.object({
  id: z.string().regex(/^[\w.:-]+$/, 'not a usable name'),
  letter: z.string(),
  title: z.string(),
  about: z.string(),
  metrics: z
    .array(
      z.object({
        id: z.string(),
        title: z.string(),
        digits: z.int().min(0).max(12),
        lowerIsBetter: z.boolean(),
        compared: z.boolean().exactOptional(),
      }),
    )
    .min(1),
  axes: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      scale: z.enum(['log', 'linear', 'names']),
      unit: z.enum(['bytes', 'share']).exactOptional(),
    }),
  ),
});

const results = z.object({
  schema: z.literal(1),
  begun: z.iso.datetime({ offset: true }),
  seconds: z.number(),
  incomplete: z.string().exactOptional(),
  symsplice: z.object({ version: z.string(), commit: z.string(), modified: z.boolean() }),
  machine: z.object({
    kernel: z.string(),
    distribution: z.string(),
    processors: z.number(),
    model: z.string(),
    memoryBytes: z.number(),
    node: z.string(),
    mitigations: z.record(z.string(), z.string()),
    virtual: z.string(),
  }),
  method: z.object({
    family: z.literal([4, 6]),
    repetitions: z.number(),
    seconds: z.number(),
    warmup: z.number(),
    quick: z.boolean(),
    hosts: z.array(z.string()),
  }),
  contestants: z.array(
    z.object({ name: z.string(), title: z.string(), via, version: z.string(), config: z.string().exactOptional() }),
  ),
  leftOut: z.array(z.object({ contestant: z.string(), reason: z.string() })),
  figures: z.array(figure),
  rows: z.array(
    z.object({
      figure: z.string(),
      contestant: z.string(),
      point,
      values: z.record(z.string(), summary),
      ratios: z.record(z.string(), z.record(z.string(), summary)),
      noisy: z.number(),
      failures: z.array(z.string()),
    }),
  ),
  trials: z.array(
    z.object({
      figure: z.string(),
      rep: z.number(),
      contestant: z.string(),
      point,
      values: z.record(z.string(), z.number()),
      othersShare: z.number().exactOptional(),
      failure: z.string().exactOptional(),
      load: load.exactOptional(),
    }),
  ),
}) satisfies z.ZodType<Results>;

/** Problems beyond this one are likely to say the same again. */
const SHOWN = 3;

function describe(error: z.ZodError): string {
  const lines = error.issues.slice(0, SHOWN).map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`);
  const more = error.issues.length - SHOWN;
  return lines.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

/** Validates what a file said; `file` is for the message. */
export function parseResults(text: string, file: string): Results {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError('not JSON, so not a file of results; splice-bench run writes one', { file }, { cause });
  }
  const schema = z.object({ schema: z.number() }).safeParse(json);
  if (!schema.success) {
    throw new ConfigError('JSON, but not a file of results; splice-bench run writes one', { file });
  }
  if (schema.data.schema !== 1) {
    const next = 'read it with the version of symsplice that wrote it';
    throw new ConfigError(`results of schema ${schema.data.schema}; this version reads schema 1: ${next}`, { file });
  }
  const parsed = results.safeParse(json);
  if (!parsed.success) {
    const next = 'measure anew, or read it with the version of symsplice that wrote it';
    throw new ConfigError(`damaged results (${describe(parsed.error)}); ${next}`, { file }, { cause: parsed.error });
  }
  return parsed.data;
}

export async function readResults(file: string): Promise<Results> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`results cannot be read: ${why}`, { file }, { cause });
  }
  return parseResults(text, file);
}

/** JSON has no word for these, and `null` would make the file unreadable; of values that are absent it says the truth. */
const finite = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? undefined : value;

/** A reader sees the old file or the new one, never a part. Makes the directory. */
export async function writeResults(file: string, written: Results): Promise<void> {
  await writeWhole(file, `${JSON.stringify(written, finite, 1)}\n`);
}

/** Puts a file in its place when all of it is on the disk. */
export async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}.new`);
  try {
    const handle = await open(draft, 'w', 0o644);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await unlink(draft).catch(() => undefined);
    throw error;
  }
}
