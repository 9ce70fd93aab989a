/** Numbers, times and tables for people. Pure. */
import Table from 'cli-table3';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `999 B`, `1.5 KiB`, `23 MiB`: three digits at most before the unit. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 9.95 ? value.toFixed(0) : value.toFixed(1);
  return `${digits} ${UNITS[unit] ?? ''}`;
}

/** `850ms`, `12s`, `4m05s`, `2h05m`, `3d04h`: the two largest units. */
export function humanTime(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.floor(milliseconds))}ms`;
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** Names come from strangers; what would steer a terminal is shown as an escape. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

export interface Column {
  readonly head: string;
  readonly align?: 'left' | 'right';
  /** Longer texts are wrapped at words. **Default:** as wide as needed. */
  readonly width?: number;
}

const EDGES = ['top', 'bottom', 'left', 'right', 'mid'] as const;
const CORNERS = ['top-mid', 'top-left', 'top-right', 'bottom-mid', 'bottom-left', 'bottom-right'] as const;
const CROSSINGS = ['left-mid', 'mid-mid', 'right-mid'] as const;
const NO_BORDERS = {
  ...Object.fromEntries([...EDGES, ...CORNERS, ...CROSSINGS].map((part) => [part, ''])),
  middle: '  ',
};

/** A table without borders, one line per row where no column is wrapped; ends with a line break. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: columns.map(({ head }) => head),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    colWidths: columns.map(({ width }) => width ?? null),
    wordWrap: true,
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  for (const row of rows) table.push(row.map(printable));
  return `${table.toString().replace(/[ \t]+$/gm, '')}\n`;
}
