/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: the answer to a segment that is too big for the other leg.
 *
 * Called at tc ingress. The sender learns of the other leg's size only from us: the packet itself
 * becomes the ICMP error that a router would send. Must not depend on what the device had still
 * to do about the segment (merged, checksum not computed).
 */
#ifndef SPLICE_PACKET_TOO_BIG_H
#define SPLICE_PACKET_TOO_BIG_H

#define ICMP_TOO_BIG_CODE 4      /* of "unreachable" */
#define ICMP6_TOO_BIG 2
#define TOS_NETWORK_CONTROL 0xc0 /* RFC 1812 section 4.3.2.5 */
#define IP_DF 0x4000

/* As much of the packet as fits in 576 bytes (RFC 1812 section 4.3.2.3), or 1280 (RFC 4443 section
 * 2.4). A packet that is too big for a leg is longer than that, else the flow was refused
 * (SPLICE_ANSWER_SMALL_SEGMENTS).
 */
#define QUOTE_V4 548
#define QUOTE_V6 1232

struct answer_v4 {
	struct iphdr ip;
	struct icmp_header icmp;
	__u8 quote[QUOTE_V4];
};

struct answer_v6 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
	__u8 quote[QUOTE_V6];
};

/* So many bytes before the answer are cut off in the end. The place where the device would compute
 * TCP's checksum is then in front of the packet, which makes the kernel forget that it was
 * asked for: nothing else that a program can do to a packet clears CHECKSUM_PARTIAL.
 */
#define DETACH 64

/* Upwards by less than `length`, hence from the end. */
static __always_inline void move_up(void *to, void *from, __u32 length)
{
	__u32 i;

	for (i = length; i > 0; i -= 4) {
		/* Else the compiler would call memmove(), which BPF has not got. */
		asm volatile("" : "+r"(i));
		*(__u32 *)(to + i - 4) = *(__u32 *)(from + i - 4);
	}
}

static __always_inline __u32 add_bytes(void *bytes, __u32 length, __u32 sum)
{
	__u32 at;

	/* bpf_csum_diff takes no more at once. */
#pragma unroll
	for (at = 0; at < length; at += 512)
		sum = bpf_csum_diff(0, 0, bytes + at, length - at < 512 ? length - at : 512, sum);
	return sum;
}

/* `size` is the IP packet's on the wire, where `packet` is several merged ones. An IPv4 packet that
 * may be fragmented gets the same answer: it costs its sender less than fragments would.
 */
static __always_inline void fill_answer_v4(struct answer_v4 *answer, struct iphdr *packet,
					   __u32 size, __u32 mtu)
{
	struct iphdr *quoted = (struct iphdr *)answer->quote;
	__u32 length = sizeof(*answer) - sizeof(answer->ip);
	__u32 sum;

	move_up(answer->quote, packet, sizeof(answer->quote));
	sum = (__u16)~quoted->check + (__u16)~quoted->tot_len;
	quoted->tot_len = bpf_htons(size);
	quoted->check = fold(sum + quoted->tot_len);

	answer->icmp.type = ICMP_UNREACHABLE;
	answer->icmp.code = ICMP_TOO_BIG_CODE;
	answer->icmp.check = 0;
	answer->icmp.info = bpf_htonl(mtu);
	answer->icmp.check = fold(add_bytes(&answer->icmp, length, 0));

	answer->ip.version = 4;
	answer->ip.ihl = sizeof(answer->ip) / 4;
	answer->ip.tos = TOS_NETWORK_CONTROL;
	answer->ip.tot_len = bpf_htons(sizeof(*answer));
	answer->ip.id = 0;
	answer->ip.frag_off = bpf_htons(IP_DF);
	answer->ip.ttl = HOPS;
	answer->ip.protocol = IPPROTO_ICMP;
	answer->ip.check = 0;
	answer->ip.saddr = packet->daddr;
	answer->ip.daddr = packet->saddr;
	answer->ip.check = fold(add_bytes(&answer->ip, sizeof(answer->ip), 0));
}

