/**
 * The YAML file: from text to values of settings, with the line of every mistake. Pure: the caller reads the file.
 */
import { isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import { keyOf, SETTING_NAMES, SETTINGS } from './config-settings.js';
import type { SettingName, SocksConfig } from './config-settings.js';
import { suggest } from './config-suggest.js';

/** One thing that is wrong, and where it stands. */
export interface Mistake {
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
}

export type PartialConfig = { readonly [Name in SettingName]?: SocksConfig[Name] };

export interface FileValues {
  readonly values: PartialConfig;
  /** The line on which a setting stands, for checks that involve several settings. */
  readonly lines: ReadonlyMap<SettingName, number>;
  readonly mistakes: readonly Mistake[];
}

const FILE_NAMES = SETTING_NAMES.filter((name) => SETTINGS[name].flagOnly === undefined);
const NAME_OF_KEY = new Map(FILE_NAMES.map((name) => [keyOf(name), name]));

const fileSchema = z.strictObject(
  Object.fromEntries(FILE_NAMES.map((name) => [keyOf(name), z.optional(SETTINGS[name].schema)])),
);

/** Reads the text of a configuration file; never throws for what the text contains. */
export function parseConfigFile(text: string, file: string): FileValues {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const place = (offset: number) => ({ file, line: Math.max(1, lineCounter.linePos(offset).line) });
  const nothing = { values: {}, lines: new Map<SettingName, number>() };

  if (document.errors.length > 0) {
    const mistakes = document.errors.map((error) => ({
      message: `${error.message}${yamlHint(text, error.pos[0])}`,
      ...place(error.pos[0]),
    }));
    return { ...nothing, mistakes };
  }
  const aliases = unresolvedAliases(document).map(({ source, offset }) => ({
    message: `there is no anchor for *${source}; put quotes around a value that starts with *`,
    ...place(offset),
  }));
  if (aliases.length > 0) return { ...nothing, mistakes: aliases };
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return { ...nothing, mistakes: [] };
  }
  if (!isMap(document.contents)) {
    return { ...nothing, mistakes: [{ message: 'the file must hold "setting: value" lines', file, line: 1 }] };
  }

  const lines = new Map<SettingName, number>();
  for (const { key } of document.contents.items) {
    const name = isScalar(key) ? NAME_OF_KEY.get(String(key.value)) : undefined;
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

  const result = fileSchema.safeParse(raw);
  if (!result.success) {
    const mistakes = result.error.issues.flatMap((issue): Mistake[] => {
      if (issue.code === 'unrecognized_keys') {
        return issue.keys.map((key) => ({ message: unknownKey(key), ...place(offsetOf(document, [key])) }));
      }
      const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
      return [{ message: `${String(path[0])}: ${issue.message}`, ...place(offsetOf(document, path)) }];
    });
    return { values: {}, lines, mistakes: mistakes.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)) };
  }
  const values = Object.fromEntries(
    Object.entries(result.data).flatMap(([key, value]) => {
      const name = NAME_OF_KEY.get(key);
      return name === undefined || value === undefined ? [] : [[name, value]];
    }),
  );
  return { values: values as PartialConfig, lines, mistakes: [] };
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

function unknownKey(key: string): string {
  const flagOnly = SETTING_NAMES.find((name) => keyOf(name) === key);
  if (flagOnly !== undefined) return `"${key}" can only be a flag (--${key})`;
  const near = suggest(key, [...NAME_OF_KEY.keys()]);
  return near === undefined
    ? `unknown setting "${key}"; splice-socks --help lists them all`
    : `unknown setting "${key}"; did you mean "${near}"?`;
}

/** Where the innermost existing node of `path` stands; for a map entry without a value, where its key stands. */
function offsetOf(document: Document, path: readonly (string | number)[]): number {
  for (let depth = path.length; depth > 1; depth--) {
    const node: unknown = document.getIn(path.slice(0, depth), true);
    if (isScalar(node) && node.range) return node.range[0];
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
