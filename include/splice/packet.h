/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The contract of the packet backend: what bpf/packet.bpf.c and addon/packet share.
 *
 * A flow is one slot of the array `flows` and two entries of the hash `legs`,
 * one for each of its connections: 4-tuple -> slot and side. The array is
 * mapped into the process, so that counters cost no system call.
 *
 * Who writes what: the addon fills a slot while it is FREE, and asks by a test
 * run of program `control` for everything that must be in step with the
 * sockets. From INSTALL on only BPF writes the slot, but for `moved`, `counted`
 * and the flag SPLICE_LEG_NARROW, until the keys are deleted. A leg's fields are written by
 * segments FROM its peer, but for ifindex, edge_* and promised, which segments
 * TO its peer write, too, and state, which both do.
 */
#ifndef SPLICE_PACKET_H
#define SPLICE_PACKET_H

#include "abi.h"
#include "mapping.h"
#include "states.h"

#ifndef __cplusplus
#define SPLICE_PACKET_ASSERT _Static_assert
#else
#define SPLICE_PACKET_ASSERT static_assert
#endif

#define SPLICE_CLIENT 0
#define SPLICE_SERVER 1

#define SPLICE_PACKET_FLOWS_DEFAULT 65536

/* bpf_ktime_get_*_ns() >> 20: ticks of 1.048576 ms, which wrap after 52 days. */
#define SPLICE_TICK_SHIFT 20

/**
 * struct splice_key - names a connection as a segment from its peer does
 * @remote: the peer's address; IPv4 as ::ffff:a.b.c.d
 * @local: the proxy's address
 *
 * Network byte order throughout.
 */
struct splice_key {
	unsigned char remote[16];
	unsigned char local[16];
	unsigned short remote_port;
	unsigned short local_port;
};

/* Value of map `legs`: slot << 1 | side. */
#define SPLICE_LEG(slot, side) ((unsigned int)(slot) << 1 | (side))

/* How far a flow has come. */
#define SPLICE_PACKET_PHASES(X)                                                 \
	X(FREE, 0)     /* no flow: the addon may write the slot */              \
	X(TRANSIT, 1)  /* installed; the local sockets may still own bytes */   \
	X(RELEASED, 2) /* every segment is relayed; the sockets are, or will be, gone */ \
	X(ENDED, 3)    /* both FINs acknowledged, or reset: relays until it is removed */

/* One direction, while a flow is in TRANSIT. */
#define SPLICE_WAYS(X)                                                     \
	X(SLOW, 0) /* segments go to the local socket, the engine pumps */ \
	X(FAST, 1) /* segments at or behind the cut are relayed */         \
	X(HELD, 2) /* slow for good: the engine has cancelled the splice */

/* splice_leg.flags */
#define SPLICE_LEG_TIMESTAMPS 0x001 /* RFC 7323 timestamps were negotiated */
#define SPLICE_LEG_SACK 0x002       /* RFC 2018 SACK was negotiated */
#define SPLICE_LEG_ECN 0x004        /* RFC 3168 ECN was negotiated */
#define SPLICE_LEG_MICROSECONDS 0x008 /* the local clock ticks microseconds, not milliseconds */
#define SPLICE_LEG_SEEN 0x010       /* a segment from this peer has passed the hook */
#define SPLICE_LEG_EDGE 0x020       /* edge_ack and edge_window are set */
#define SPLICE_LEG_FIN 0x040        /* the peer has sent FIN; fin_end is set */
#define SPLICE_LEG_NARROW 0x080     /* the peer is promised no more than the other one promises */

/* Value of map `intents`: SPLICE_LEG_TIMESTAMPS, SPLICE_LEG_SACK, and this for window scale. */
#define SPLICE_INTENT_SCALE 0x100

