/** An authority of a test's own, and certificates of it, by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface Certificate {
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
  /** What is in them. */
  readonly pem: { readonly cert: string; readonly key: string };
}

export class Authority {
  readonly ca: string;
  readonly #directory: string;
  #made = 0;

  constructor(parent: string) {
    this.#directory = mkdtempSync(path.join(parent, 'certificates-'));
    this.ca = this.#at('ca.pem');
    this.#openssl(
      'req',
      '-x509',
      ...this.#newKey('ca.key'),
      '-subj',
      '/CN=test authority',
      '-days',
      '2',
      '-out',
      this.ca,
    );
  }

  #at(name: string): string {
    return path.join(this.#directory, name);
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #newKey(name: string): string[] {
    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', this.#at(name)];
  }

  /** For names or addresses; the first is its subject. */
  issue(...names: readonly string[]): Certificate {
    const base = `${++this.#made}`;
    const [request, key, cert] = ['csr', 'key', 'pem'].map((end) => `${base}.${end}`) as [string, string, string];
    const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`).join(',');
    const subject = ['-subj', `/CN=${names[0]}`, '-addext', `subjectAltName=${alternatives}`];
    this.#openssl('req', '-new', ...this.#newKey(key), ...subject, '-out', this.#at(request));
    const signer = ['-CA', this.ca, '-CAkey', this.#at('ca.key'), '-CAcreateserial', '-days', '2'];
    this.#openssl(
      'x509',
      '-req',
      '-in',
      this.#at(request),
      ...signer,
      '-copy_extensions',
      'copy',
      '-out',
      this.#at(cert),
    );
    const read = (name: string): string => readFileSync(this.#at(name), 'utf8');
    return { cert: this.#at(cert), key: this.#at(key), pem: { cert: read(cert), key: read(key) } };
  }
}
