/** What a client is told when there is no response: by handshake of tunnels and by splice.ts. */
import type { OriginFailure } from './origin.js';

export interface OriginAnswer {
  readonly status: number;
  readonly text: string;
}

export function originAnswer(failure: OriginFailure): OriginAnswer {
  return ANSWERS[failure];
}

const ANSWERS: Readonly<Record<OriginFailure, OriginAnswer>> = {
  'name-not-found': { status: 502, text: 'The name of the origin is not known.' },
  refused: { status: 502, text: 'The origin refuses connections.' },
  unreachable: { status: 502, text: 'The origin cannot be reached.' },
  'connect-timeout': { status: 504, text: 'No connection to the origin came about in time.' },
  'tls-failed': { status: 502, text: 'TLS with the origin failed.' },
  denied: { status: 403, text: 'A rule forbids to go there.' },
  'no-connection': { status: 503, text: 'Too many requests to the origin are under way.' },
  'local-failure': { status: 503, text: 'The proxy has run out of resources.' },
  'send-failed': { status: 502, text: 'The origin closed the connection instead of answering.' },
  'response-timeout': { status: 504, text: 'The origin did not answer in time.' },
  'bad-response': { status: 502, text: 'The origin gave no valid response.' },
  aborted: { status: 502, text: 'The request was given up.' },
};
