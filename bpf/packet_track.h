/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay and teardown stages: what a segment tells about the state of its flow.
 *
 * Called for every segment of a flow, on whichever path it goes on. FIN and RST are hints that
 * anybody can forge who guesses the 4-tuple; the end hosts judge them (RFC 5961), and here nothing
 * ends before an acknowledgement, or an exact sequence number, confirms it.
 *
 * The segments of the two directions may run on two processors at once. Each writes its own leg;
 * what both may do is done by an atomic operation.
 */
#ifndef SPLICE_PACKET_TRACK_H
#define SPLICE_PACKET_TRACK_H

/* A window may have shrunk behind what was sent into it. */
#define OVERRUN_MOST (1u << 20)

/* The other peer may send so far: y's peer has said so, or the local socket in its place. */
static __always_inline void promise(struct splice_leg *y, __u32 edge)
{
	if (splice_after(edge, y->promised))
		y->promised = edge;
}

/* The window that LX may promise X's peer from `ack` on, of `bytes` that it would. While the engine asks
 * for it, no more than Y's peer has promised: what then waits in the sockets always fits Y's window.
 */
static __always_inline __u32 narrow(struct splice_leg *x, struct splice_leg *y, __u32 ack, __u32 bytes)
{
	__u32 room;

	if (!(x->flags & SPLICE_LEG_NARROW) || x->way != SPLICE_WAY_SLOW)
		return bytes;
	room = splice_keep_edge(ack, splice_map_ack(y->promised, x->seq_delta), 0);
	return bytes < room ? bytes : room;
}

/* Whether the peer of `x` can have sent up to `end`: the other peer allows it, or has allowed it. */
static __always_inline int is_promised(struct splice_leg *x, struct splice_leg *y, __u32 end)
{
	return !splice_after(splice_map_seq(end, x->seq_delta), y->promised + OVERRUN_MOST);
}

/* Whether X's stream, as it goes out to Y, ends at `end`, its FIN included. */
static __always_inline int is_fin_of(struct splice_leg *x, __u32 end)
{
	return (x->flags & SPLICE_LEG_FIN) && end == splice_map_seq(x->fin_end, x->seq_delta);
}

/* To ENDED, once, whoever comes first. Why and when are there before anybody can see that; of two
 * who come at once either reason is true.
 */
static __always_inline void end_flow(struct splice_flow_slot *flow, __u32 slot, __u32 reason)
{
	__u32 phase = flow->phase;

	if (phase != SPLICE_PHASE_TRANSIT && phase != SPLICE_PHASE_RELEASED)
		return;
	flow->reason = reason;
	flow->ended = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	if (__sync_val_compare_and_swap(&flow->phase, phase, SPLICE_PHASE_ENDED) != phase)
		return;
	tell(flow, slot, SPLICE_PACKET_ENDED);
}

/* At a cut: what was seen behind `seq` did not reach the socket, and comes again. What the socket took
 * unseen stays to be counted with the next segment.
 */
static __always_inline void count_from(struct splice_leg *x, __u32 seq)
{
	__u32 end = x->end;

	if (splice_after(end, seq) && __sync_val_compare_and_swap(&x->end, end, seq) == end)
		__sync_fetch_and_add(&x->bytes, -(__u64)(end - seq));
}

/* The peer of `x` acknowledges what the other peer sent: was it the FIN? */
static __always_inline void track_ack(struct splice_leg *x, struct splice_leg *y, __u32 ack,
				      __u32 window)
{
	__u32 mapped = splice_map_ack(ack, y->seq_delta);

	/* Nobody can acknowledge what has not passed here. */
	if (splice_after(mapped, y->end)) {
		if (!(y->flags & SPLICE_LEG_FIN) || mapped != y->fin_end)
			return;
		/* It has passed, but the note of it is lost: two processors wrote y->end at
		 * once. Within the stream the next segment makes up for that; none comes
		 * behind a FIN.
		 */
		__sync_fetch_and_add(&y->bytes, mapped - y->end - 1);
		y->end = mapped;
	}
	if (!splice_before(ack, x->ack))
		x->ack = ack;
	promise(x, ack + splice_window_bytes(window, x->peer_scale));
	if (!(y->flags & SPLICE_LEG_FIN))
		return;
	if (mapped == y->fin_end) {
		side_event(x, SPLICE_ON_FIN_ACKED);
	} else if (splice_after(mapped, y->fin_end) && x->state == SPLICE_SIDE_FIN_RELAYED) {
		__sync_fetch_and_and(&y->flags, ~SPLICE_LEG_FIN);
		side_event(x, SPLICE_ON_FIN_VOID);
	}
}

