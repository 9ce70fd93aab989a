/**
 * Stage handshake: TLS to one kind of origin. Holds what its connections share: the parsed certificates, and the last
 * session, so that the next handshake is a short one. Called by origin-connect.ts with a connected descriptor.
 *
 * One object serves one set of settings only: a session was checked against the settings that it was made under, and is
 * not checked again when it is resumed.
 */
import { isIP, Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { native } from '../native.js';
import type { OriginTls } from './origin.js';

/** Handshakes; the socket is paused then, and nothing of it was read. */
export type TlsOutcome =
  { readonly ok: true; readonly socket: TLSSocket } | { readonly ok: false; readonly error: Error };

export class TlsClient {
  readonly #settings: OriginTls;
  #context: SecureContext | undefined;
  #session: Buffer | undefined;

  constructor(settings: OriginTls) {
    this.#settings = settings;
  }

  /**
   * Takes the descriptor, whatever comes of it. `done` is called once and in a later turn; never after the returned
   * function, which gives up.
   */
  handshake(fd: number, done: (outcome: TlsOutcome) => void): () => void {
    let plain: Socket;
    try {
      this.#context ??= this.#makeContext();
      plain = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    } catch (error) {
      native().close(fd);
      let wanted = true;
      queueMicrotask(() => {
        if (wanted) done({ ok: false, error: error as Error });
      });
      return () => void (wanted = false);
    }
    return this.#begin(plain, this.#context, done);
  }

  #begin(plain: Socket, secureContext: SecureContext, done: (outcome: TlsOutcome) => void): () => void {
    const { serverName, verify } = this.#settings;
    const socket = connect({
      socket: plain,
      secureContext,
      // What the certificate is held against; SNI knows names only (RFC 6066 section 3).
      host: serverName,
      ...(isIP(serverName) === 0 && { servername: serverName }),
      rejectUnauthorized: verify,
      ALPNProtocols: ['http/1.1'],
      ...(this.#session !== undefined && { session: this.#session }),
    });
    let over = false;
    const failed = (error?: Error): void => {
      if (over) return;
      over = true;
      // It may be the session that the origin cannot bear.
      this.#session = undefined;
      socket.destroy();
      done({ ok: false, error: error ?? new Error('the origin closed the connection') });
    };
    const closed = (): void => failed();
    // Tickets of TLS 1.3 come behind the handshake, with the first bytes of the response: this one stays.
    socket.on('session', (session: Buffer) => (this.#session = session));
    socket.on('error', failed);
    socket.on('close', closed);
    socket.once('secureConnect', () => {
      if (over) return;
      over = true;
      done({ ok: true, socket });
      // Only now: an error that nobody listens for would end the process.
      socket.off('error', failed);
      socket.off('close', closed);
    });
    return () => {
      over = true;
      socket.destroy();
    };
  }

  #makeContext(): SecureContext {
    const { ca, certificate } = this.#settings;
    return createSecureContext({
      ...(ca !== undefined && { ca }),
      ...(certificate !== undefined && { cert: certificate.cert, key: certificate.key }),
    });
  }
}
