/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the programs of bpf/packet.bpf.c count, in segments: slots of the per-CPU
 * array `counters`. Every exit of a program has one; "note" marks what is counted
 * on the way to an exit.
 */
#ifndef SPLICE_PACKET_COUNTERS_H
#define SPLICE_PACKET_COUNTERS_H

#define SPLICE_PACKET_COUNTERS(X)                                                             \
	/* Ingress, not ours: passed on untouched, the next filter may look. */               \
	X(NOT_IP, 0)           /* neither IPv4 nor IPv6 */                                    \
	X(NOT_TCP, 1)          /* another protocol, and no ICMP about a flow */               \
	X(SHORT, 2)            /* headers cut off, or longer than they may be */              \
	X(NO_FLOW, 3)          /* TCP, but no flow of ours */                                 \
	/* Ingress, relay. */                                                                 \
	X(RELAYED, 4)          /* rewritten and sent out on the other leg */                  \
	X(RELAYED_TRANSIT, 5)  /* the same while local sockets still exist */                 \
	X(RELAYED_ACK, 6)      /* note: only its acknowledgement, the payload went to the socket */ \
	/* Ingress, given to the local socket of a flow in transit. */                        \
	X(LOCAL_SLOW, 7)       /* the direction is not cut over yet */                        \
	X(LOCAL_OLD, 8)        /* bytes before the cut, come again */                         \
	X(LOCAL_ACK, 9)        /* acknowledges only what the local socket sent */             \
	X(LOCAL_COPY, 10)      /* header of a relayed segment, for its acknowledgement */     \
	X(LOCAL_SYN, 11)       /* a SYN on a living flow: the socket challenges it */         \
	X(LOCAL_FRAGMENT, 12)  /* an IP fragment, its direction not cut over yet: reassembled first */ \
	X(LOCAL_ORPHAN, 13)    /* its flow has lost a socket, or was removed for want of both */ \
	X(LOCAL_REUSE, 14)     /* a SYN took an ended flow's place */                         \
	/* Ingress, dropped. */                                                               \
	X(DROP_LATE_COPY, 15)  /* a copy for a socket that was released meanwhile */          \
	X(DROP_CHECKSUM, 16)   /* damaged, where its header would be believed: in transit, or FIN or RST */  \
	X(DROP_CE, 17)         /* marked "congestion experienced", from a leg with ECN to one without (RFC 6040) */ \
	X(DROP_TTL, 18)        /* hop limit used up */                                        \
	X(DROP_FRAGMENT, 19)   /* an IP fragment: the flow has no sockets, or its direction is cut over */ \
	X(DROP_EXTENSION, 20)  /* IPv6 extension headers, where a fragment is dropped; or IPv4 options that did not come off */ \
	X(DROP_TRIM, 21)       /* cutting off the payload failed, for want of memory */       \
	X(DROP_REWRITE, 22)    /* rewriting failed, for want of memory */                     \
	X(DROP_TOO_BIG, 23)    /* too big for the other leg, and the sender could not be told */ \
	X(TOO_BIG, 24)         /* too big for the other leg: the sender was told by ICMP */   \
	/* Ingress, notes. */                                                                 \
	X(CUT, 25)             /* note: a direction was cut over by a segment */              \
	X(WAIT_PROOF, 26)      /* note: not cut, a leg's segments were not seen yet */        \
	X(WAIT_NEXT, 27)       /* note: not cut, the segment is not the next one */           \
	X(WAIT_BUSY, 28)       /* note: not cut, the local socket is at work */               \
	X(WAIT_HOLE, 29)       /* note: not cut, out-of-order bytes are queued */             \
	X(WAIT_ROOM, 30)       /* note: not cut, the other peer's window is smaller than promised */ \
	X(WAIT_SIZE, 31)       /* note: not cut, the segment is too big for the other leg */  \
	X(COPY_FAILED, 32)     /* note: no memory for the local socket's copy; it retransmits */ \
	X(OPTIONS_REMOVED, 33) /* note: IP options were taken off */                          \
	X(EVENT_LOST, 34)      /* note: the ring buffer was full; the sweep finds out */      \
	/* ICMP at ingress. */                                                                \
	X(ICMP_NO_FLOW, 35)    /* passed: about no flow of ours */                            \
	X(ICMP_LOCAL, 36)      /* passed: about a flow in transit, its socket listens */      \
	X(ICMP_TRANSLATED, 37) /* passed on to the other end, with the quoted header as that end sent it */ \
	X(ICMP_DROPPED, 38)    /* about a released flow, but cannot be translated */          \
	/* Egress. */                                                                         \
	X(GUARD_NOT_OURS, 39)  /* passed: no TCP segment of a flow */                         \
	X(GUARD_RELAYED, 40)   /* passed: relayed by us */                                    \
	X(GUARD_LOCAL, 41)     /* passed: from the local socket of a flow in transit */       \
	X(GUARD_SILENCED, 42)  /* dropped: a released flow has no local socket any more */    \
	X(GUARD_FIN, 43)       /* dropped: a local FIN in a direction that is relayed */      \
	X(GUARD_ACK_RAISED, 44) /* note: acknowledgement raised to what was relayed (S1) */   \
	X(GUARD_SEQ_RAISED, 45) /* note: sequence number raised to what was relayed (S2) */   \
	X(GUARD_SYN, 46)       /* passed: a SYN of ours, options aligned with the client's leg */ \
	/* Control. */                                                                        \
	X(CONTROL_DONE, 47)    /* answered as asked */                                        \
	X(CONTROL_NOT_YET, 48) /* answered: later */                                          \
	X(CONTROL_REFUSED, 49) /* answered: no */

#define SPLICE_ENUM_PACKET_COUNTER(name, value) SPLICE_COUNT_##name = value,
enum splice_packet_counter {
	SPLICE_PACKET_COUNTERS(SPLICE_ENUM_PACKET_COUNTER)
	SPLICE_PACKET_COUNTERS_MAX = 50,
};

#endif
