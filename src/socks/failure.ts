/**
 * Why a request came to nothing. Used by all stages up to splice; values only, nothing here throws.
 *
 * A {@link ConnectFailure} is something the network or the policy said; a {@link ProtocolFailure} is something the
 * client did wrong. Both end up as the close reason of a flow, so their names are stable.
 */

/** Why a connection to the target was not made. */
export type ConnectFailure =
  | 'refused' // the target answered, and said no
  | 'unreachable-host' // a router, or the last network, says that the target is not there
  | 'unreachable-network' // no route, most often because this host lacks the address family
  | 'denied' // a rule, or the local firewall
  | 'timed-out' // nobody answered in time
  | 'name-not-found' // the name has no address
  | 'limit' // this host ran out of something: connections, descriptors, local ports, memory
  | 'failed'; // anything else

/** What a client did that is not SOCKS, or not the part of it that is served here. */
export type ProtocolFailure =
  | 'http-request' // HTTP spoken to a SOCKS port
  | 'tls-client-hello' // TLS spoken to a SOCKS port
  | 'unknown-protocol' // the first byte is neither 4 nor 5
  | 'no-acceptable-method' // no authentication method in common
  | 'authentication-required' // SOCKS4, which has no passwords, where passwords are wanted
  | 'bad-authentication-version' // the RFC 1929 message does not begin with 1
  | 'authentication-failed' // wrong name or password
  | 'bad-request-version' // the SOCKS5 request does not begin with 5
  | 'unsupported-command' // BIND, UDP ASSOCIATE or an unknown one
  | 'unsupported-address-type'
  | 'bad-name' // empty, not UTF-8, or with characters that no host name has
  | 'bad-port' // port 0
  | 'userid-too-long' // SOCKS4: more than 255 bytes
  | 'name-too-long'; // SOCKS4a: more than 255 bytes

/** Close reason of a handshake that did not end in a connection. */
export type HandshakeFailure = ProtocolFailure | ConnectFailure;

/**
 * Translates the `code` of a Node error (`connect`, `getaddrinfo`, c-ares) or the name of an errno.
 *
 * EADDRNOTAVAIL counts as a limit: on a busy relay it means that the local ports towards one target are used up.
 */
export function failureFromErrno(code: string): ConnectFailure {
  switch (code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
      return 'unreachable-host';
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EAFNOSUPPORT':
      return 'unreachable-network';
    case 'EACCES':
    case 'EPERM':
      return 'denied';
    case 'ETIMEDOUT':
    case 'ETIMEOUT': // c-ares: the name server did not answer
      return 'timed-out';
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOBUFS':
    case 'ENOMEM':
    case 'EAGAIN':
    case 'EADDRNOTAVAIL':
    case 'EAI_MEMORY':
      return 'limit';
    case 'ENOTFOUND':
    case 'ENODATA':
    case 'ENONAME':
    case 'EBADNAME':
    case 'ESERVFAIL':
    case 'EREFUSED': // c-ares: the name server refused, not the target
      return 'name-not-found';
    default:
      return code.startsWith('EAI_') ? 'name-not-found' : 'failed';
  }
}
