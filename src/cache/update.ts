/**
 * What a 304 or the answer to a HEAD does to stored responses (RFC 9111 sections 4.3.4 and 4.3.5). Called by
 * decide.ts; pure: it makes new records and leaves writing them to the store.
 */
import type { Fields, ResponseHead } from '../http/head.js';
import { entityTagOf, equalStrongly, equalWeakly } from './etag.js';
import { storableFields, updateFields, withDate } from './fields.js';
import { type Times, judgeFreshness, lastModifiedOf } from './freshness.js';
import type { CachePolicy } from './policy.js';
import type { StoredRecord, StoredResponse } from './stored.js';
import { governing } from './targeted.js';
import { addSelection, selectionOf, varyNames } from './vary.js';

/**
 * The stored responses that a 304 is about, the one to answer with first. None: the 304 is not about anything stored,
 * and must not touch it.
 *
 * @param nominated those whose validators the request carried
 * @param sole whether the request carried no validator but theirs, so that a 304 without any is about them
 */
export function identifyForUpdate(
  response: ResponseHead,
  nominated: readonly StoredResponse[],
  sole: boolean,
  responseTime: number,
): readonly StoredResponse[] {
  const newestFirst = [...nominated].sort((a, b) => b.date - a.date);
  const tag = entityTagOf(response.fields);
  if (tag !== undefined && !tag.weak) {
    return newestFirst.filter(({ etag }) => etag !== undefined && equalStrongly(etag, tag));
  }
  if (tag !== undefined) {
    return newestFirst.filter(({ etag }) => etag !== undefined && equalWeakly(etag, tag)).slice(0, 1);
  }
  const modified = lastModifiedOf(response.fields, responseTime);
  if (modified !== undefined) {
    const same = newestFirst.filter(({ lastModified }) => lastModified === modified).slice(0, 1);
    if (same.length > 0) return same;
  }
  // Origins leave the validator out although they must send it; one question has one answer all the same.
  const [only, ...more] = nominated;
  return only !== undefined && more.length === 0 && sole && modified === undefined ? [only] : [];
}

/** The record as the newer head makes it: fresh again from `times` on, valid, selected by this request as well. */
export function freshen(
  stored: StoredResponse,
  newer: ResponseHead,
  requestFields: Fields,
  times: Times,
  policy: CachePolicy,
): StoredRecord {
  const { record } = stored;
  // A newer head may leave Cache-Control out, and what `private="..."` named stays secret then.
  const secrets = [stored.governed, governing(newer.fields, policy.targets)].map((each) => each.directives.private);
  const withCookie = mayKeepCookie(newer, times, policy) ? newer.fields : newer.fields.without('set-cookie');
  const storable = secrets.reduce((each, secret) => storableFields(each, secret, policy), withCookie);
  const fields = updateFields(stored.fields, withDate(storable, times.responseTime));
  const names = varyNames(fields);
  return {
    status: record.status,
    reason: record.reason,
    fields: fields.raw,
    // Under other names than before, what selected the response until now says nothing any more.
    selections:
      names === '*'
        ? []
        : addSelection(
            String(names) === String(stored.vary) ? record.selections : [],
            selectionOf(names, requestFields),
          ),
    requestTime: times.requestTime,
    responseTime: times.responseTime,
    extent: record.extent,
  };
}

/** The same for the one client that has asked: also with what the newer head says to nobody else. */
export function freshenForClient(
  record: StoredRecord,
  before: Fields,
  newer: ResponseHead,
  policy: CachePolicy,
): StoredRecord {
  const told = storableFields(newer.fields, 'none', { ...policy, setCookie: 'store' });
  return { ...record, fields: updateFields(before, withDate(told, record.responseTime)).raw };
}

/** A cookie in a newer head is judged as one in a response that is stored: by what that head itself says. */
function mayKeepCookie(newer: ResponseHead, times: Times, policy: CachePolicy): boolean {
  if (policy.setCookie !== 'explicit') return policy.setCookie === 'store';
  const governed = governing(newer.fields, policy.targets);
  return judgeFreshness(newer.status, newer.fields, governed, times, policy).basis === 'explicit';
}

/** What a 200 to a HEAD says about a stored response that it could have selected: still that, or no longer. */
export function agreesWithHead(stored: StoredResponse, head: ResponseHead, responseTime: number): boolean {
  if (head.status !== 200 || stored.record.status !== 200) return false;
  const tag = entityTagOf(head.fields);
  if (tag !== undefined && (stored.etag === undefined || tag.text !== stored.etag.text)) return false;
  const modified = lastModifiedOf(head.fields, responseTime);
  if (modified !== undefined && modified !== stored.lastModified) return false;
  const length = head.fields.get('content-length');
  const { total } = stored.record.extent;
  return length === undefined || total === undefined || Number(length) === total;
}
