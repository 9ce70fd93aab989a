import { expect, test } from 'vitest';
import { failureFromErrno } from '../../../src/socks/failure.js';

test.each([
  ['ECONNREFUSED', 'refused'],
  ['EHOSTUNREACH', 'unreachable-host'],
  ['EHOSTDOWN', 'unreachable-host'],
  ['ENETUNREACH', 'unreachable-network'],
  ['EAFNOSUPPORT', 'unreachable-network'],
  ['ETIMEDOUT', 'timed-out'],
  ['ETIMEOUT', 'timed-out'],
  ['EACCES', 'denied'],
  ['EPERM', 'denied'],
  ['ENOTFOUND', 'name-not-found'],
  ['EAI_AGAIN', 'name-not-found'],
  ['EAI_NODATA', 'name-not-found'],
  ['ESERVFAIL', 'name-not-found'],
  ['EREFUSED', 'name-not-found'],
  ['EAI_MEMORY', 'limit'],
  ['EMFILE', 'limit'],
  ['EADDRNOTAVAIL', 'limit'],
  ['ECONNRESET', 'failed'],
  ['', 'failed'],
])('%s is %s', (code, failure) => expect(failureFromErrno(code)).toBe(failure));
