/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The state machine of Symmetric TCP Splice: the one transition table.
 *
 * Each side of a flow (the client's connection, the server's) has a state with
 * the name that the thesis gives it (section 5.1). A state says what has
 * happened TOWARDS its side: FIN_RELAYED on the client's side means that the
 * server's FIN went to the client.
 *
 * Used by bpf/ (which runs it), the addon (which shows it), the tests, and a
 * kernel module. Pure C, no I/O.
 */
#ifndef SPLICE_STATES_H
#define SPLICE_STATES_H

#define SPLICE_SIDE_STATES(X)                                                     \
	X(CLOSE, 0)       /* no connection (yet), or a reset ended it */          \
	X(ESTABLISHED, 1) /* segments go to the socket, nobody reads it */        \
	X(PRE_SPLICED, 2) /* splice() was called, the local socket still owns bytes */ \
	X(SPLICED, 3)     /* no local socket: every segment is relayed */         \
	X(FIN_RELAYED, 4) /* a FIN went to this side */                           \
	X(SHUTDOWN, 5)    /* and this side has acknowledged it */                 \
	X(TIMEWAIT, 6)    /* both sides are SHUTDOWN; 2 MSL from now it is gone */

#define SPLICE_SIDE_EVENTS(X)                                                      \
	X(CONNECT, 0)   /* the connection was established */                       \
	X(SPLICE, 1)    /* splice() was called */                                  \
	X(RELEASE, 2)   /* the local sockets own nothing any more */               \
	X(FIN, 3)       /* a FIN went to this side, on whichever path */           \
	X(FIN_ACKED, 4) /* this side acknowledged just that FIN */                 \
	X(FIN_VOID, 5)  /* this side acknowledged bytes beyond it: it was forged */ \
	X(BOTH_SHUT, 6) /* the other side is SHUTDOWN, too */                      \
	X(RESET, 7)     /* a credible RST went either way */                       \
	X(EXPIRE, 8)    /* 2 MSL are over */

/* from, event, to. What is not listed does not change the state. */
#define SPLICE_SIDE_TRANSITIONS(X)              \
	X(CLOSE, CONNECT, ESTABLISHED)          \
	X(ESTABLISHED, SPLICE, PRE_SPLICED)     \
	X(PRE_SPLICED, RELEASE, SPLICED)        \
	X(PRE_SPLICED, FIN, FIN_RELAYED)        \
	X(PRE_SPLICED, RESET, CLOSE)            \
	X(SPLICED, FIN, FIN_RELAYED)            \
	X(SPLICED, RESET, CLOSE)                \
	X(FIN_RELAYED, FIN_ACKED, SHUTDOWN)     \
	X(FIN_RELAYED, FIN_VOID, SPLICED)       \
	X(FIN_RELAYED, RESET, CLOSE)            \
	X(SHUTDOWN, BOTH_SHUT, TIMEWAIT)        \
	X(SHUTDOWN, RESET, CLOSE)               \
	X(TIMEWAIT, EXPIRE, CLOSE)

#define SPLICE_ENUM_SIDE_STATE(name, value) SPLICE_SIDE_##name = value,
enum splice_side_state {
	SPLICE_SIDE_STATES(SPLICE_ENUM_SIDE_STATE)
	SPLICE_SIDE_STATES_MAX = 7,
};

#define SPLICE_ENUM_SIDE_EVENT(name, value) SPLICE_ON_##name = value,
enum splice_side_event {
	SPLICE_SIDE_EVENTS(SPLICE_ENUM_SIDE_EVENT)
	SPLICE_SIDE_EVENTS_MAX = 9,
};

/* One number for an edge: index of the per-CPU array that counts the edges taken. */
#define SPLICE_EDGE(state, event) ((state) * SPLICE_SIDE_EVENTS_MAX + (event))
#define SPLICE_EDGES_MAX (SPLICE_SIDE_STATES_MAX * SPLICE_SIDE_EVENTS_MAX)

/* The state after `event`; `state` itself when the table has no such edge. */
static inline unsigned int splice_side_next(unsigned int state, unsigned int event)
{
#define SPLICE_CASE_EDGE(from, on, to)                                    \
	if (state == SPLICE_SIDE_##from && event == SPLICE_ON_##on)       \
		return SPLICE_SIDE_##to;
	SPLICE_SIDE_TRANSITIONS(SPLICE_CASE_EDGE)
#undef SPLICE_CASE_EDGE
	return state;
}

#endif
