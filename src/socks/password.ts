/**
 * Passwords as scrypt hashes in PHC string form: `$scrypt$ln=15,r=8,p=1$<salt>$<hash>`, base64 without padding.
 * The same text comes from passlib and other tools that write this form with the standard base64 alphabet.
 */
import { randomBytes, scrypt } from 'node:crypto';
import { SpliceArgumentError, SpliceError } from '../errors.js';

/** Work factors of scrypt, RFC 7914 section 2. */
export interface ScryptCost {
  /** Logarithm of N: memory is 128 * r * 2^ln bytes. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

export interface PasswordHash {
  readonly cost: ScryptCost;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** 32 MiB and about a tenth of a second. */
export const DEFAULT_COST: ScryptCost = { ln: 15, r: 8, p: 1 };

/** RFC 1929 has one byte for the length. */
export const PASSWORD_LIMIT = 255;

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** What a line of the users file may make this process spend on one attempt to log in. */
const MOST_MEMORY = 256 * 1024 * 1024;

/** The function behind a verification; tests bring their own. */
export type Derive = (password: string, salt: Uint8Array, length: number, cost: ScryptCost) => Promise<Uint8Array>;

/** scrypt on the thread pool. Passwords are taken in Unicode form NFC (RFC 8265 section 4.2), whatever the keyboard made. */
export const deriveScrypt: Derive = (password, salt, length, cost) => {
  const options = { N: 2 ** cost.ln, r: cost.r, p: cost.p, maxmem: MOST_MEMORY + 1024 * 1024 };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, length, options, (cause, key) => {
      if (cause === null) resolve(key);
      else reject(new SpliceError('ERR_SPLICE_SYSTEM', `scrypt failed: ${cause.message}; is memory short?`, { cause }));
    });
  });
};

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '');
}

/** Undefined unless `text` is exactly what `encode` would write. */
function decode(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return encode(bytes) === text ? bytes : undefined;
}

/**
 * Hash of a password, for a line of the users file.
 *
 * @param cost **Default:** {@link DEFAULT_COST}.
 * @throws SpliceArgumentError when no client could ever send the password: empty, or more than 255 bytes of UTF-8.
 */
export async function hashPassword(password: string, cost: ScryptCost = DEFAULT_COST): Promise<string> {
  const size = Buffer.byteLength(password);
  if (size === 0) throw new SpliceArgumentError('the password is empty; choose one of 1 to 255 bytes');
  if (size > PASSWORD_LIMIT) {
    throw new SpliceArgumentError(
      `the password has ${size} bytes; SOCKS can carry ${PASSWORD_LIMIT}, choose a shorter one`,
    );
  }
  const problem = wrongCost(cost);
  if (problem !== undefined) throw new SpliceArgumentError(problem);
  const salt = randomBytes(SALT_BYTES);
  const hash = await deriveScrypt(password, salt, HASH_BYTES, cost);
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${encode(salt)}$${encode(hash)}`;
}

function wrongCost({ ln, r, p }: ScryptCost): string | undefined {
  if (ln < 10 || ln > 24 || r < 1 || r > 64 || p < 1 || p > 16) {
    return `cost ln=${ln},r=${r},p=${p} is out of bounds: ln 10 to 24, r 1 to 64, p 1 to 16`;
  }
  if (128 * r * 2 ** ln > MOST_MEMORY) return `cost ln=${ln},r=${r} takes more than 256 MiB; use a smaller ln`;
  if (ln >= 16 * r) return `cost ln=${ln} needs an r of more than ${Math.floor(ln / 16)} (RFC 7914 section 2)`;
  return undefined;
}

const SHAPE = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([^$]+)\$([^$]+)$/;

/** Reads a hash; a string says what is wrong with it, and never contains it. */
export function parseHash(text: string): PasswordHash | string {
  const match = SHAPE.exec(text);
  const salt = decode(match?.[4] ?? '');
  const hash = decode(match?.[5] ?? '');
  if (match === null || salt === undefined || hash === undefined) {
    return 'what follows the colon is not a hash like $scrypt$ln=15,r=8,p=1$salt$hash; make one with "splice-ctl passwd"';
  }
  if (salt.length < 8 || salt.length > 64) return `the salt has ${salt.length} bytes; 8 to 64 are allowed`;
  if (hash.length < 16 || hash.length > 64) return `the hash has ${hash.length} bytes; 16 to 64 are allowed`;
  const cost = { ln: Number(match[1]), r: Number(match[2]), p: Number(match[3]) };
  return wrongCost(cost) ?? { cost, salt, hash };
}
