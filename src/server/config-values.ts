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
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text);
  if (match === null) throw new ValueMistake(`${show(value)} is not a duration; write 500ms, 10s, 5m, 1h or seconds`);
  const unit = (match[2] ?? 's') as keyof typeof UNIT_MS;
  const milliseconds = Math.round(Number(match[1]) * UNIT_MS[unit]);
  if (milliseconds > LONGEST_MS) throw new ValueMistake(`${show(value)} is too long; at most 24d`);
  if (milliseconds === 0 && zero === 'forbidden') {
    throw new ValueMistake('0 would let a silent peer hold a connection for ever; write a duration above 0');
  }
  return milliseconds;
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

function show(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value));
}
