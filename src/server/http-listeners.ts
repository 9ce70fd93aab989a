/**
 * What the configuration says of connections that come by each listener: TLS and PROXY headers. Called at start and at
 * each reload, so that new certificates are used without a restart; reads the PEM files.
 */
import type { AcceptSettings } from '../proxy/accept-wire.js';
import { TlsServer } from '../proxy/tls-server.js';
import type { HostPort } from './config-address.js';
import type { HttpConfig } from './http-config.js';
import { readCertificate } from './http-origins.js';
import { trustOf } from './http-trust.js';
import type { InheritedSocket } from './systemd.js';

export type ListenerSettings = AcceptSettings;

export type ListenerKind = 'http' | 'https';

/** All addresses to listen on, those for TLS last. {@link kindsOf} and {@link listenersOf} have the same order. */
export function listenAddresses({ listen, tlsListen }: Pick<HttpConfig, 'listen' | 'tlsListen'>): readonly HostPort[] {
  return [...listen, ...tlsListen];
}

/** What is spoken at each listener. Sockets of systemd's that are named `https` or `tls` are for TLS. */
export function kindsOf(
  { listen, tlsListen }: Pick<HttpConfig, 'listen' | 'tlsListen'>,
  inherited: readonly InheritedSocket[] = [],
): readonly ListenerKind[] {
  if (inherited.length > 0) return inherited.map(({ name }) => (/^(https|tls)\b/.test(name) ? 'https' : 'http'));
  return [...listen.map(() => 'http' as const), ...tlsListen.map(() => 'https' as const)];
}

/** @throws ConfigError with the file whose certificate or key cannot be used, or when there is none for a listener */
export async function listenersOf(
  config: HttpConfig,
  kinds: readonly ListenerKind[] = kindsOf(config),
): Promise<ListenerSettings[]> {
  const tls = kinds.includes('https') ? await tlsServerOf(config) : undefined;
  const proxyProtocol = config.proxyProtocol ? { trusted: trustOf(config.trust) } : false;
  const handshakeTimeout = config.headTimeout;
  return kinds.map((kind) => ({ tls: kind === 'https' ? tls : undefined, proxyProtocol, handshakeTimeout }));
}

async function tlsServerOf({ tlsCert, tlsKey }: Pick<HttpConfig, 'tlsCert' | 'tlsKey'>): Promise<TlsServer> {
  const certificates = await Promise.all(
    tlsCert.map((cert, index) => readCertificate(cert, tlsKey[index] ?? cert, '--tls-cert', '--tls-key')),
  );
  return new TlsServer(certificates);
}
