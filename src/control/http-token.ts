/** The token that callers of the admin endpoint have to show: read from its file, and compared. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ConfigError } from '../errors.js';

const SHORTEST = 16;
const LONGEST = 1024;

/** The first line of the file. @throws ConfigError, which never shows the token. */
export async function readToken(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`cannot be read (--admin-token): ${why}`, { file: path }, { cause });
  });
  const token = text.split('\n', 1)[0]?.trim() ?? '';
  if (token.length < SHORTEST || token.length > LONGEST || !/^[\x21-\x7e]+$/.test(token)) {
    const wanted = `${SHORTEST} to ${LONGEST} printable characters without spaces`;
    throw new ConfigError(`the first line is no token: ${wanted}, as from "openssl rand -hex 32"`, { file: path });
  }
  return token;
}

/** Whether an Authorization value shows the token (RFC 6750 section 2.1). Takes as long for a wrong one as for the right. */
export function showsToken(authorization: string | undefined, token: string): boolean {
  const shown = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return shown !== undefined && timingSafeEqual(digest(shown), digest(token));
}

/** Of one length, whatever was shown. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
