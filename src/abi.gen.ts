// Made by scripts/gen-abi.mjs from include/splice/. Do not edit; run "npm run gen".

export const ABI_VERSION = 1;
export const REACTOR_WORDS = 5;

/** States of a flow. */
export const FLOW_STATE = {
  handshake: 0,
  splice: 1,
  relay: 2,
  teardown: 3,
  closed: 4,
} as const;
export type FlowStateName = keyof typeof FLOW_STATE;
/** Names by value. */
export const FLOW_STATE_NAMES = [
  'handshake',
  'splice',
  'relay',
  'teardown',
  'closed',
] as const satisfies readonly FlowStateName[];

/** Why a flow ended. */
export const CLOSE_REASON = {
  end: 0,
  'client-reset': 1,
  'upstream-reset': 2,
  idle: 3,
  limit: 4,
  aborted: 5,
  error: 6,
} as const;
export type CloseReason = keyof typeof CLOSE_REASON;
/** Names by value. */
export const CLOSE_REASON_NAMES = [
  'end',
  'client-reset',
  'upstream-reset',
  'idle',
  'limit',
  'aborted',
  'error',
] as const satisfies readonly CloseReason[];

/** What the reactor reports. */
export const REACTOR_EVENT = {
  accepted: 0,
  data: 1,
  end: 2,
  failed: 3,
  connected: 4,
  'accept-failed': 5,
  full: 6,
} as const;
export type ReactorEventName = keyof typeof REACTOR_EVENT;
/** Names by value. */
export const REACTOR_EVENT_NAMES = [
  'accepted',
  'data',
  'end',
  'failed',
  'connected',
  'accept-failed',
  'full',
] as const satisfies readonly ReactorEventName[];
