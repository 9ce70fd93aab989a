/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The contract of the sockmap backend: what bpf/sockmap.bpf.c and addon/sockmap.cc share.
 *
 * A flow has two halves. A half is one direction, named by its SOURCE socket:
 * bytes that arrive on the source leave through the target. The key of every
 * map is the kernel's cookie of the source (SO_COOKIE), never reused while the
 * machine is up, so that no entry can mean another connection later.
 *
 * A sockmap has no backpressure: the source's window reopens as soon as a
 * segment was redirected, however long the target's queue is. The verdict
 * therefore redirects only while fewer than `limit` bytes are on their way to
 * the target's peer, and else leaves the bytes in the source's own receive
 * queue, where the window of TCP does what it is for. The pump thread copies
 * those. The verdict redirects again when the pump says (map `copied`) that it
 * has handed over every byte that was left to it: so order is kept without any
 * lock between the two.
 */
#ifndef SPLICE_SOCKMAP_H
#define SPLICE_SOCKMAP_H

#include "abi.h"

#ifndef __cplusplus
#define SPLICE_SOCKMAP_ASSERT _Static_assert
#else
#define SPLICE_SOCKMAP_ASSERT static_assert
#endif

/* Bytes redirected and not yet acknowledged by the target's peer, per half. */
#define SPLICE_SOCKMAP_LIMIT_DEFAULT (8u << 20)

/* Halves (two a flow) that the maps hold when the loader sets no size. */
#define SPLICE_SOCKMAP_HALVES_DEFAULT 16384

/**
 * struct splice_sockmap_half - one direction; value of map `halves`
 * @redirected: bytes sent to the target by the verdict (verdict writes)
 * @passed: bytes left in the source's receive queue for the pump (verdict writes)
 * @lost: bytes eaten because the target vanished between test and redirect; the
 *	flow is then reset, they had nowhere to go (verdict writes)
 * @base: bytes the target's peer will have acknowledged when all that was sent
 *	before the hand-over has arrived: the zero of this half (pump writes once)
 * @limit: most bytes on their way to the target's peer before the verdict
 *	leaves bytes to the pump (pump writes once)
 * @next_seq: TCP sequence number of the byte that must come next (verdict writes)
 * @next_known: whether @next_seq was set; 0 at first (verdict writes)
 *
 * Host byte order. The pump writes an entry before it inserts the sockets and
 * never again: an update from user space would overwrite the verdict's counts.
 */
struct splice_sockmap_half {
	unsigned long long redirected;
	unsigned long long passed;
	unsigned long long lost;
	unsigned long long base;
	unsigned long long limit;
	unsigned int next_seq;
	unsigned int next_known;
};

SPLICE_SOCKMAP_ASSERT(sizeof(struct splice_sockmap_half) == 48, "half: layout is ABI");

/* What the verdict program counts, in segments: its exits in the order in which
 * they are tried, then what happened on the way. Slots of the per-CPU map `counters`.
 */
#define SPLICE_SOCKMAP_COUNTERS(X)                                                   \
	X(NO_HALF, 0)      /* passed: source has no entry, its flow is being removed */ \
	X(EMPTY, 1)        /* dropped: no byte left in it, as in a bare FIN */          \
	X(BEHIND_COPY, 2)  /* passed: earlier bytes still wait for the pump */          \
	X(NO_TARGET, 3)    /* passed: target is not (or no longer) in the map */        \
	X(NOT_TCP, 4)      /* passed: target is no TCP socket; the pump never does that */ \
	X(OVER_LIMIT, 5)   /* passed: the target's peer is slower than the source */    \
	X(TARGET_LOST, 6)  /* dropped: target closed between test and redirect */       \
	X(REDIRECTED, 7)   /* redirected to the target */                               \
	X(TRIMMED, 8)      /* not an exit: bytes that had come before were cut off */   \
	X(NOT_TRIMMED, 9)  /* dropped: cutting failed for want of memory; flow is broken */

#define SPLICE_ENUM_SOCKMAP_COUNTER(name, value) SPLICE_SOCKMAP_##name = value,
enum splice_sockmap_counter {
	SPLICE_SOCKMAP_COUNTERS(SPLICE_ENUM_SOCKMAP_COUNTER)
	SPLICE_SOCKMAP_COUNTERS_MAX = 10,
};

#endif