static __always_inline void fill_answer_v6(struct answer_v6 *answer, struct ipv6hdr *packet,
					   __u32 size, __u32 mtu)
{
	__u32 length = sizeof(*answer) - sizeof(answer->ip);
	__u32 sum;

	move_up(answer->quote, packet, sizeof(answer->quote));
	((struct ipv6hdr *)answer->quote)->payload_len = bpf_htons(size - sizeof(*packet));

	answer->ip.version = 6;
	answer->ip.priority = 0;
	__builtin_memset(answer->ip.flow_lbl, 0, sizeof(answer->ip.flow_lbl));
	answer->ip.payload_len = bpf_htons(length);
	answer->ip.nexthdr = IPPROTO_ICMPV6;
	answer->ip.hop_limit = HOPS;
	answer->ip.saddr = packet->daddr;
	answer->ip.daddr = packet->saddr;

	answer->icmp.type = ICMP6_TOO_BIG;
	answer->icmp.code = 0;
	answer->icmp.check = 0;
	answer->icmp.info = bpf_htonl(mtu);
	/* With the pseudo-header: addresses, and two small numbers whose sum is no bigger. */
	sum = add_bytes(&answer->ip.saddr, 32, bpf_htonl(length + IPPROTO_ICMPV6));
	answer->icmp.check = fold(add_bytes(&answer->icmp, length, sum));
}

static __always_inline int fill_answer(struct __sk_buff *skb, struct segment *seg, __u32 payload,
				       __u32 limit)
{
	__u32 size = payload + seg->header + (seg->l4 - seg->l3);
	__u32 mtu = limit + sizeof(struct tcphdr) + (seg->l4 - seg->l3);
	void *data = data_of(skb), *end = end_of(skb);
	void *packet = data + (seg->l3 & L3_MOST);

	if (seg->l3 == ETH_HLEN) {
		struct ethhdr *ethernet = data;
		__u8 host[ETH_ALEN];

		if ((void *)(ethernet + 1) > end)
			return -1;
		__builtin_memcpy(host, ethernet->h_dest, ETH_ALEN);
		__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
		__builtin_memcpy(ethernet->h_source, host, ETH_ALEN);
	}
	if (seg->ip6) {
		struct answer_v6 *answer = packet + DETACH;

		if ((void *)(answer + 1) > end)
			return -1;
		fill_answer_v6(answer, packet, size, mtu);
	} else {
		struct answer_v4 *answer = packet + DETACH;

		if ((void *)(answer + 1) > end)
			return -1;
		fill_answer_v4(answer, packet, size, mtu);
	}
	return 0;
}

/* Turns a segment that is too big for the other leg into the answer of a router to its sender. The
 * answer comes from the address that the sender knows, and goes back where the segment came from.
 */
FUNCTION int answer_too_big(struct __sk_buff *skb, struct splice_flow_slot *flow,
			    struct segment *seg)
{
	__u32 tick = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	__u32 payload, quoted, length;
	struct splice_leg *x, *y;

	if (!flow || !seg)
		return TC_ACT_SHOT;
	x = &flow->leg[seg->side & 1];
	y = &flow->leg[(seg->side & 1) ^ 1];
	quoted = seg->ip6 ? QUOTE_V6 : QUOTE_V4;
	length = seg->ip6 ? sizeof(struct answer_v6) : sizeof(struct answer_v4);
	payload = skb->gso_size ? skb->gso_size : seg->length;
	/* One answer tells it all; the rest of the window that was under way needs none. */
	if (x->told == (__u16)tick || skb->len < seg->l3 + quoted)
		return leave(SPLICE_COUNT_DROP_TOO_BIG, TC_ACT_SHOT);
	x->told = tick;
	if (bpf_skb_change_tail(skb, seg->l3 + DETACH + length, 0) ||
	    fill_answer(skb, seg, payload, y->limit) ||
	    bpf_skb_adjust_room(skb, -DETACH, BPF_ADJ_ROOM_MAC, 0))
		return leave(SPLICE_COUNT_DROP_TOO_BIG, TC_ACT_SHOT);
	skb->mark = SPLICE_MARK_RELAY;
	count(SPLICE_COUNT_TOO_BIG);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
