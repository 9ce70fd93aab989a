/**
 * What a table of settings is made of. Each server has one table: flags, YAML keys, help text, defaults, checks and
 * what SIGHUP can change all come from it; nothing else names a setting a second time. Read at start and at each reload.
 */
import { z } from 'zod';
import { ValueMistake } from './config-address.js';
import { parseCount, parseDuration, parsePath, parseSwitch } from './config-values.js';

export interface Setting<T> {
  /** The heading of the help text that it stands under. */
  readonly group: string;
  /** What stands after the flag in the help text; undefined = a switch. */
  readonly argument: string | undefined;
  readonly help: string;
  readonly schema: z.ZodType<T>;
  readonly initial: T;
  /** How the help text shows the default; undefined = none is shown. */
  readonly initialText?: string;
  readonly repeatable?: true;
  /**
   * The value is a path, or several: relative to the file it is written in, else to the working directory. A function
   * does it for values that hold paths among other things.
   */
  readonly isPath?: true | ((value: T, resolve: (path: string) => string) => T);
  /** Cannot stand in the YAML file. */
  readonly flagOnly?: true;
  /** Too much for a flag. */
  readonly fileOnly?: true;
  /** SIGHUP cannot change it in a running server. */
  readonly needsRestart?: true;
}

export type SettingTable<Config> = { readonly [Name in keyof Config & string]: Setting<Config[Name]> };

/** One thing that is wrong, and where it stands. */
export interface Mistake {
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
}

/** Tells of a mistake at a setting; the line is added where the value came from the file. */
export type ReportMistake<Config> = (name: keyof Config & string, message: string) => void;

/** A server's configuration as a whole. */
export interface Program<Config> {
  /** In messages. */
  readonly name: string;
  /** Headings of the help text, in order. */
  readonly groups: readonly string[];
  readonly settings: SettingTable<Config>;
  /** Defaults that depend on other settings. */
  complete?(config: Config): Config;
  /** Mistakes that no single setting shows. */
  checkTogether(config: Config, report: ReportMistake<Config>): void;
}

/** What the command line gave: text, a list of texts (repeatable flags) or true (switches). */
export type FlagsOf<Config> = { readonly [Name in keyof Config & string]?: unknown };

export function namesOf<Config>({ settings }: Pick<Program<Config>, 'settings'>): readonly (keyof Config & string)[] {
  // The type of a table has exactly its names.
  return Object.keys(settings) as (keyof Config & string)[];
}

/** `idleTimeout` -> `idle-timeout`: the name in YAML, and with two dashes the flag. */
export function keyOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A zod schema from one of the parse functions. */
export function valueOf<T>(parse: (value: unknown) => T): z.ZodType<T> {
  return z.unknown().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof ValueMistake)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** One value, or a list of them: `listen: 1080` is as good as `listen: [1080]`. */
export function listOf<T>(
  item: z.ZodType<T>,
  empty = 'name at least one, or leave the setting out',
): z.ZodType<readonly T[]> {
  return z.preprocess((value) => (Array.isArray(value) ? value : [value]), z.array(item).min(1, empty));
}

export const duration = (zero: 'allowed' | 'forbidden'): z.ZodType<number> =>
  valueOf((value) => parseDuration(value, zero));
export const limit: z.ZodType<number> = valueOf((value) => parseCount(value, 0, 10_000_000));
export const path: z.ZodType<string | undefined> = valueOf(parsePath);
export const onOff: z.ZodType<boolean> = valueOf(parseSwitch);
