/** What `bpftool -j` and `tc -j` print, made into values. No input and output here: data-plane.ts and interval.ts run them. */
import { z } from 'zod';

const program = z.object({
  id: z.number(),
  name: z.string().default(''),
  map_ids: z.array(z.number()).default([]),
  // Both are absent until the program has run with statistics on.
  run_cnt: z.number().default(0),
  run_time_ns: z.number().default(0),
});

const map = z.object({
  id: z.number(),
  name: z.string().default(''),
  max_entries: z.number(),
  bytes_memlock: z.number().default(0),
});

/** Bytes of a value as bpftool writes them: `"0x1f"`, lowest first. */
const perProcessor = z.object({ values: z.array(z.object({ value: z.array(z.string()) })) });

const filter = z.object({ options: z.object({ prog: z.object({ id: z.number() }).optional() }).optional() });

export interface Program {
  readonly id: number;
  readonly name: string;
  readonly maps: readonly number[];
  /** With run-time statistics on: how often it ran, and for how long altogether. */
  readonly runs: number;
  readonly ns: number;
}

export interface BpfMap {
  readonly id: number;
  readonly name: string;
  readonly entries: number;
  /** What the kernel charges for it. */
  readonly bytes: number;
}

function parse<T>(tool: string, schema: z.ZodType<T>, text: string): T {
  // Nothing to show is no output at all from some versions.
  const json = text.trim() || '[]';
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new Error(`${tool} printed no JSON: ${json.slice(0, 200)}`, { cause });
  }
  const refused = z.object({ error: z.string() }).safeParse(value);
  if (refused.success) throw new Error(`${tool}: ${refused.data.error}`);
  const result = schema.safeParse(value);
  if (!result.success) throw new Error(`${tool} printed something unknown: ${json.slice(0, 200)}`);
  return result.data;
}

/** Of `bpftool -j prog show`. */
export function parsePrograms(text: string): Program[] {
  return parse('bpftool prog', z.array(program), text).map(({ id, name, map_ids, run_cnt, run_time_ns }) => ({
    id,
    name,
    maps: map_ids,
    runs: run_cnt,
    ns: run_time_ns,
  }));
}

/** Of `bpftool -j map show`. */
export function parseMaps(text: string): BpfMap[] {
  return parse('bpftool map', z.array(map), text).map(({ id, name, max_entries, bytes_memlock }) => ({
    id,
    name,
    entries: max_entries,
    bytes: bytes_memlock,
  }));
}

/** Of `bpftool -j map dump` of an array of numbers for each processor: the sums over all processors. */
export function parseSums(text: string): number[] {
  const number = (bytes: readonly string[]) => bytes.reduceRight((value, byte) => value * 256 + Number(byte), 0);
  return parse('bpftool map dump', z.array(perProcessor), text).map(({ values }) =>
    values.reduce((sum, { value }) => sum + number(value), 0),
  );
}

/** Of `tc -j filter show`: ids of the programs. */
export function parseFilters(text: string): number[] {
  return parse('tc filter', z.array(filter), text).flatMap(({ options }) => options?.prog?.id ?? []);
}
