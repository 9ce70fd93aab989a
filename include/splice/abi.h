/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The contract's numbers: what bpf/, addon/ and src/ must agree on.
 *
 * Pure C, no includes but types, so that it compiles as C11, C++17 and BPF.
 * src/abi.gen.ts is made from the X-macros below by scripts/gen-abi; a test
 * makes it again and compares. Values are explicit and never reused: logs,
 * pins and metrics of another version may still carry them.
 */
#ifndef SPLICE_ABI_H
#define SPLICE_ABI_H

/* Raised by every change of a layout or of a value in include/splice/. */
#define SPLICE_ABI_VERSION 1

/* States of a flow, in the order in which a flow passes through them. */
#define SPLICE_FLOW_STATES(X)                                          \
	X(HANDSHAKE, 0) /* intended: nobody but the engine reads */    \
	X(SPLICE, 1)    /* hand-over to a backend is under way */      \
	X(RELAY, 2)     /* both directions carry bytes */              \
	X(TEARDOWN, 3)  /* one direction has ended, the other flows */ \
	X(CLOSED, 4)    /* nothing of the flow is left here */

/* Why a flow ended. "client" and "upstream" name the side that was the cause. */
#define SPLICE_CLOSE_REASONS(X)                                          \
	X(END, 0)            /* both sides sent FIN and all was relayed */ \
	X(CLIENT_RESET, 1)   /* the client reset, or vanished to the kernel */ \
	X(UPSTREAM_RESET, 2) /* the server did */                        \
	X(IDLE, 3)           /* no byte either way for the idle time */  \
	X(LIMIT, 4)          /* maxBytes reached: sockets handed back */ \
	X(ABORTED, 5)        /* ended by the operator or the program */  \
	X(ERROR, 6)          /* a system call failed; errno tells which way */

/* What the reactor reports to the control plane, one record an event. */
#define SPLICE_REACTOR_EVENTS(X)                                          \
	X(ACCEPTED, 0)  /* slot: the connection; value: its listener; bytes: peer address */ \
	X(DATA, 1)      /* slot; bytes: what was read */                 \
	X(END, 2)       /* slot: the peer sent FIN */                    \
	X(FAILED, 3)    /* slot: the connection is broken; value: errno */ \
	X(CONNECTED, 4) /* slot: connect(2) ended; value: errno or 0; bytes: local address */ \
	X(ACCEPT_FAILED, 5) /* slot: the listener; value: errno (EMFILE, ENFILE, ENOMEM) */ \
	X(FULL, 6)      /* slot: the listener; no seat was free, so nobody was accepted */ \
	X(WRITABLE, 7)  /* slot: the kernel takes bytes again, as was asked for */

#define SPLICE_ENUM_FLOW_STATE(name, value) SPLICE_FLOW_##name = value,
enum splice_flow_state { SPLICE_FLOW_STATES(SPLICE_ENUM_FLOW_STATE) };

#define SPLICE_ENUM_CLOSE_REASON(name, value) SPLICE_CLOSE_##name = value,
enum splice_close_reason { SPLICE_CLOSE_REASONS(SPLICE_ENUM_CLOSE_REASON) };

#define SPLICE_ENUM_REACTOR_EVENT(name, value) SPLICE_REACTOR_##name = value,
enum splice_reactor_event { SPLICE_REACTOR_EVENTS(SPLICE_ENUM_REACTOR_EVENT) };

/* A reactor record in the shared Int32Array: five words. */
#define SPLICE_REACTOR_WORDS 5
/* word 0 event, 1 slot, 2 value, 3 offset and 4 length of its bytes */

#endif
