/**
 * Stage accept: the server's side of TLS: certificates, which of them a client gets (RFC 6066 section 3), and that we
 * speak HTTP/1.1 (RFC 7301). Made by the configuration, replaced as a whole at a reload; used by accept-wire.ts.
 */
import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls';
import { ConfigError } from '../errors.js';

/** Both PEM; `cert` with the chain behind it. */
export interface TlsCertificate {
  readonly cert: string;
  readonly key: string;
}

interface Identity {
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

export class TlsServer {
  readonly #identities: readonly Identity[];
  readonly #first: Identity;

  /**
   * @param certificates the first is for clients that name no host, or one that no certificate is for
   * @throws ConfigError
   */
  constructor(certificates: readonly TlsCertificate[]) {
    this.#identities = certificates.map(identify);
    const [first] = this.#identities;
    if (first === undefined) throw new ConfigError('TLS: a listener needs a certificate');
    this.#first = first;
  }

  /** Begins a handshake on a connected socket. `secure` tells that it is done, `error` or `close` that it failed. */
  start(socket: Socket): TLSSocket {
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.#first.context,
      ALPNProtocols: ['http/1.1'],
      ...(this.#identities.length > 1 && {
        SNICallback: (name: string, done: (error: Error | null, context?: SecureContext) => void) => {
          done(null, this.#find(name).context);
        },
      }),
    });
    // Errors behind the handshake come as this event only, unless a tls.Server has made the socket.
    secured.on('_tlsError', (error: Error) => secured.destroy(error));
    return secured;
  }

  #find(name: string): Identity {
    return this.#identities.find(({ certificate }) => certificate.checkHost(name) !== undefined) ?? this.#first;
  }
}

function identify({ cert, key }: TlsCertificate): Identity {
  try {
    const certificate = new X509Certificate(cert);
    return { certificate, context: createSecureContext({ cert, key, minVersion: 'TLSv1.2' }) };
  } catch (cause) {
    throw new ConfigError(`TLS: certificate or key cannot be used: ${(cause as Error).message}`, {}, { cause });
  }
}
