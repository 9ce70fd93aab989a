// Made by scripts/gen-abi.mjs from include/splice/ and kernel/uapi/. Do not edit; run "npm run gen".

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
  writable: 7,
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
  'writable',
] as const satisfies readonly ReactorEventName[];

/** States of one side of a flow, by the names of the thesis. */
export const SIDE_STATE = {
  CLOSE: 0,
  ESTABLISHED: 1,
  PRE_SPLICED: 2,
  SPLICED: 3,
  FIN_RELAYED: 4,
  SHUTDOWN: 5,
  TIMEWAIT: 6,
} as const;
export type SideState = keyof typeof SIDE_STATE;
/** Names by value. */
export const SIDE_STATE_NAMES = [
  'CLOSE',
  'ESTABLISHED',
  'PRE_SPLICED',
  'SPLICED',
  'FIN_RELAYED',
  'SHUTDOWN',
  'TIMEWAIT',
] as const satisfies readonly SideState[];

/** What changes the state of a side. */
export const SIDE_EVENT = {
  CONNECT: 0,
  SPLICE: 1,
  RELEASE: 2,
  FIN: 3,
  FIN_ACKED: 4,
  FIN_VOID: 5,
  BOTH_SHUT: 6,
  RESET: 7,
  EXPIRE: 8,
} as const;
export type SideEvent = keyof typeof SIDE_EVENT;
/** Names by value. */
export const SIDE_EVENT_NAMES = [
  'CONNECT',
  'SPLICE',
  'RELEASE',
  'FIN',
  'FIN_ACKED',
  'FIN_VOID',
  'BOTH_SHUT',
  'RESET',
  'EXPIRE',
] as const satisfies readonly SideEvent[];

/** How far a flow of the packet backend has come. */
export const PACKET_PHASE = {
  free: 0,
  transit: 1,
  released: 2,
  ended: 3,
} as const;
export type PacketPhase = keyof typeof PACKET_PHASE;
/** Names by value. */
export const PACKET_PHASE_NAMES = ['free', 'transit', 'released', 'ended'] as const satisfies readonly PacketPhase[];

/** One direction of such a flow, while it is in transit. */
export const PACKET_WAY = {
  slow: 0,
  fast: 1,
  held: 2,
} as const;
export type PacketWay = keyof typeof PACKET_WAY;
/** Names by value. */
export const PACKET_WAY_NAMES = ['slow', 'fast', 'held'] as const satisfies readonly PacketWay[];

/** What program `control` answers. */
export const PACKET_ANSWER = {
  done: 0,
  'not-yet': 1,
  'fast-already': 2,
  ended: 3,
  'no-client': 4,
  'no-server': 5,
  timestamps: 6,
  authenticated: 7,
  ulp: 8,
  mptcp: 9,
  local: 10,
  'key-taken': 11,
  'map-full': 12,
  'bad-request': 13,
  'small-segments': 14,
  tunneled: 15,
  'accurate-ecn': 16,
} as const;
export type PacketAnswer = keyof typeof PACKET_ANSWER;
/** Names by value. */
export const PACKET_ANSWER_NAMES = [
  'done',
  'not-yet',
  'fast-already',
  'ended',
  'no-client',
  'no-server',
  'timestamps',
  'authenticated',
  'ulp',
  'mptcp',
  'local',
  'key-taken',
  'map-full',
  'bad-request',
  'small-segments',
  'tunneled',
  'accurate-ecn',
] as const satisfies readonly PacketAnswer[];

