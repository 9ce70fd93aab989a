import { randomBytes } from 'node:crypto';

/** A boundary for multipart/byteranges (RFC 2046 section 5.1.1) that no content holds by chance or by intent. */
export function boundary(): string {
  return randomBytes(18).toString('base64url');
}
