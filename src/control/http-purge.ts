/**
 * Reads what a purge is to take, from the query or the JSON body of a request: for the admin endpoint and the control
 * socket. Pure. It never guesses: of several, or of none, nothing is purged.
 */
import { z } from 'zod';
import { parseUri } from '../http/target.js';
import type { PurgeMode, PurgeOrder } from './http-actions.js';
import { problem, type Answer, type Call } from './http-routes.js';

export interface Purge {
  readonly order: PurgeOrder;
  readonly mode: PurgeMode;
}

export type PurgeReading = { readonly purge: Purge } | { readonly refused: Answer };

const wanted = z.strictObject({
  url: z.string().optional(),
  prefix: z.string().optional(),
  tag: z.string().optional(),
  /** In a body only: an empty cache is too dear to be a typing mistake in a URL. */
  all: z.literal(true).optional(),
  mode: z.enum(['hard', 'soft']).default('hard'),
});
type Wanted = z.output<typeof wanted>;

const SHAPE =
  'send one of url, prefix, tag, or all:true, and perhaps mode (hard or soft), as JSON or, but for all, as query';
const LONGEST_TAG = 1024;

export async function readPurge(call: Call): Promise<PurgeReading> {
  const body = await call.body();
  if (body === undefined) return refuse(413, 'body-too-large', 'the body is too long, or not UTF-8', SHAPE);
  const query = Object.fromEntries(call.query);
  if ('all' in query) return refuse(400, 'bad-purge', 'a query cannot purge everything', 'send {"all":true} as body');
  let sent: unknown = {};
  if (body.trim() !== '') {
    try {
      sent = JSON.parse(body);
    } catch {
      return refuse(400, 'bad-json', 'the body is not JSON', SHAPE);
    }
  }
  if ([...call.query.keys()].length > Object.keys(query).length) {
    return refuse(400, 'bad-purge', 'a parameter stands twice in the query', 'send one request for each');
  }
  if (typeof sent !== 'object' || sent === null || Object.keys(query).some((name) => name in sent)) {
    return refuse(400, 'bad-purge', 'the body is no object, or says again what the query says', SHAPE);
  }
  const parsed = wanted.safeParse({ ...query, ...sent });
  if (!parsed.success) {
    const why = parsed.error.issues.map(({ path, message }) => [...path, message].join(': ')).join('; ');
    return refuse(400, 'bad-purge', why, SHAPE);
  }
  return orderOf(parsed.data);
}

function orderOf({ url, prefix, tag, all, mode }: Wanted): PurgeReading {
  if ([url, prefix, tag, all].filter((each) => each !== undefined).length !== 1) {
    return refuse(400, 'bad-purge', 'it is not said, or said twice, what is to go', SHAPE);
  }
  if (all === true) return { purge: { order: { kind: 'all' }, mode } };
  if (tag !== undefined) {
    return isTag(tag)
      ? { purge: { order: { kind: 'tag', tag }, mode } }
      : refuse(400, 'bad-tag', 'no such tag can be: it is empty, too long, or has a space or comma', 'send one tag');
  }
  const uri = parseUri(url ?? prefix ?? '');
  if (uri === undefined) return refuse(400, 'bad-url', 'it is no http or https URL', URL_NEXT);
  return { purge: { order: url === undefined ? { kind: 'prefix', prefix: uri } : { kind: 'uri', uri }, mode } };
}

export const URL_NEXT = 'write it whole and as clients ask for it, such as https://example.com/a?b=c';

/** Tags come from lists in response fields, where commas and spaces part them. */
function isTag(tag: string): boolean {
  return tag.length <= LONGEST_TAG && /^[^\s,\p{C}]+$/u.test(tag);
}

function refuse(status: number, code: string, error: string, next: string): PurgeReading {
  return { refused: problem(status, code, error, next) };
}