/** What the programs of the packet backend count, and the kernel module. */
export const PACKET_COUNTER = {
  'not-ip': 0,
  'not-tcp': 1,
  short: 2,
  'no-flow': 3,
  relayed: 4,
  'relayed-transit': 5,
  'relayed-ack': 6,
  'local-slow': 7,
  'local-old': 8,
  'local-ack': 9,
  'local-copy': 10,
  'local-syn': 11,
  'local-fragment': 12,
  'local-orphan': 13,
  'local-reuse': 14,
  'drop-late-copy': 15,
  'drop-checksum': 16,
  'drop-ce': 17,
  'drop-ttl': 18,
  'drop-fragment': 19,
  'drop-extension': 20,
  'drop-trim': 21,
  'drop-rewrite': 22,
  'drop-too-big': 23,
  'too-big': 24,
  cut: 25,
  'wait-proof': 26,
  'wait-next': 27,
  'wait-busy': 28,
  'wait-hole': 29,
  'wait-room': 30,
  'wait-size': 31,
  'copy-failed': 32,
  'options-removed': 33,
  'event-lost': 34,
  'icmp-no-flow': 35,
  'icmp-local': 36,
  'icmp-translated': 37,
  'icmp-dropped': 38,
  'guard-not-ours': 39,
  'guard-relayed': 40,
  'guard-local': 41,
  'guard-silenced': 42,
  'guard-fin': 43,
  'guard-ack-raised': 44,
  'guard-seq-raised': 45,
  'guard-syn': 46,
  'control-done': 47,
  'control-not-yet': 48,
  'control-refused': 49,
} as const;
export type PacketCounter = keyof typeof PACKET_COUNTER;
/** Names by value. */
export const PACKET_COUNTER_NAMES = [
  'not-ip',
  'not-tcp',
  'short',
  'no-flow',
  'relayed',
  'relayed-transit',
  'relayed-ack',
  'local-slow',
  'local-old',
  'local-ack',
  'local-copy',
  'local-syn',
  'local-fragment',
  'local-orphan',
  'local-reuse',
  'drop-late-copy',
  'drop-checksum',
  'drop-ce',
  'drop-ttl',
  'drop-fragment',
  'drop-extension',
  'drop-trim',
  'drop-rewrite',
  'drop-too-big',
  'too-big',
  'cut',
  'wait-proof',
  'wait-next',
  'wait-busy',
  'wait-hole',
  'wait-room',
  'wait-size',
  'copy-failed',
  'options-removed',
  'event-lost',
  'icmp-no-flow',
  'icmp-local',
  'icmp-translated',
  'icmp-dropped',
  'guard-not-ours',
  'guard-relayed',
  'guard-local',
  'guard-silenced',
  'guard-fin',
  'guard-ack-raised',
  'guard-seq-raised',
  'guard-syn',
  'control-done',
  'control-not-yet',
  'control-refused',
] as const satisfies readonly PacketCounter[];

/** What only the kernel module counts. */
export const MODULE_COUNTER = {
  queued: 0,
  'queue-again': 1,
  'queue-full': 2,
  'queue-relayed': 3,
  'queue-returned': 4,
  gates: 5,
  'gates-opened': 6,
  pumped: 7,
  releases: 8,
  'no-route': 9,
  probes: 10,
  resets: 11,
  policy: 12,
} as const;
export type ModuleCounter = keyof typeof MODULE_COUNTER;
/** Names by value. */
export const MODULE_COUNTER_NAMES = [
  'queued',
  'queue-again',
  'queue-full',
  'queue-relayed',
  'queue-returned',
  'gates',
  'gates-opened',
  'pumped',
  'releases',
  'no-route',
  'probes',
  'resets',
  'policy',
] as const satisfies readonly ModuleCounter[];

/** Counters of what happens on the way to an exit; each of the others is one. */
export const PACKET_NOTES = [
  'relayed-ack',
  'cut',
  'wait-proof',
  'wait-next',
  'wait-busy',
  'wait-hole',
  'wait-room',
  'wait-size',
  'copy-failed',
  'options-removed',
  'event-lost',
  'guard-ack-raised',
  'guard-seq-raised',
] as const satisfies readonly PacketCounter[];

/** Edges of the state machine of a side: from, on, to. */
export const SIDE_TRANSITIONS = [
  ['CLOSE', 'CONNECT', 'ESTABLISHED'],
  ['ESTABLISHED', 'SPLICE', 'PRE_SPLICED'],
  ['PRE_SPLICED', 'RELEASE', 'SPLICED'],
  ['PRE_SPLICED', 'FIN', 'FIN_RELAYED'],
  ['PRE_SPLICED', 'RESET', 'CLOSE'],
  ['SPLICED', 'FIN', 'FIN_RELAYED'],
  ['SPLICED', 'RESET', 'CLOSE'],
  ['FIN_RELAYED', 'FIN_ACKED', 'SHUTDOWN'],
  ['FIN_RELAYED', 'FIN_VOID', 'SPLICED'],
  ['FIN_RELAYED', 'RESET', 'CLOSE'],
  ['SHUTDOWN', 'BOTH_SHUT', 'TIMEWAIT'],
  ['SHUTDOWN', 'RESET', 'CLOSE'],
  ['TIMEWAIT', 'EXPIRE', 'CLOSE'],
] as const satisfies readonly (readonly [SideState, SideEvent, SideState])[];