/**
 * struct splice_leg - one connection of a flow, and the direction from its peer
 * @key: the connection
 * @ifindex: where segments to the peer leave
 * @seq_delta: added to SEQ of segments from the peer
 * @ts_delta: added to TSval of segments from the peer
 * @flags: SPLICE_LEG_*
 * @limit: most bytes of TCP options and payload in one segment to the peer; 0: any
 * @peer_scale: window shift announced by the peer
 * @own_scale: window shift that the proxy announced to the peer
 * @state: enum splice_side_state
 * @end: highest SEQ + length seen from the peer (FIN counts one)
 * @ack: latest acknowledgement from the peer
 * @promised: highest acknowledgement + window from the peer: the other peer may send up to here
 * @segments: relayed from the peer
 * @active: tick of the latest segment from the peer
 * @cut: first sequence number from the peer that is relayed, when @way is FAST
 * @bytes: bytes of the peer's stream so far, those pumped before the splice included
 * @fin_end: sequence number behind the peer's FIN
 * @edge_ack: highest acknowledgement relayed to the peer
 * @clock_offset: of the local socket's timestamp clock
 * @way: enum splice_way
 * @edge_window: window field that went with @edge_ack
 * @told: tick of the latest ICMP error that we sent to the peer, its lower half
 *
 * The first 64 bytes stand still once a flow is spliced, and both directions read
 * them; the second 64 are written by every segment from the peer. The two directions
 * often run on two processors: so they share as few cache lines as they can. The gaps
 * belong to the flow, see struct splice_flow_slot.
 *
 * Host byte order, but for @key. A newer version sweeps the flows of an older one
 * by @key, @ifindex, @flags, @end, @ack, @active, @bytes, @clock_offset, @way and
 * the slot's @phase, @ended and @family: their places must stay, or the sweep learn
 * both.
 */
struct splice_leg {
	struct splice_key key;
	unsigned int ifindex;
	unsigned int seq_delta;
	unsigned int ts_delta;
	unsigned int flags;
	unsigned short limit;
	unsigned char peer_scale;
	unsigned char own_scale;
	unsigned char state;
	unsigned char still_gap[7];

	unsigned int end;
	unsigned int ack;
	unsigned int promised;
	unsigned int segments;
	unsigned int active;
	unsigned int cut;
	unsigned long long bytes;
	unsigned int fin_end;
	unsigned int edge_ack;
	unsigned int clock_offset;
	unsigned int way;
	unsigned short edge_window;
	unsigned short told;
	unsigned char moving_gap[12];
};

/**
 * struct splice_flow_slot - one flow; value of array `flows`
 * @leg: the client's and the server's connection
 * @phase: enum splice_packet_phase
 * @installed_ns: CLOCK_MONOTONIC at the splice
 * @ended: tick at which it came to ENDED
 * @generation: raised by the addon whenever the slot is used anew
 * @family: 4 or 6
 * @reason: enum splice_close_reason, when ENDED
 * @moved: tick at which bytes moved, as far as the sweep of the addon has seen
 * @counted: bytes of both streams then
 *
 * What is the flow's lies in the gaps of its legs: what every segment asks for among
 * what stands still.
 */
struct splice_flow_slot {
	union {
		struct splice_leg leg[2];
		struct {
			unsigned char client_still[60];
			unsigned int phase;
			unsigned char client_moving[52];
			unsigned int ended;
			unsigned long long installed_ns;
			unsigned char server_still[60];
			unsigned short generation;
			unsigned char family;
			unsigned char reason;
			unsigned char server_moving[52];
			unsigned int moved;
			unsigned long long counted;
		};
	};
};

SPLICE_PACKET_ASSERT(sizeof(struct splice_key) == 36, "key: layout is ABI");
SPLICE_PACKET_ASSERT(sizeof(struct splice_leg) == 128, "leg: layout is ABI");
SPLICE_PACKET_ASSERT(sizeof(struct splice_flow_slot) == 256, "flow: layout is ABI");

/* What program `control` is asked by a test run. */
#define SPLICE_PACKET_OPS(X)                                                       \
	X(INSTALL, 0) /* fill the slot from both live sockets, insert its keys */  \
	X(ADVANCE, 1) /* cut at rest what can be cut, release if nothing is owned */ \
	X(CANCEL, 2)  /* hold both ways SLOW for good; says if either is FAST already */ \
	X(REMOVE, 3)  /* forget the keys, unless another flow has them by now; frees the slot */

