/**
 * Values of settings: durations, counts, switches. Each function takes what a flag (text) or YAML (text, number,
 * boolean) gives and returns the value that the server works with, or throws ValueMistake. Pure.
 */
import { isAbsolute } from 'node:path';
import { ValueMistake } from './config-address.js';

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The longest delay that a Node timer can hold; longer ones would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * `500ms`, `10s`, `5m`, `1h`, `1d`; a plain number means seconds. Result in whole milliseconds.
 * `zero` says what 0 means for this setting, or that it is not allowed.
 */
export function parseDuration(value: unknown, zero: 'allowed' | 'forbidden'): number {
  const milliseconds = readDuration(value);
  if (milliseconds > LONGEST_MS) throw new ValueMistake(`${show(value)} is too long; at most 24d`);
  if (milliseconds === 0 && zero === 'forbidden') {
    throw new ValueMistake('0 would let a silent peer hold a connection for ever; write a duration above 0');
  }
  return milliseconds;
}

/** A duration that no timer waits for, such as how long a response is fresh: ten years at most. */
export function parseLifetime(value: unknown): number {
  const milliseconds = readDuration(value);
  if (milliseconds > 3650 * UNIT_MS.d) throw new ValueMistake(`${show(value)} is too long; at most 3650d`);
  return milliseconds;
}

function readDuration(value: unknown): number {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text);
  if (match === null) throw new ValueMistake(`${show(value)} is not a duration; write 500ms, 10s, 5m, 1h or seconds`);
  const unit = (match[2] ?? 's') as keyof typeof UNIT_MS;
  return Math.round(Number(match[1]) * UNIT_MS[unit]);
}

const SIZE_UNITS = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;

/** `512`, `64k`, `512m`, `10g`, `1t`: bytes; the letters are powers of 1024. */
export function parseSize(value: unknown, least = 0, most = Number.MAX_SAFE_INTEGER): number {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim().toLowerCase() : '';
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt])?(?:i?b)?$/.exec(text);
  const unit = match?.[2] as keyof typeof SIZE_UNITS | undefined;
  const bytes = match === null ? NaN : Math.round(Number(match[1]) * (unit === undefined ? 1 : SIZE_UNITS[unit]));
  if (!Number.isSafeInteger(bytes)) {
    throw new ValueMistake(`${show(value)} is not a size; write 64k, 512m, 10g or a number of bytes`);
  }
  if (bytes < least) throw new ValueMistake(`${show(value)} is too little; at least ${formatSize(least)}`);
  if (bytes > most) throw new ValueMistake(`${show(value)} is too much; at most ${formatSize(most)}`);
  return bytes;
}

/** The shortest text that {@link parseSize} reads back as the same size. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0';
  for (const unit of ['t', 'g', 'm', 'k'] as const) {
    if (bytes % SIZE_UNITS[unit] === 0) return `${bytes / SIZE_UNITS[unit]}${unit}`;
  }
  return String(bytes);
}

/** The shortest text that {@link parseDuration} reads back as the same duration. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (milliseconds % UNIT_MS[unit] === 0) return `${milliseconds / UNIT_MS[unit]}${unit}`;
  }
  return `${milliseconds}ms`;
}

/** A whole number from `least` to `most`. */
export function parseCount(value: unknown, least: number, most: number): number {
  const number = typeof value === 'string' && /^\d+$/.test(value.trim()) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < least || number > most) {
    throw new ValueMistake(`${show(value)} is not a whole number from ${least} to ${most}`);
  }
  return number;
}

/** Like {@link parseCount}, or the word `auto`. */
export function parseCountOrAuto(value: unknown, least: number, most: number): number | 'auto' {
  if (value === 'auto') return 'auto';
  try {
    return parseCount(value, least, most);
  } catch {
    throw new ValueMistake(`${show(value)} is neither "auto" nor a whole number from ${least} to ${most}`);
  }
}

/** `LOW-HIGH`, both included, or the word `auto`. */
export function parsePorts(value: unknown): readonly [low: number, high: number] | 'auto' {
  if (value === 'auto') return 'auto';
  const match = typeof value === 'string' ? /^(\d{1,5})-(\d{1,5})$/.exec(value.trim()) : null;
  const low = Number(match?.[1]);
  const high = Number(match?.[2]);
  if (match === null || low < 1 || high > 65535) {
    throw new ValueMistake(`${show(value)} is neither "auto" nor a range of ports; write 61000-65535`);
  }
  if (low > high) throw new ValueMistake(`${show(value)}: the first port is above the last; write ${high}-${low}`);
  return [low, high];
}

/** Names of interfaces: `eth0,eth1`, a YAML list, or the word `auto`. */
export function parseInterfaces(value: unknown): readonly string[] | 'auto' {
  if (value === 'auto') return 'auto';
  const parts: readonly unknown[] = Array.isArray(value)
    ? value
    : typeof value === 'string'
      ? value.split(',')
      : [value];
  const names = parts.map((part) => (typeof part === 'string' ? part.trim() : ''));
  // What the kernel takes: at most 15 bytes, no slash, no colon, no space.
  if (names.length > 0 && names.every((name) => /^[^\s/:]{1,15}$/.test(name) && name !== '.' && name !== '..')) {
    return [...new Set(names)];
  }
  throw new ValueMistake(`${show(value)} does not name interfaces; write eth0, or eth0,eth1, or auto`);
}

/** A switch: present on the command line, or `true`/`false` in YAML. */
export function parseSwitch(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new ValueMistake(`${show(value)} is not a switch; write true or false`);
}

/** A path. Relative ones are resolved by the loader, which knows where the path was written. */
export function parsePath(value: unknown): string {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  throw new ValueMistake(`${show(value)} is not a path`);
}

/** An absolute path, or `none`, which gives ''. */
export function parseDirectoryOrNone(value: unknown): string {
  if (value === 'none') return '';
  const path = parsePath(value);
  if (!isAbsolute(path))
    throw new ValueMistake(`${show(value)} is no absolute path; write /sys/fs/bpf/symsplice, or none`);
  return path;
}

/** One word of a closed list. */
export function parseWord<const Words extends readonly string[]>(value: unknown, words: Words): Words[number] {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw new ValueMistake(`${show(value)} is not one of ${words.join(', ')}`);
}

/** A value as it stands in a message. */
export function show(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value));
}
