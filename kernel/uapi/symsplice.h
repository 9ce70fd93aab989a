/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/* Generic netlink family "symsplice": the splice by descriptors.
 *
 * The written specification is kernel/symsplice.yaml; this header is the same in C. The family
 * belongs to the network namespace of the netlink socket, and so must the sockets that the
 * descriptors name. Every command but GET_STATS wants CAP_NET_ADMIN in the user namespace that
 * owns that network namespace. Descriptors are those of the process that sends the request.
 *
 * A refusal is no error: the reply carries SYMSPLICE_A_ANSWER (enum splice_packet_answer), and
 * nothing was changed. Errors are for requests that make no sense:
 *   -EBADF, -ENOTSOCK    no such descriptor, or no socket
 *   -EPROTOTYPE          no TCP socket
 *   -EXDEV               a socket of another network namespace
 *   -EINVAL, -ERANGE     an attribute is missing, or unknown, or out of range; both sockets are the same
 *   -ENOENT              no such flow, no such intent
 *   -EPERM               CAP_NET_ADMIN is missing; also of who joins the group of events
 *
 * INIT      LISTENER: init_splice(). Hooks of the namespace are registered; urgent data of the
 *           listener's connections, or of the connection, stays in the stream.
 * INTEND    CLIENT, SERVER, OPEN: intend_splice(), before connect(). The SYN of SERVER will offer no
 *           option that CLIENT has not got. From the answer on segments with data from either
 *           peer are queued; what was delivered before can still be read. With OPEN they go to the
 *           sockets, until splice(): for who wants to carry the first bytes himself. Asking again
 *           for the same CLIENT replaces SERVER. Closing one of the two sockets forgets the
 *           intent; so does the end of the client's connection.
 * CANCEL    CLIENT: forgets the intent; what was queued goes to the socket.
 * SPLICE    CLIENT, SERVER, LEN (0), SERVER_LEN (0), IDLE (0: for ever): splice(). LEN more bytes
 *           will be written to CLIENT, SERVER_LEN to SERVER, before the streams are joined; else
 *           the process neither reads nor writes any more. It may close both descriptors at any
 *           time, or end: no FIN is sent. The reply has ANSWER and ID. Once the flow is released
 *           (event RELEASED) the descriptors are closed sockets: reading fails with ECONNABORTED.
 * ABORT     ID, or nothing for all flows of the namespace: both peers get a RST. `rmmod` is
 *           refused while there are flows; this drains it. Of a flow whose sockets still own
 *           bytes the RST follows in a moment, and the module is free when it was sent.
 * GET_FLOW  ID, or a dump of all: FLOW.
 * GET_STATS counters and transitions, summed over processors; COUNTERS and EDGES are arrays of
 *           u64 in the order of enum splice_packet_counter and SPLICE_EDGE().
 *
 * A dump is in the order of IDs, and shows every flow that is there from its beginning to its end.
 *
 * Events go to the multicast group "events" as command EVENT with the attribute EVENT. One that
 * finds no memory is counted (event-lost); nothing depends on its arrival.
 */
#ifndef SYMSPLICE_UAPI_H
#define SYMSPLICE_UAPI_H

#define SYMSPLICE_GENL_NAME "symsplice"
#define SYMSPLICE_GENL_VERSION 1
#define SYMSPLICE_MCGRP_EVENTS "events"

enum symsplice_cmd {
	SYMSPLICE_CMD_UNSPEC,
	SYMSPLICE_CMD_INIT,
	SYMSPLICE_CMD_INTEND,
	SYMSPLICE_CMD_CANCEL,
	SYMSPLICE_CMD_SPLICE,
	SYMSPLICE_CMD_ABORT,
	SYMSPLICE_CMD_GET_FLOW,
	SYMSPLICE_CMD_GET_STATS,
	SYMSPLICE_CMD_EVENT,
	SYMSPLICE_CMD_AFTER_LAST,
};

enum symsplice_attr {
	SYMSPLICE_A_UNSPEC,
	SYMSPLICE_A_LISTENER,	/* s32: descriptor */
	SYMSPLICE_A_CLIENT,	/* s32: descriptor */
	SYMSPLICE_A_SERVER,	/* s32: descriptor */
	SYMSPLICE_A_LEN,	/* u32: bytes still to be written to CLIENT */
	SYMSPLICE_A_SERVER_LEN,	/* u32: bytes still to be written to SERVER */
	SYMSPLICE_A_IDLE,	/* u32: milliseconds without a byte after which a flow is ended, at most 2^31 - 1 */
	SYMSPLICE_A_ANSWER,	/* u32: enum splice_packet_answer */
	SYMSPLICE_A_ID,		/* u64: of a flow, not 0, never used again in this network namespace */
	SYMSPLICE_A_FLOW,	/* binary: struct splice_flow_slot */
	SYMSPLICE_A_QUEUED,	/* u32: bytes of memory that hold queued segments of the flow */
	SYMSPLICE_A_EVENT,	/* u32: enum splice_packet_event_type */
	SYMSPLICE_A_REASON,	/* u32: enum splice_close_reason */
	SYMSPLICE_A_BYTES_UP,	/* u64: of the client's stream */
	SYMSPLICE_A_BYTES_DOWN,	/* u64: of the server's stream */
	SYMSPLICE_A_FLOWS,	/* u32: flows and intents there are */
	SYMSPLICE_A_COUNTERS,	/* binary: u64[SPLICE_PACKET_COUNTERS_MAX] */
	SYMSPLICE_A_EDGES,	/* binary: u64[SPLICE_EDGES_MAX] */
	SYMSPLICE_A_MORE,	/* binary: u64[SYMSPLICE_COUNTERS_MAX] */
	SYMSPLICE_A_ABI,	/* u32: SPLICE_ABI_VERSION */
	SYMSPLICE_A_PAD,
	SYMSPLICE_A_OPEN,	/* flag: segments with data still go to the sockets, until splice() */
	SYMSPLICE_A_AFTER_LAST,
};

#define SYMSPLICE_A_MAX (SYMSPLICE_A_AFTER_LAST - 1)

/* What only the module counts; the rest is in include/splice/packet-counters.h. */
#define SYMSPLICE_COUNTERS(X)                                                    \
	X(QUEUED, 0)       /* segment queued in ESTABLISHED or PRE_SPLICED */    \
	X(QUEUE_AGAIN, 1)  /* dropped: it is in the queue already */             \
	X(QUEUE_FULL, 2)   /* dropped: the queue is full; its sender comes back */ \
	X(QUEUE_RELAYED, 3) /* note: relayed out of the queue at the release */  \
	X(QUEUE_RETURNED, 4) /* note: given to the socket after all */           \
	X(GATES, 5)        /* note: both directions began to queue */            \
	X(GATES_OPENED, 6) /* note: ... and gave up, the sockets not being empty in time */ \
	X(PUMPED, 7)       /* bytes carried from socket to socket by the module */ \
	X(RELEASES, 8)     /* flows that came to SPLICED */                      \
	X(NO_ROUTE, 9)     /* dropped: no route to the other leg's peer */       \
	X(PROBES, 10)      /* segments that asked a silent peer for a sign */    \
	X(RESETS, 11)      /* resets made by hand */                             \
	X(POLICY, 12)      /* dropped: IPsec's policies forbid it */

#define SYMSPLICE_ENUM_COUNTER(name, value) SYMSPLICE_COUNT_##name = value,
enum symsplice_counter {
	SYMSPLICE_COUNTERS(SYMSPLICE_ENUM_COUNTER)
	SYMSPLICE_COUNTERS_MAX = 13,
};

#endif
