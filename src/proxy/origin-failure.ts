/**
 * Stage handshake: why an origin was not reached, in the words of the proxy. A word stays the same however deep it came
 * from; what the system or the certificate said is in the error's cause and message, for the log.
 */
import { assertNever } from '../errors.js';
import type { ConnectFailure } from '../socks/failure.js';
import { OriginError, type Origin, type OriginFailure } from './origin.js';

/** What resolver and connect race say. */
export function originFailure(failure: ConnectFailure): OriginFailure {
  switch (failure) {
    case 'refused':
    case 'denied':
    case 'name-not-found':
      return failure;
    case 'unreachable-host':
    case 'unreachable-network':
    case 'failed':
      return 'unreachable';
    case 'timed-out':
      return 'connect-timeout';
    case 'limit':
      return 'local-failure';
    default:
      return assertNever(failure);
  }
}

/** Words for people behind the stable one. */
const SAID: Readonly<Record<OriginFailure, string>> = {
  'name-not-found': 'its name has no address',
  refused: 'it refused the connection',
  unreachable: 'there is no way to it',
  'connect-timeout': 'no connection in time',
  'tls-failed': 'TLS could not be agreed on',
  denied: 'a rule denies its address',
  'no-connection': 'the limit of connections was reached for too long',
  'local-failure': 'this host ran out of descriptors, ports or memory',
  'send-failed': 'the connection broke before the request',
  'response-timeout': 'no response in time',
  'bad-response': 'its response cannot be read',
  aborted: 'nobody waits for it any more',
};

export function originError(origin: Pick<Origin, 'name'>, failure: OriginFailure, cause?: Error): OriginError {
  const detail = cause === undefined ? SAID[failure] : `${SAID[failure]}: ${cause.message}`;
  return new OriginError(failure, `${origin.name}: ${detail}`, cause === undefined ? undefined : { cause });
}
