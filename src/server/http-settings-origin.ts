/** Settings of splice-http about origins. Each of them may also stand in a site, for its requests only. */
import { duration, limit, onOff, path, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import { parseWord } from './config-values.js';
import { ValueMistake } from './config-address.js';
import { parseHostPattern, parseOriginUrl } from './http-values.js';
import type { OriginUrl } from './http-values.js';

export interface OriginRules {
  /** Who answers; undefined: nobody (or, for a site, whoever does elsewhere). */
  readonly origin: OriginUrl | undefined;
  /** The Host field that the origin gets. */
  readonly hostHeader: 'client' | 'origin';
  /** Milliseconds to resolve, connect and shake hands. */
  readonly connectTimeout: number;
  /** Milliseconds from the end of a request to the head of its response. */
  readonly responseTimeout: number;
  /** Milliseconds without a byte in the middle of a response. */
  readonly originTimeout: number;
  /** Milliseconds for which an unused connection is kept; 0 = connections are not used again. */
  readonly originKeepAlive: number;
  /** Connections to one origin at one time; 0 = no limit. */
  readonly originConnections: number;
  /** Version of the PROXY protocol header that connections begin with. */
  readonly originProxyProtocol: 0 | 1 | 2;
  /** Absolute path of certificates (PEM) to trust instead of the system's. */
  readonly originCa: string | undefined;
  /** Any certificate will do. */
  readonly originInsecure: boolean;
  /** The name for SNI and the certificate's check; undefined: the URL's. */
  readonly originName: string | undefined;
  /** Our own certificate, and its key; undefined key: it is in the same file. */
  readonly originCert: string | undefined;
  readonly originKey: string | undefined;
}

function parseProxyVersion(value: unknown): 0 | 1 | 2 {
  switch (String(value).trim()) {
    case '0':
      return 0;
    case '1':
      return 1;
    case '2':
      return 2;
    default:
      throw new ValueMistake(
        `${JSON.stringify(value)} is not a version of the PROXY protocol; write 1, 2, or 0 for none`,
      );
  }
}

const group = 'Origins';

export const ORIGIN_SETTINGS: SettingTable<OriginRules> = {
  origin: {
    group,
    argument: 'URL',
    help: 'Who answers requests that no site is for, as in http://127.0.0.1:3000 or https://app.internal.',
    schema: valueOf(parseOriginUrl),
    initial: undefined,
  },
  hostHeader: {
    group,
    argument: 'WHOSE',
    help: 'The Host that the origin gets: client = what the client asked for, origin = host and port of its URL.',
    schema: valueOf((value) => parseWord(value, ['client', 'origin'] as const)),
    initial: 'client',
    initialText: 'client',
  },
  connectTimeout: {
    group,
    argument: 'DURATION',
    help: 'To look up, connect to, and shake hands with an origin.',
    schema: duration('forbidden'),
    initial: 5000,
    initialText: '5s',
  },
  responseTimeout: {
    group,
    argument: 'DURATION',
    help: 'From the end of a request to the head of its response.',
    schema: duration('forbidden'),
    initial: 60_000,
    initialText: '1m',
  },
  originTimeout: {
    group,
    argument: 'DURATION',
    help: 'Without a byte in the middle of a response.',
    schema: duration('forbidden'),
    initial: 30_000,
    initialText: '30s',
  },
  originKeepAlive: {
    group,
    argument: 'DURATION',
    help: 'How long an unused connection to an origin is kept; 0 = connections are not used again.',
    schema: duration('allowed'),
    initial: 30_000,
    initialText: '30s',
  },
  originConnections: {
    group,
    argument: 'N',
    help: 'Connections to one origin at one time; further requests wait. 0 = no limit.',
    schema: limit,
    initial: 0,
    initialText: '0',
  },
  originProxyProtocol: {
    group,
    argument: 'VERSION',
    help: 'Begin connections to origins with a PROXY protocol header of version 1 or 2; each is for one client then.',
    schema: valueOf(parseProxyVersion),
    initial: 0,
    initialText: '0',
  },
  originCa: {
    group,
    argument: 'FILE',
    help: 'Trust these certificates (PEM) of origins instead of those that Node.js comes with.',
    schema: path,
    initial: undefined,
    isPath: true,
  },
  originInsecure: {
    group,
    argument: undefined,
    help: 'Take any certificate of an origin: whoever is on the way can read and change everything.',
    schema: onOff,
    initial: false,
  },
  originName: {
    group,
    argument: 'NAME',
    help: "The name that an origin's certificate has to be for, and that SNI asks for; else that of the URL.",
    schema: valueOf(parseCertificateName),
    initial: undefined,
  },
  originCert: {
    group,
    argument: 'FILE',
    help: 'Our own certificate (PEM), for origins that ask for one.',
    schema: path,
    initial: undefined,
    isPath: true,
  },
  originKey: {
    group,
    argument: 'FILE',
    help: 'Its key (PEM); else it is looked for in the same file.',
    schema: path,
    initial: undefined,
    isPath: true,
  },
};

function parseCertificateName(value: unknown): string {
  const name = parseHostPattern(value);
  if (name.startsWith('*') || name.startsWith('[')) {
    throw new ValueMistake(`${JSON.stringify(value)} is not a name that a certificate could be for`);
  }
  return name;
}