/* What `control` answers: 0, or why not. */
#define SPLICE_PACKET_ANSWERS(X)                                                      \
	X(DONE, 0)           /* it is as asked: installed, released, cancelled */      \
	X(NOT_YET, 1)        /* ADVANCE: something is still owned, or not proven */    \
	X(FAST_ALREADY, 2)   /* CANCEL: a way is FAST, only relaying can end the flow */ \
	X(ENDED, 3)          /* ADVANCE: the flow has ended meanwhile */               \
	X(NO_CLIENT, 4)      /* refused: the client's socket is not established */     \
	X(NO_SERVER, 5)      /* refused: the server's socket is not established */     \
	X(TIMESTAMPS, 6)     /* refused: only one leg has timestamps */                \
	X(AUTHENTICATED, 7)  /* refused: TCP-MD5 or TCP-AO signs the segments */       \
	X(ULP, 8)            /* refused: the socket has an upper layer protocol, as TLS */ \
	X(MPTCP, 9)          /* refused: a Multipath TCP connection */                 \
	X(LOCAL, 10)         /* refused: a leg stays on this host */                   \
	X(KEY_TAKEN, 11)     /* refused: a flow with these addresses and ports exists */ \
	X(MAP_FULL, 12)      /* refused: the map has no room */                        \
	X(BAD_REQUEST, 13)   /* no such slot or operation */                           \
	X(SMALL_SEGMENTS, 14) /* refused: a peer takes smaller segments than its family can be told */ \
	X(TUNNELED, 15)      /* refused: a route leads through a tunnel or IPsec */    \
	X(ACCURATE_ECN, 16)  /* refused: RFC 9768 counts marks of one connection */

/**
 * struct splice_packet_request - data of a test run of `control`, behind 14 bytes
 * @op: enum splice_packet_op
 * @slot: which flow
 * @pending: INSTALL: bytes in user memory that are still to be written, by the side
 *	they came from. pending[CLIENT] goes to the server; pending[SERVER] to the
 *	client, the reply of the handshake included
 * @reserved: 0
 *
 * The program's return value is enum splice_packet_answer.
 */
struct splice_packet_request {
	unsigned int op;
	unsigned int slot;
	unsigned int pending[2];
	unsigned int reserved;
};

/* Ring buffer `events`. An event that finds the ring full is counted, and found
 * later by whoever sweeps the slots: nothing depends on its arrival. */
#define SPLICE_PACKET_EVENTS(X)                                             \
	X(RELEASED, 0) /* the flow needs no socket any more */              \
	X(ENDED, 1)    /* both FINs are acknowledged, or it was reset */    \
	X(ORPHANED, 2) /* its local sockets vanished in TRANSIT, and it was removed */

struct splice_packet_event {
	unsigned int type;
	unsigned int slot;
	unsigned int generation;
	unsigned int reason;
	unsigned long long bytes[2];
};

/* skb->mark of a segment on its way through ourselves. Copies pass the ingress hook a second time;
 * what a copy is for was decided at the first, when the way may have been another. */
#define SPLICE_MARK_WHOLE 0x5eed1u /* a copy for the local socket */
#define SPLICE_MARK_BARE 0x5eed2u  /* the same, but its payload is relayed */
#define SPLICE_MARK_RELAY 0x5eed3u /* relayed, or made by us: the guard lets it pass. Stays, since
				    * stacked devices have a hook each */

#define SPLICE_ENUM_PHASE(name, value) SPLICE_PHASE_##name = value,
enum splice_packet_phase { SPLICE_PACKET_PHASES(SPLICE_ENUM_PHASE) };

#define SPLICE_ENUM_WAY(name, value) SPLICE_WAY_##name = value,
enum splice_way { SPLICE_WAYS(SPLICE_ENUM_WAY) };

#define SPLICE_ENUM_OP(name, value) SPLICE_OP_##name = value,
enum splice_packet_op { SPLICE_PACKET_OPS(SPLICE_ENUM_OP) };

#define SPLICE_ENUM_ANSWER(name, value) SPLICE_ANSWER_##name = value,
enum splice_packet_answer { SPLICE_PACKET_ANSWERS(SPLICE_ENUM_ANSWER) };

#define SPLICE_ENUM_PACKET_EVENT(name, value) SPLICE_PACKET_##name = value,
enum splice_packet_event_type { SPLICE_PACKET_EVENTS(SPLICE_ENUM_PACKET_EVENT) };

#endif
