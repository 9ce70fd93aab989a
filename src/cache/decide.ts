/**
 * The cache as the proxy sees it: two decisions and a failure. Everything in this room is reached from here, and
 * nothing here opens a file, a socket or a clock.
 *
 *     request ── decideRequest ──┬─ answer ───────────────────────────────► client   (and perhaps one in the background)
 *                                ├─ error  ───────────────────────────────► client
 *                                └─ forward ─► origin ─┬─ decideResponse ─┬─ relay  ─► client, body into `fill`
 *                                                      │                  ├─ answer ─► client, from the store
 *                                                      │                  ├─ join   ─► client, store and origin in turn
 *                                                      │                  └─ retry  ─► origin, once more
 *                                                      └─ decideFailure ──┬─ answer (stale)
 *                                                                         └─ error
 *
 * Between `forward` and the origin stands collapse.ts: of many requests with one question one leads and the others
 * wait. When a head has been decided, `collapse` says what the others do. When a body has ended, finishFill() says what
 * is committed. `changes` are for the store, at once and in any order.
 *
 * The proxy does the rest: connection fields, Via, framing, sending bytes, and reading away a body that nobody gets.
 * It calls decideResponse for final responses only; 1xx are passed on and never stored (RFC 9111 section 3).
 */
export {
  type Forward,
  type Inquiry,
  type OwnResponse,
  type RequestDecision,
  decideRequest,
  takesBeyondKey,
} from './decide-request.js';
export {
  type Changes,
  type Reply,
  type ResponseDecision,
  type Shared,
  decideFailure,
  decideResponse,
} from './decide-response.js';
export { type Fill, finishFill } from './fill.js';
