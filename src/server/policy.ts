/** Users and rules, as read from their files: at start, at SIGHUP, and when the users file changes. */
import { readFile } from 'node:fs/promises';
import { unwatchFile, watchFile, type StatsListener } from 'node:fs';
import type { Policy } from '../flow/connection.js';
import { ConfigError } from '../errors.js';
import { Rules } from '../socks/rules.js';
import { Users } from '../socks/users.js';
import type { SocksConfig } from './config.js';
import type { Logger } from './logging.js';

async function read(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`cannot be read (${flag}): ${why}`, { file: path }, { cause });
  }
}

/** @throws ConfigError with file and line */
export async function readUsers(path: string): Promise<Users> {
  return Users.parse(await read(path, '--users'), path);
}

/** @throws ConfigError with file and line */
export async function readRules(path: string): Promise<Rules> {
  return Rules.parse(await read(path, '--rules'), path);
}

export async function readPolicy(config: SocksConfig): Promise<Policy> {
  return {
    users: config.users === undefined ? undefined : await readUsers(config.users),
    rules: config.rules === undefined ? undefined : await readRules(config.rules),
    idleTimeoutMs: config.idleTimeout,
  };
}

/** Milliseconds between looks at the users file: a look is one stat(2), and sees a rename too. */
const LOOK_MS = 1000;

/** Calls `changed` with the users whenever the file changes; a mistake in it is logged, and the old users stay. */
export class UsersWatch {
  readonly #path: string;
  readonly #listener: StatsListener;
  /** Counts what makes an answer late: a newer look, or the end of the watch. */
  #turn = 0;

  constructor(path: string, logger: Logger, changed: (users: Users) => void) {
    this.#path = path;
    this.#listener = (now, before) => {
      if (now.mtimeMs === before.mtimeMs && now.ino === before.ino && now.size === before.size) return;
      const turn = ++this.#turn;
      readUsers(path).then(
        (users) => {
          if (turn !== this.#turn) return;
          logger.info({ file: path, users: users.size }, 'users file read again');
          changed(users);
        },
        (error: unknown) => logger.error({ err: error }, 'users file not taken: the users before stay'),
      );
    };
    watchFile(path, { interval: LOOK_MS, persistent: false }, this.#listener);
  }

  stop(): void {
    this.#turn++;
    unwatchFile(this.#path, this.#listener);
  }
}
