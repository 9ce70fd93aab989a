/** From settings to origins. Called by http-site.ts at start and at a reload; reads the PEM files that they name. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../errors.js';
import type { Origin, OriginTls } from '../proxy/origin.js';
import type { OriginRules } from './http-settings-origin.js';
import { formatOrigin } from './http-values.js';
import type { OriginUrl } from './http-values.js';

/** `http://HOST:PORT`, and what the settings say about connections there. @throws ConfigError */
export async function originOf(url: OriginUrl, rules: OriginRules): Promise<Origin> {
  const tls = url.scheme === 'https' ? await tlsOf(url, rules) : undefined;
  return { ...plainOrigin(url, rules), tls, proxyProtocol: rules.originProxyProtocol };
}

/** Where a client of the forward proxy wants to go: checked by the certificates that Node.js trusts, with no word of ours. */
export function forwardOrigin(url: OriginUrl, rules: OriginRules): Origin {
  const tls: OriginTls | undefined =
    url.scheme === 'https' ? { serverName: url.host, ca: undefined, verify: true, certificate: undefined } : undefined;
  return { ...plainOrigin(url, rules), tls, proxyProtocol: 0 };
}

function plainOrigin(url: OriginUrl, rules: OriginRules): Omit<Origin, 'tls' | 'proxyProtocol'> {
  return {
    name: formatOrigin(url),
    scheme: url.scheme,
    host: url.host,
    port: url.port,
    connectTimeout: rules.connectTimeout,
    responseTimeout: rules.responseTimeout,
    idleTimeout: rules.originTimeout,
    keepAlive: rules.originKeepAlive,
    maxConnections: rules.originConnections === 0 ? Infinity : rules.originConnections,
  };
}

async function tlsOf(url: OriginUrl, rules: OriginRules): Promise<OriginTls> {
  const ca = rules.originCa === undefined ? undefined : await readPem(rules.originCa, '--origin-ca');
  const { originCert, originKey } = rules;
  const certificate =
    originCert === undefined
      ? undefined
      : await readCertificate(originCert, originKey ?? originCert, '--origin-cert', '--origin-key');
  if (ca !== undefined) {
    // A context takes what is no certificate without a word, and trusts nobody then.
    checkPem(() => new X509Certificate(ca), rules.originCa ?? '', 'is no certificate in PEM form (--origin-ca)');
  }
  return { serverName: rules.originName ?? url.host, ca, verify: !rules.originInsecure, certificate };
}

/** Certificate and key, which belong together. @throws ConfigError */
export async function readCertificate(
  certFile: string,
  keyFile: string,
  certFlag: string,
  keyFlag: string,
): Promise<{ readonly cert: string; readonly key: string }> {
  const cert = await readPem(certFile, certFlag);
  const key = keyFile === certFile ? cert : await readPem(keyFile, keyFlag);
  checkPem(() => new X509Certificate(cert), certFile, `is no certificate in PEM form (${certFlag})`);
  checkPem(
    () => createSecureContext({ cert, key }),
    keyFile,
    `has no key in PEM form, or not that of ${certFile} (${keyFlag})`,
  );
  return { cert, key };
}

async function readPem(file: string, flag: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`cannot be read (${flag}): ${why}`, { file }, { cause });
  }
}

function checkPem(use: () => unknown, file: string, mistake: string): void {
  try {
    use();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`${mistake}: ${why}`, { file }, { cause });
  }
}