static __always_inline void track_fin(struct splice_leg *x, struct splice_leg *y, struct segment *seg)
{
	/* What y's peer has acknowledged of x's stream: a FIN before that is no FIN. */
	__u32 known = splice_map_ack(y->ack, x->seq_delta);

	if (!splice_after(seg->end, known) || !is_promised(x, y, seg->end))
		return;
	/* Until one is acknowledged the latest counts: the true one comes last, and again. */
	if ((x->flags & SPLICE_LEG_FIN) && y->state >= SPLICE_SIDE_SHUTDOWN)
		return;
	x->fin_end = seg->end;
	__sync_fetch_and_or(&x->flags, SPLICE_LEG_FIN);
	side_event(y, SPLICE_ON_FIN);
}

/* A reset is credible where its receiver would take it at once: at the next byte that it expects,
 * which is behind all that went there, or what it acknowledged last (RFC 5961 section 3.2). Linux
 * takes it also at the place of a FIN that it has acknowledged: whoever closes, and then gets data,
 * sends that.
 */
static __always_inline int credible_reset(struct splice_leg *x, struct splice_leg *y, struct segment *seg)
{
	__u32 acked = splice_map_ack(y->ack, x->seq_delta);

	return seg->seq == x->end || seg->seq == acked ||
	       ((x->flags & SPLICE_LEG_FIN) && acked == x->fin_end && seg->seq == acked - 1);
}

/* Both FINs acknowledged. */
static __always_inline void end_if_shut(struct splice_flow_slot *flow, __u32 slot, struct splice_leg *x,
					struct splice_leg *y)
{
	if (x->state != SPLICE_SIDE_SHUTDOWN)
		return;
	/* The other side may come here on another processor at this moment: each must see the
	 * other's state, for which its own must be out before it reads. Atomics are full barriers.
	 */
	__sync_fetch_and_or(&flow->phase, 0);
	if (y->state != SPLICE_SIDE_SHUTDOWN)
		return;
	side_event(x, SPLICE_ON_BOTH_SHUT);
	side_event(y, SPLICE_ON_BOTH_SHUT);
	end_flow(flow, slot, SPLICE_CLOSE_END);
}

/* The local sockets own nothing any more. A FIN that passes on another processor may move a side at
 * this moment, and be written over; its flag is out before, so that it can be made up for.
 */
static __always_inline void release_sides(struct splice_leg *x, struct splice_leg *y)
{
	side_event(x, SPLICE_ON_RELEASE);
	side_event(y, SPLICE_ON_RELEASE);
	if (__sync_fetch_and_or(&y->flags, 0) & SPLICE_LEG_FIN)
		side_event(x, SPLICE_ON_FIN);
	if (__sync_fetch_and_or(&x->flags, 0) & SPLICE_LEG_FIN)
		side_event(y, SPLICE_ON_FIN);
}

static __always_inline void track(struct splice_flow_slot *flow, struct segment *seg)
{
	struct splice_leg *x = &flow->leg[seg->side & 1];
	struct splice_leg *y = &flow->leg[(seg->side & 1) ^ 1];
	__u32 advance = seg->end - x->end;

	x->active = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	if (seg->flags & TCP_ACK)
		track_ack(x, y, seg->ack, seg->window);
	if (seg->flags & (TCP_FIN | TCP_RST | TCP_SYN)) {
		if (seg->flags & TCP_SYN)
			return;
		if (seg->flags & TCP_RST) {
			if (!credible_reset(x, y, seg))
				return;
			side_event(x, SPLICE_ON_RESET);
			side_event(y, SPLICE_ON_RESET);
			end_flow(flow, seg->slot,
				 seg->side == SPLICE_CLIENT ? SPLICE_CLOSE_CLIENT_RESET :
							      SPLICE_CLOSE_UPSTREAM_RESET);
			return;
		}
		track_fin(x, y, seg);
	}
	/* Segments of one direction, too, may run on two processors, when their sender moves. Who
	 * comes second counts nothing: its bytes are found with the next segment, or with the
	 * acknowledgement of the FIN.
	 */
	if ((splice_s32)advance > 0 && is_promised(x, y, seg->end) &&
	    __sync_val_compare_and_swap(&x->end, seg->end - advance, seg->end) == seg->end - advance)
		__sync_fetch_and_add(&x->bytes, advance - (seg->flags & TCP_FIN));
	end_if_shut(flow, seg->slot, x, y);
}

#endif
