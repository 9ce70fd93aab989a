/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Splice and teardown stages, outgoing: what the local sockets of a flow may still say.
 *
 * Called at tc egress for every packet that leaves through a leg's device. In transit a local
 * socket speaks with stale numbers once bytes were relayed past it; its peer would drop even its
 * data (RFC 5961 section 5.2). After the release it must not speak at all.
 */
#ifndef SPLICE_PACKET_GUARD_H
#define SPLICE_PACKET_GUARD_H

/* Puts sequence number, acknowledgement and window into a segment of ours. */
static __always_inline int correct(struct __sk_buff *skb, struct segment *seg, __u32 seq, __u32 ack,
				   __u32 window)
{
	__be32 old[4], new[4];

	if (bpf_skb_load_bytes(skb, seg->l4, old, sizeof(old)))
		return -1;
	__builtin_memcpy(new, old, sizeof(new));
	new[1] = bpf_htonl(seq);
	new[2] = bpf_htonl(ack);
	((__be16 *)new)[7] = bpf_htons(window);
	if (bpf_skb_store_bytes(skb, seg->l4, new, sizeof(new), 0))
		return -1;
	return bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, 0,
				   bpf_csum_diff(old, sizeof(old), new, sizeof(new), 0), 0);
}

FUNCTION int guard_flow(struct __sk_buff *skb, struct splice_flow_slot *flow, struct segment *seg)
{
	__u32 seq, ack, window, top;
	struct splice_leg *x, *y;

	if (!flow || !seg)
		return TC_ACT_UNSPEC;
	x = &flow->leg[seg->side & 1]; /* to whose peer it goes */
	y = &flow->leg[(seg->side & 1) ^ 1];
	if (flow->phase != SPLICE_PHASE_TRANSIT)
		return leave(SPLICE_COUNT_GUARD_SILENCED, TC_ACT_SHOT);
	if (seg->flags & TCP_SYN)
		return leave(SPLICE_COUNT_GUARD_LOCAL, TC_ACT_UNSPEC);
	if (x->ifindex != skb->ifindex)
		x->ifindex = skb->ifindex;
	ack = seg->ack;
	window = seg->window;
	if (seg->flags & TCP_ACK) {
		window = splice_map_window(narrow(x, y, ack, splice_window_bytes(window, x->own_scale)),
					   x->own_scale);
		promise(y, splice_map_seq(ack + splice_window_bytes(window, x->own_scale), x->seq_delta));
	}
	/* A FIN behind relayed bytes comes from a process that died, and would end a stream that
	 * goes on. The engine shuts a socket down only behind bytes that it pumped, of which the
	 * last may have been on their way to the other socket at the cut, and the peer's FIN with
	 * them.
	 */
	if (y->way == SPLICE_WAY_FAST) {
		if ((seg->flags & TCP_FIN) && !is_fin_of(y, seg->end) &&
		    splice_after(seg->end, splice_map_seq(y->cut, y->seq_delta)))
			return leave(SPLICE_COUNT_GUARD_FIN, TC_ACT_SHOT);
		if ((seg->flags & TCP_RST) && x->way == SPLICE_WAY_FAST)
			return leave(SPLICE_COUNT_GUARD_FIN, TC_ACT_SHOT);
	}

	seq = seg->seq;
	if ((x->flags & SPLICE_LEG_EDGE) && (seg->flags & TCP_ACK) && splice_before(ack, x->edge_ack)) {
		ack = x->edge_ack;
		window = x->edge_window;
		count(SPLICE_COUNT_GUARD_ACK_RAISED);
	}
	/* A bare acknowledgement from before what the peer has is discarded unread (S2), and a
	 * reset from there is only challenged.
	 */
	top = splice_map_seq(y->end, y->seq_delta);
	if (!seg->length && !(seg->flags & TCP_FIN) && y->way == SPLICE_WAY_FAST &&
	    splice_before(seq, top)) {
		seq = top;
		count(SPLICE_COUNT_GUARD_SEQ_RAISED);
	}
	if ((seq != seg->seq || ack != seg->ack || window != seg->window) &&
	    correct(skb, seg, seq, ack, window))
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	return leave(SPLICE_COUNT_GUARD_LOCAL, TC_ACT_UNSPEC);
}

static __always_inline int guard(struct __sk_buff *skb, __u32 l2)
{
	struct splice_flow_slot *flow;
	struct segment seg = {};
	struct splice_key key;
	__u32 *leg;

	if (skb->mark == SPLICE_MARK_RELAY) {
		if (l2 && is_learning())
			learn_next_hop(skb);
		return leave(SPLICE_COUNT_GUARD_RELAYED, TC_ACT_UNSPEC);
	}
	if (parse(skb, l2, 1, &seg, &key) != PARSED_SEGMENT)
		return leave(SPLICE_COUNT_GUARD_NOT_OURS, TC_ACT_UNSPEC);
	leg = bpf_map_lookup_elem(&legs, &key);
	if (!leg) {
		if ((seg.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			return align_syn(skb, &seg, &key);
		return leave(SPLICE_COUNT_GUARD_NOT_OURS, TC_ACT_UNSPEC);
	}
	seg.side = *leg & 1;
	seg.slot = *leg >> 1;
	flow = bpf_map_lookup_elem(&flows, &seg.slot);
	if (!flow)
		return leave(SPLICE_COUNT_GUARD_NOT_OURS, TC_ACT_UNSPEC);
	if (flow->phase == SPLICE_PHASE_ENDED && (seg.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		/* The tuple is used again, by us (S9). */
		forget_keys(flow);
		return align_syn(skb, &seg, &key);
	}
	return guard_flow(skb, flow, &seg);
}

#endif
