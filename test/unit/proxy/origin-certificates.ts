/**
 * Certificates for unit tests, made anew for each file of tests: an authority, a server's for `origin.test` and
 * 127.0.0.1, one for all names below `wild.test`, and a client's.
 */
import { Authority } from '../../support/certificates.js';

const authority = new Authority();

export const AUTHORITY = authority.pem;
export const SERVER = authority.issue('origin.test', '127.0.0.1');
export const WILD = authority.issue('*.wild.test');
export const CLIENT = authority.issueClient('proxy.test');
