/**
 * An authority of a test's own, and certificates of it (RFC 5280), made by a few lines of DER on Node's keys: no test
 * needs another program for them, and none ever expires or is not valid yet.
 */
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import path from 'node:path';

/** PEM. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;
/** Clocks of two machines differ, and a guest's runs behind. */
const VALID_BEFORE_MS = DAY_MS;
const VALID_FOR_MS = 7 * DAY_MS;

const OID = {
  commonName: '550403',
  keyIdentifier: '551d0e',
  keyUsage: '551d0f',
  alternativeNames: '551d11',
  basicConstraints: '551d13',
  authorityKeyIdentifier: '551d23',
  extendedKeyUsage: '551d25',
  clientAuth: '2b06010505070302',
  ecdsaWithSha256: '2a8648ce3d040302',
} as const;

const NOTHING: Uint8Array = Buffer.alloc(0);
const TRUE: Uint8Array = der(0x01, Buffer.from([0xff]));

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export class Authority {
  /** Its own certificate. */
  readonly pem: string;
  readonly #name: string;
  readonly #keys: Keys = newKeys();

  constructor(name = 'test authority') {
    this.#name = name;
    const signsCertificates = der(0x03, Buffer.from([1, 0x06]));
    const isAuthority = [
      extension(OID.basicConstraints, sequence(TRUE), TRUE),
      extension(OID.keyUsage, signsCertificates, TRUE),
    ];
    this.pem = this.#certify(name, this.#keys.publicKey, isAuthority);
  }

  /** A server's, for names or addresses; the first is its subject. */
  issue(...names: readonly [string, ...string[]]): Pem {
    const alternatives = names.map((name) =>
      isIPv4(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name)),
    );
    return this.#issue(names[0], extension(OID.alternativeNames, sequence(...alternatives)));
  }

  /** One that a client shows. */
  issueClient(name: string): Pem {
    return this.#issue(name, extension(OID.extendedKeyUsage, sequence(oid(OID.clientAuth))));
  }

  #issue(subject: string, what: Buffer): Pem {
    const { publicKey, privateKey } = newKeys();
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    return { cert: this.#certify(subject, publicKey, [what]), key };
  }

  #certify(subject: string, publicKey: KeyObject, extensions: readonly Buffer[]): string {
    const now = Date.now();
    const algorithm = sequence(oid(OID.ecdsaWithSha256));
    const serial = randomBytes(16);
    serial[0] = 1; // positive, and its first byte counts
    const identifiers = [
      extension(OID.keyIdentifier, der(0x04, identifierOf(publicKey))),
      extension(OID.authorityKeyIdentifier, sequence(der(0x80, identifierOf(this.#keys.publicKey)))),
    ];
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))), // version 3
      der(0x02, serial),
      algorithm,
      nameOf(this.#name),
      sequence(time(now - VALID_BEFORE_MS), time(now + VALID_FOR_MS)),
      nameOf(subject),
      publicKey.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(...extensions, ...identifiers)),
    );
    const signature = sign('sha256', body, this.#keys.privateKey);
    const whole = sequence(body, algorithm, der(0x03, Buffer.from([0]), signature));
    const lines = whole.toString('base64').replace(/.{64}/g, '$&\n');
    return `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`;
  }
}

/** A certificate for programs that take paths. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  /** What is in them. */
  readonly pem: Pem;
}

/** An authority whose certificates are files, in a directory of its own below `parent`. */
export class AuthorityFiles {
  /** Path of its own certificate, and what is in it. */
  readonly ca: string;
  readonly pem: string;
  readonly #authority = new Authority();
  readonly #directory: string;
  #made = 0;

  constructor(parent: string) {
    this.#directory = mkdtempSync(path.join(parent, 'certificates-'));
    this.pem = this.#authority.pem;
    this.ca = this.#write('ca.pem', this.pem);
  }

  issue(...names: readonly [string, ...string[]]): CertificateFiles {
    return this.#files(this.#authority.issue(...names));
  }

  issueClient(name: string): CertificateFiles {
    return this.#files(this.#authority.issueClient(name));
  }

  #files(pem: Pem): CertificateFiles {
    const base = `${++this.#made}`;
    return { cert: this.#write(`${base}.pem`, pem.cert), key: this.#write(`${base}.key`, pem.key), pem };
  }

  #write(name: string, text: string): string {
    const file = path.join(this.#directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  }
}

function newKeys(): Keys {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

/** RFC 5280 section 4.2.1.2; by which a chain is put together. */
function identifierOf(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from(commonName)))));
}

function extension(id: string, value: Buffer, critical = NOTHING): Buffer {
  return sequence(oid(id), critical, der(0x04, value));
}

/** Until 2049 with two digits of the year, from then on with four (RFC 5280 section 4.1.2.5). */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\.\d+|[-:T]/g, '');
  return digits < '2050' ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, ...parts);
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

/** One element (ITU-T X.690): what it is, how long, and what is in it. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), value]);
}
