/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The arithmetic of the splice: how the header fields of one connection become
 * those of the other (thesis sections 5.3 and 5.4). All in host byte order.
 *
 * A direction has one delta: what it adds to SEQ. Its inverse maps what the
 * other end says about those bytes: ACK, and the edges of SACK blocks.
 *
 * Pure functions: included by bpf/, by the addon, by tests in C, C++ and BPF.
 */
#ifndef SPLICE_MAPPING_H
#define SPLICE_MAPPING_H

typedef unsigned int splice_u32;
typedef int splice_s32;

/* Sequence numbers are compared modulo 2^32, as in RFC 9293 section 3.4: right
 * while the two are less than 2^31 apart. */
static inline int splice_before(splice_u32 a, splice_u32 b)
{
	return (splice_s32)(a - b) < 0;
}

static inline int splice_after(splice_u32 a, splice_u32 b)
{
	return (splice_s32)(b - a) < 0;
}

static inline splice_u32 splice_max_seq(splice_u32 a, splice_u32 b)
{
	return splice_before(a, b) ? b : a;
}

/* What a direction adds to SEQ: byte `irs` of the source's stream leaves as `iss`. */
static inline splice_u32 splice_delta(splice_u32 irs, splice_u32 iss)
{
	return iss - irs;
}

/* SEQ of a segment, by the delta of its own direction. */
static inline splice_u32 splice_map_seq(splice_u32 seq, splice_u32 delta)
{
	return seq + delta;
}

/* ACK, or an edge of a SACK block, by the delta of the direction that it speaks of. */
static inline splice_u32 splice_map_ack(splice_u32 ack, splice_u32 delta)
{
	return ack - delta;
}

/* The window field towards the other side (RFC 7323 section 2.3). `peer_scale` is
 * the sender's shift, `own_scale` the one that the proxy announced to the
 * receiver. Rounds down: never promises more than the sender did. */
static inline splice_u32 splice_map_window(splice_u32 bytes, splice_u32 own_scale)
{
	splice_u32 field = bytes >> (own_scale & 15);

	return field > 65535 ? 65535 : field;
}

static inline splice_u32 splice_window_bytes(splice_u32 field, splice_u32 peer_scale)
{
	return field << (peer_scale & 15);
}

/* When only bytes up to `ack` may be acknowledged although the sender has said
 * `said`, its right edge must not move: the window in bytes from `ack` on. */
static inline splice_u32 splice_keep_edge(splice_u32 ack, splice_u32 said, splice_u32 bytes)
{
	splice_s32 window = (splice_s32)(said + bytes - ack);

	return window > 0 ? (splice_u32)window : 0;
}

/* Whether what the local socket promised its peer (`promised` bytes from the cut
 * on) fits what the other peer allows (`room` bytes from the mapped cut on). One
 * sixteenth of slack, because fresh sockets never fit exactly (65160 < 65536). */
static inline int splice_has_room(splice_s32 room, splice_s32 promised)
{
	return room >= promised - (promised >> 4);
}

/* The cut follows the stream at this distance, so that comparing with it never
 * wraps (S3): nothing older than that is still under way. */
#define SPLICE_CUT_DISTANCE (1u << 30)

static inline splice_u32 splice_ratchet(splice_u32 cut, splice_u32 seq)
{
	return (splice_s32)(seq - cut) > (splice_s32)SPLICE_CUT_DISTANCE ?
		       seq - SPLICE_CUT_DISTANCE : cut;
}

#endif
