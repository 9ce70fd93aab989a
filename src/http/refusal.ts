/**
 * Why a message, or a part of it, is not accepted. What comes off the network is never a thrown error here: it is a
 * value with the status to answer with, a stable reason for logs and metrics, and one sentence for a person.
 *
 * After a refusal nothing more of the connection can be trusted: where the next message begins is unknown. So whoever
 * gets one answers (to a client) or gives 502 (about an origin), and closes.
 */

export type RefusalReason =
  // how a message begins
  | 'tls-client-hello' // somebody speaks TLS to a port without it
  | 'bad-request-line'
  | 'bad-status-line'
  | 'bad-method'
  | 'bad-target'
  | 'target-too-long'
  | 'bad-version' // what stands where the version should be is none
  | 'version-not-supported'
  | 'http-0.9'
  // its fields
  | 'bare-cr'
  | 'bare-lf'
  | 'control-character'
  | 'folded-field' // obs-fold, or white space before the first field
  | 'space-before-colon'
  | 'bad-field-name'
  | 'head-too-large'
  | 'too-many-fields'
  | 'malformed' // llhttp objects to something that the gate has let through
  // who it is for
  | 'no-host'
  | 'several-hosts'
  | 'bad-host'
  // how long it is
  | 'bad-content-length'
  | 'several-content-lengths'
  | 'length-and-encoding' // Content-Length beside Transfer-Encoding
  | 'bad-transfer-encoding'
  | 'unsupported-transfer-encoding'
  | 'encoding-in-http-1.0'
  | 'unexpected-content' // CONNECT or TRACE with content
  | 'bad-chunk'
  | 'chunk-too-large'
  | 'bad-trailer'
  | 'trailers-too-large'
  // what it asks for
  | 'expectation-failed'
  | 'bad-max-forwards'
  | 'content-too-large'
  | 'head-timeout'
  // PROXY protocol
  | 'bad-proxy-header';

export interface Refusal {
  readonly kind: 'refused';
  /** What to answer with; always 502 where the message was a response. */
  readonly status: 400 | 408 | 413 | 414 | 417 | 431 | 501 | 502 | 505;
  readonly reason: RefusalReason;
  /** One sentence for a person. Holds nothing of the message, so it may be sent and logged. */
  readonly message: string;
}

export function refuse(status: Refusal['status'], reason: RefusalReason, message: string): Refusal {
  return { kind: 'refused', status, reason, message };
}

/** The same about a response: whatever is wrong with it, our client is told 502. */
export function asBadGateway(refusal: Refusal): Refusal {
  if (refusal.status === 502) return refusal;
  return { ...refusal, status: 502, message: `The answer of the origin cannot be passed on. ${refusal.message}` };
}
