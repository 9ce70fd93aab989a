/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: the short path, for the segments that nearly all are: in the middle of a stream, no
 * IP options, no TCP options but timestamps where they usually stand (RFC 7323 appendix A), ECN
 * alike on both legs.
 *
 * Called first for a flow without sockets. Does what relay_released() and emit() do, on the packet
 * itself: no copy of the header, and sums of just the words that change.
 */
#ifndef SPLICE_PACKET_USUAL_H
#define SPLICE_PACKET_USUAL_H

#define USUAL_HEADER 32

/* What a word's change means to a one's complement sum: 64 bits take many before they fold. */
static __always_inline void change(__u64 *sum, __be32 *word, __be32 value)
{
	*sum += (__u64)value + (__u32)~*word;
	*word = value;
}

static __always_inline __u32 fold_to_32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

/* Words as they lie in the header. */
struct usual_header {
	__be32 ports;
	__be32 seq;
	__be32 ack;
	__be16 flags;
	__be16 window;
	__be32 check;
	__be32 kinds;
	__be32 value;
	__be32 echo;
};

static __always_inline void change_tcp(struct splice_leg *x, struct splice_leg *y, struct segment *seg,
				       struct usual_header *tcp, __u64 *sum)
{
	__be16 window = bpf_htons(splice_map_window(splice_window_bytes(seg->window, x->peer_scale),
						    y->own_scale));
	__be32 ports;

	((__be16 *)&ports)[0] = y->key.local_port;
	((__be16 *)&ports)[1] = y->key.remote_port;
	change(sum, &tcp->ports, ports);
	change(sum, &tcp->seq, bpf_htonl(splice_map_seq(seg->seq, x->seq_delta)));
	change(sum, &tcp->ack, bpf_htonl(splice_map_ack(seg->ack, y->seq_delta)));
	*sum += (__u64)window + (__u16)~tcp->window;
	tcp->window = window;
	if (x->flags & SPLICE_LEG_TIMESTAMPS) {
		change(sum, &tcp->value, bpf_htonl(bpf_ntohl(tcp->value) + x->ts_delta));
		change(sum, &tcp->echo, bpf_htonl(bpf_ntohl(tcp->echo) - y->ts_delta));
	}
}

/* Addresses, hop limit, and TCP's words. Zero: not usual, and nothing was touched. */
static __always_inline int change_usual(struct __sk_buff *skb, struct segment *seg, struct splice_leg *x,
					struct splice_leg *y, __u64 *sum, __u64 *addresses)
{
	void *data = data_of(skb), *end = end_of(skb);
	struct usual_header *tcp;
	__be32 to[8];
	__u32 header;
	int i;

	if (seg->ip6) {
		struct ipv6hdr *ip = data + (seg->l3 & L3_MOST);
		__be32 *from = (__be32 *)&ip->saddr;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || tcp->kinds != bpf_htonl(USUAL_OPTIONS))
			return 0;
		__builtin_memcpy(to, y->key.local, 16);
		__builtin_memcpy(to + 4, y->key.remote, 16);
		for (i = 0; i < 8; i++)
			change(addresses, from + i, to[i]);
		ip->hop_limit--;
		change_tcp(x, y, seg, tcp, sum);
	} else {
		struct iphdr *ip = data + (seg->l3 & L3_MOST);

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || tcp->kinds != bpf_htonl(USUAL_OPTIONS))
			return 0;
		__builtin_memcpy(to, y->key.local + 12, 4);
		__builtin_memcpy(to + 1, y->key.remote + 12, 4);
		change(addresses, &ip->saddr, to[0]);
		change(addresses, &ip->daddr, to[1]);
		ip->ttl--;
		header = fold_to_32(*addresses + (__u16)~bpf_htons(0x0100)); /* one hop less */
		ip->check = fold((__u16)~ip->check + (header & 0xffff) + (header >> 16));
		change_tcp(x, y, seg, tcp, sum);
	}
	return 1;
}

/* Not for the kernel: not usual, nothing was touched, go the long way. */
#define ACT_UNUSUAL 1001

FUNCTION int relay_usual(struct __sk_buff *skb, struct splice_flow_slot *flow, struct segment *seg)
{
	__u64 sum = 0, addresses = 0;
	struct splice_leg *x, *y;
	int action;

	if (!flow || !seg)
		return TC_ACT_SHOT;
	x = &flow->leg[seg->side & 1];
	y = &flow->leg[(seg->side & 1) ^ 1];
	if (seg->header != USUAL_HEADER || seg->extra || seg->fragment ||
	    (seg->flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK ||
	    ((x->flags ^ y->flags) & SPLICE_LEG_ECN) || too_big(skb, seg, y))
		return ACT_UNUSUAL;
	if (router_duties(skb, seg, x, y, &action))
		return action;
	if (!change_usual(skb, seg, x, y, &sum, &addresses))
		return ACT_UNUSUAL;
	track(flow, seg);
	if (bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, 0, fold_to_32(sum), 0) ||
	    bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, 0, fold_to_32(addresses), BPF_F_PSEUDO_HDR))
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	skb->mark = SPLICE_MARK_RELAY;
	count(SPLICE_COUNT_RELAYED);
	x->segments++;
	return send_out(skb, seg, y, SPLICE_LEG(seg->slot, (seg->side & 1) ^ 1), x->active);
}

#endif
