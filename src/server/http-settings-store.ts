/** Settings of splice-http about the store: where objects are kept, and how much of them. */
import { DEFAULT_POLICY } from '../cache/policy.js';
import { onOff, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import { parseCount, parsePath, parseSize } from './config-values.js';
import { defaultCacheDirectory } from './http-cache-directory.js';

export interface StoreConfig {
  readonly noCache: boolean;
  /** Absolute; '' = a temporary one that is removed at the end. */
  readonly cacheDir: string;
  /** Bytes on disk. */
  readonly cacheSize: number;
  readonly cacheMemory: number;
  /** Bytes of one object; `auto` = an eighth of cacheSize. */
  readonly cacheMaxObject: number | 'auto';
  /** Bodies up to this are served from memory. */
  readonly cacheInline: number;
  /** Responses stored for one URL. */
  readonly cacheVariants: number;
}

/** Bytes: the log of the store needs as much to clean up in. */
export const LEAST_CACHE = 4 * 1024 * 1024;

export const STORE_SETTINGS: SettingTable<StoreConfig> = {
  noCache: {
    group: 'Cache',
    argument: undefined,
    help: 'Store nothing, answer nothing from the store, and use no directory.',
    schema: onOff,
    initial: false,
    needsRestart: true,
  },
  cacheDir: {
    group: 'Cache',
    argument: 'PATH',
    help: 'Where objects are kept, also over a restart, by one process; none = a temporary place that goes with it.',
    schema: valueOf((value) => (value === 'none' ? '' : parsePath(value))),
    initial: defaultCacheDirectory(),
    initialText: 'splice-http in the cache directory',
    isPath: true,
    needsRestart: true,
  },
  cacheSize: {
    group: 'Cache',
    argument: 'SIZE',
    help: 'Bytes on disk, all included.',
    schema: valueOf((value) => parseSize(value, LEAST_CACHE)),
    initial: 1024 ** 3,
    initialText: '1g',
    needsRestart: true,
  },
  cacheMemory: {
    group: 'Cache',
    argument: 'SIZE',
    help: 'Bytes of heads and small bodies kept in memory.',
    schema: valueOf((value) => parseSize(value)),
    initial: 128 * 1024 * 1024,
    initialText: '128m',
    needsRestart: true,
  },
  cacheMaxObject: {
    group: 'Cache',
    argument: 'SIZE',
    help: 'Bytes of one object; auto = an eighth of --cache-size.',
    schema: valueOf((value) => (value === 'auto' ? 'auto' : parseSize(value, 1))),
    initial: 'auto',
    initialText: 'auto',
    needsRestart: true,
  },
  cacheInline: {
    group: 'Cache',
    argument: 'SIZE',
    help: 'Bodies up to this are stored beside their heads and served from memory; bigger ones are files. At most 1m.',
    schema: valueOf((value) => parseSize(value, 0, 1024 * 1024)),
    initial: 64 * 1024,
    initialText: '64k',
    needsRestart: true,
  },
  cacheVariants: {
    group: 'Cache',
    argument: 'N',
    help: 'Responses stored for one URL (Vary); the oldest makes room.',
    schema: valueOf((value) => parseCount(value, 1, 1000)),
    initial: DEFAULT_POLICY.mostVariants,
    initialText: String(DEFAULT_POLICY.mostVariants),
    needsRestart: true,
  },
};
