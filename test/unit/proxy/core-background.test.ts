/** Whom a validation in the background may ask: whomever the client for whom it is done may ask, and nobody else. */
import { expect, test, vi } from 'vitest';
import type { Forward } from '../../../src/cache/decide.js';
import { NEVER_STALE } from '../../../src/cache/reuse.js';
import { RequestParser } from '../../../src/http/head-parser.js';
import { startBackground } from '../../../src/proxy/background.js';
import type { ProxyContext } from '../../../src/proxy/context.js';
import { Exchange } from '../../../src/proxy/exchange.js';
import type { Acquire } from '../../../src/proxy/origin.js';
import type { Route, Site } from '../../../src/proxy/site.js';
import { MemoryWire, latin1 } from './body-bed.js';
import { get } from './front-bed.js';

test('the rules of the forward proxy hold for it', () => {
  const parsed = new RequestParser().receive(latin1(get('/')));
  if (parsed.kind !== 'head') throw new Error('no head');
  const asked = new Exchange({} as Site, undefined, new MemoryWire(), 'http', parsed);
  asked.allows = vi.fn(() => false);
  asked.user = 'somebody';
  asked.route = { name: 'forward', origin: {}, host: 'client', cache: undefined } as unknown as Route;
  const wants: Acquire[] = [];
  const acquire = (_origin: unknown, want: Acquire): Promise<never> => {
    wants.push(want);
    return new Promise(() => undefined);
  };
  const exchanges = new Set<Exchange>();
  const context = { exchanges, pool: { acquire }, desk: { collapse: { tryLead: () => true } } };
  const plan: Forward = {
    why: 'stale',
    purpose: 'validate',
    request: parsed.head,
    fields: parsed.head.fields,
    nominated: [],
    selected: undefined,
    fallback: NEVER_STALE,
    collapsible: true,
    background: true,
  };
  startBackground(context as unknown as ProxyContext, asked, plan);
  expect(wants).toHaveLength(1);
  expect(wants[0]!.allows).toBe(asked.allows);
  expect([...exchanges].map(({ user }) => user)).toEqual(['somebody']);
});
