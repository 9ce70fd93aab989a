/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: segments of a flow that has no local sockets (any more). The steady state, and so
 * the path that must be short.
 *
 * Called at tc ingress, softirq. Nothing that belongs to such a flow may reach the host's TCP:
 * it has no socket for it and would answer with RST (S10).
 */
#ifndef SPLICE_PACKET_RELAY_H
#define SPLICE_PACKET_RELAY_H

/* Bytes of options and payload in one segment on the wire. */
static __always_inline __u32 wire_size(struct __sk_buff *skb, struct segment *seg)
{
	__u32 payload = skb->gso_size ? skb->gso_size : seg->length;

	return payload + seg->header - sizeof(struct tcphdr);
}

static __always_inline int too_big(struct __sk_buff *skb, struct segment *seg, struct splice_leg *y)
{
	return y->limit && wire_size(skb, seg) > y->limit;
}

/* What a router owes every packet, and ECN where only one leg has it. 0: go on. */
static __always_inline int router_duties(struct __sk_buff *skb, struct segment *seg,
					 struct splice_leg *x, struct splice_leg *y, int *action)
{
	void *data = data_of(skb), *end = end_of(skb);
	__u32 hops, ecn;

	if (seg->ip6) {
		struct ipv6hdr *ip = data + (seg->l3 & L3_MOST);

		if ((void *)(ip + 1) > end)
			return 0;
		hops = ip->hop_limit;
		ecn = ip->flow_lbl[0] >> 4 & ECN_MASK;
	} else {
		struct iphdr *ip = data + (seg->l3 & L3_MOST);

		if ((void *)(ip + 1) > end)
			return 0;
		hops = ip->ttl;
		ecn = ip->tos & ECN_MASK;
	}
	if (hops <= 1) {
		*action = leave(SPLICE_COUNT_DROP_TTL, TC_ACT_SHOT);
		return 1;
	}
	/* The receiver could not echo the mark, so the sender would never slow down: the loss
	 * of the segment tells it (RFC 6040 section 4.2). A sender without ECN made no mark, and
	 * would not get around losing every segment.
	 */
	if (ecn == ECN_CE && (x->flags & SPLICE_LEG_ECN) && !(y->flags & SPLICE_LEG_ECN)) {
		*action = leave(SPLICE_COUNT_DROP_CE, TC_ACT_SHOT);
		return 1;
	}
	return 0;
}

FUNCTION int relay_released(struct __sk_buff *skb, struct splice_flow_slot *flow,
				     struct segment *seg)
{
	struct outgoing out = {};
	struct splice_leg *x, *y;
	int action;

	if (!flow || !seg)
		return TC_ACT_SHOT;
	x = &flow->leg[seg->side & 1];
	y = &flow->leg[(seg->side & 1) ^ 1];
	if (seg->fragment)
		return leave(SPLICE_COUNT_DROP_FRAGMENT, TC_ACT_SHOT);
	if (seg->extra && (seg->ip6 || remove_options(skb, seg)))
		return leave(SPLICE_COUNT_DROP_EXTENSION, TC_ACT_SHOT);
	if (router_duties(skb, seg, x, y, &action))
		return action;
	if (too_big(skb, seg, y))
		return answer_too_big(skb, flow, seg);
	/* The end of a flow is rare enough to make sure that it is no damage. */
	if ((seg->flags & (TCP_FIN | TCP_RST)) && !checksum_holds(skb, seg))
		return leave(SPLICE_COUNT_DROP_CHECKSUM, TC_ACT_SHOT);
	track(flow, seg);
	out.seq = splice_map_seq(seg->seq, x->seq_delta);
	out.ack = splice_map_ack(seg->ack, y->seq_delta);
	out.window = splice_window_bytes(seg->window, x->peer_scale);
	return emit(skb, flow, seg, &out);
}

#endif
