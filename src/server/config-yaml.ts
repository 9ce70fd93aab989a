/**
 * The YAML file: from text to values of settings, with the line of every mistake. Pure: the caller reads the file.
 */
import { isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import { suggest } from './config-suggest.js';
import { keyOf, namesOf } from './config-table.js';
import type { Mistake, Program } from './config-table.js';

export interface FileValues<Config> {
  readonly values: Partial<Config>;
  /** The line on which a setting stands, for checks that involve several settings. */
  readonly lines: ReadonlyMap<keyof Config & string, number>;
  readonly mistakes: readonly Mistake[];
}

type Path = readonly (string | number)[];

/** Reads the text of a configuration file; never throws for what the text contains. */
export function parseSettingsFile<Config>(
  program: Pick<Program<Config>, 'name' | 'settings'>,
  text: string,
  file: string,
): FileValues<Config> {
  const names = namesOf(program).filter((name) => program.settings[name].flagOnly === undefined);
  const nameOfKey = new Map(names.map((name) => [keyOf(name), name]));
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const place = (offset: number) => ({ file, line: Math.max(1, lineCounter.linePos(offset).line) });
  const lines = new Map<keyof Config & string, number>();

  if (document.errors.length > 0) {
    const mistakes = document.errors.map((error) => ({
      message: `${error.message}${yamlHint(text, error.pos[0])}`,
      ...place(error.pos[0]),
    }));
    return { values: {}, lines, mistakes };
  }
  const aliases = unresolvedAliases(document).map(({ source, offset }) => ({
    message: `there is no anchor for *${source}; put quotes around a value that starts with *`,
    ...place(offset),
  }));
  if (aliases.length > 0) return { values: {}, lines, mistakes: aliases };
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return { values: {}, lines, mistakes: [] };
  }
  if (!isMap(document.contents)) {
    return { values: {}, lines, mistakes: [{ message: 'the file must hold "setting: value" lines', file, line: 1 }] };
  }

  for (const { key } of document.contents.items) {
    const name = isScalar(key) ? nameOfKey.get(String(key.value)) : undefined;
    if (name !== undefined) lines.set(name, place(keyOffset(key)).line);
  }

  let raw: unknown;
  try {
    raw = document.toJS();
  } catch (error) {
    // Aliases that multiply without end show only now.
    const message = error instanceof Error ? error.message : String(error);
    return { values: {}, lines, mistakes: [{ message, file }] };
  }

  const shape = Object.fromEntries(names.map((name) => [keyOf(name), z.optional(program.settings[name].schema)]));
  const result = z.strictObject(shape).safeParse(raw);
  if (!result.success) {
    const mistakes = result.error.issues.flatMap((issue): Mistake[] => {
      const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
      if (issue.code === 'unrecognized_keys' && path.length === 0) {
        return issue.keys.map((key) => ({
          message: unknownKey(program, [...nameOfKey.keys()], key),
          ...place(offsetOf(document, [key])),
        }));
      }
      return [{ message: `${placeName(path)}: ${issue.message}`, ...place(offsetOf(document, path)) }];
    });
    return { values: {}, lines, mistakes: mistakes.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)) };
  }
  const values = Object.fromEntries(
    Object.entries(result.data).flatMap(([key, value]) => {
      const name = nameOfKey.get(key);
      return name === undefined || value === undefined ? [] : [[name, value]];
    }),
  );
  return { values: values as Partial<Config>, lines, mistakes: [] };
}

/** `sites[2].origin`; of a plain list only the list is named, the line tells the rest. */
function placeName(path: Path): string {
  const last = path.at(-1);
  const shown = typeof last === 'number' && (path.length > 2 || path[0] !== 'sites') ? path.slice(0, -1) : path;
  return shown
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join('');
}

function unresolvedAliases(document: Document): { source: string; offset: number }[] {
  const found: { source: string; offset: number }[] = [];
  visit(document, {
    Alias(_key, node) {
      if (node.resolve(document) === undefined) found.push({ source: node.source, offset: node.range?.[0] ?? 0 });
    },
  });
  return found;
}

function unknownKey<Config>(
  program: Pick<Program<Config>, 'name' | 'settings'>,
  known: readonly string[],
  key: string,
): string {
  if (namesOf(program).some((name) => keyOf(name) === key)) return `"${key}" can only be a flag (--${key})`;
  const near = suggest(key, known);
  return near === undefined
    ? `unknown setting "${key}"; ${program.name} --help lists them all`
    : `unknown setting "${key}"; did you mean "${near}"?`;
}

/** Where the innermost existing node of `path` stands; for a map entry without a plain value, where its key stands. */
function offsetOf(document: Document, path: Path): number {
  for (let depth = path.length; depth > 1; depth--) {
    const parent: unknown = document.getIn(path.slice(0, depth - 1), true);
    const node: unknown = document.getIn(path.slice(0, depth), true);
    if (isScalar(node) && node.range) return node.range[0];
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path[depth - 1]));
      if (pair !== undefined) return keyOffset(pair.key);
    }
    if (isSeq(parent) && isMap(node) && node.range) return node.range[0];
  }
  if (!isMap(document.contents)) return 0;
  const pair = document.contents.items.find(({ key }) => isScalar(key) && String(key.value) === String(path[0]));
  return keyOffset(pair?.key);
}

function keyOffset(key: unknown): number {
  return isScalar(key) && key.range ? key.range[0] : 0;
}

/** YAML's own messages do not tell an operator that an address like [::1]:1080 needs quotes. */
function yamlHint(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', Math.max(0, offset - 1)) + 1;
  const end = text.indexOf('\n', offset);
  const line = text.slice(start, end === -1 ? undefined : end);
  return /\[[0-9a-f:.]*:[0-9a-f:.]*\]|[:-]\s*\*/i.test(line)
    ? '; put quotes around an address that starts with [ or *'
    : '';
}
