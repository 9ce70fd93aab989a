/** Every way in which a connect fails has a word of the proxy's. */
import { expect, test } from 'vitest';
import { originError, originFailure } from '../../../src/proxy/origin-failure.js';
import { OriginError } from '../../../src/proxy/origin.js';
import { failureFromErrno } from '../../../src/socks/failure.js';

test.each([
  ['ECONNREFUSED', 'refused'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['ECONNRESET', 'unreachable'],
  ['ETIMEDOUT', 'connect-timeout'],
  ['EACCES', 'denied'],
  ['ENOTFOUND', 'name-not-found'],
  ['EMFILE', 'local-failure'],
  ['EADDRNOTAVAIL', 'local-failure'],
])('%s is %s', (code, failure) => {
  expect(originFailure(failureFromErrno(code))).toBe(failure);
});

test('the error names the origin, and what lay below', () => {
  const cause = new Error('self-signed certificate');
  const error = originError({ name: 'https://origin.test' }, 'tls-failed', cause);
  expect(error).toBeInstanceOf(OriginError);
  expect(error.failure).toBe('tls-failed');
  expect(error.message).toBe('https://origin.test: TLS could not be agreed on: self-signed certificate');
  expect(error.cause).toBe(cause);
});
