/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: what a router owes the sender of a segment besides forwarding it.
 *
 * Called at tc ingress. A flow without local sockets has nobody else who could say that a segment
 * is too big, or hear that a router behind us said so. Must not give the host an error about such
 * a flow, nor pass on one that its sender could not have caused (RFC 5927 section 4).
 */
#ifndef SPLICE_PACKET_ICMP_H
#define SPLICE_PACKET_ICMP_H

#include <linux/icmp.h>
#include <linux/icmpv6.h>

#define HOPS 64                 /* of what we send on our own behalf */
#define TOS_NETWORK_CONTROL 0xc0 /* RFC 1812 section 4.3.2.5 */
#define IP_DF 0x4000

/* Takes IPv4 options off (thesis section 5.2.1). Negative when that failed. */
FUNCTION int remove_options(struct __sk_buff *skb, struct segment *seg)
{
	__u32 extra;
	struct iphdr ip;
	__u32 sum;

	if (!seg)
		return -1;
	extra = seg->extra;
	if (bpf_skb_load_bytes(skb, seg->l3, &ip, sizeof(ip)) ||
	    bpf_skb_adjust_room(skb, -(__s32)extra, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -1;
	ip.ihl = sizeof(ip) / 4;
	ip.tot_len = bpf_htons(bpf_ntohs(ip.tot_len) - extra);
	ip.check = 0;
	sum = bpf_csum_diff(0, 0, (__be32 *)&ip, sizeof(ip), 0);
	ip.check = fold(sum);
	if (bpf_skb_store_bytes(skb, seg->l3, &ip, sizeof(ip), 0))
		return -1;
	seg->l4 -= extra;
	seg->extra = 0;
	count(SPLICE_COUNT_OPTIONS_REMOVED);
	return 0;
}

/* As much of the packet as fits in 576 bytes (RFC 1812 section 4.3.2.3), or 1280 (RFC 4443 section
 * 2.4). A packet that is too big for a leg is longer than that, else the flow was refused
 * (SPLICE_ANSWER_SMALL_SEGMENTS).
 */
struct answer_v4 {
	struct iphdr ip;
	struct icmphdr icmp;
	__u8 quote[548];
};

struct answer_v6 {
	struct ipv6hdr ip;
	struct icmp6hdr icmp;
	__u8 quote[1232];
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
	__u32 sum;

	move_up(answer->quote, packet, sizeof(answer->quote));
	sum = (__u16)~quoted->check + (__u16)~quoted->tot_len;
	quoted->tot_len = bpf_htons(size);
	quoted->check = fold(sum + quoted->tot_len);

	answer->icmp.type = ICMP_DEST_UNREACH;
	answer->icmp.code = ICMP_FRAG_NEEDED;
	answer->icmp.checksum = 0;
	answer->icmp.un.frag.__unused = 0;
	answer->icmp.un.frag.mtu = bpf_htons(mtu);
	answer->icmp.checksum =
		fold(add_bytes(&answer->icmp, sizeof(*answer) - sizeof(answer->ip), 0));

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

	answer->icmp.icmp6_type = ICMPV6_PKT_TOOBIG;
	answer->icmp.icmp6_code = 0;
	answer->icmp.icmp6_cksum = 0;
	answer->icmp.icmp6_mtu = bpf_htonl(mtu);
	/* With the pseudo-header: addresses, and two small numbers whose sum is no bigger. */
	answer->icmp.icmp6_cksum = fold(add_bytes(
		&answer->ip.saddr, 32, add_bytes(&answer->icmp, length, bpf_htonl(length + IPPROTO_ICMPV6))));
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
FUNCTION int answer_too_big(struct __sk_buff *skb, struct splice_flow_slot *flow, struct segment *seg)
{
	__u32 tick = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	__u32 payload, quoted, length;
	struct splice_leg *x, *y;

	if (!flow || !seg)
		return TC_ACT_SHOT;
	x = &flow->leg[seg->side & 1];
	y = &flow->leg[(seg->side & 1) ^ 1];
	quoted = seg->ip6 ? sizeof(((struct answer_v6 *)0)->quote) : sizeof(((struct answer_v4 *)0)->quote);
	length = seg->ip6 ? sizeof(struct answer_v6) : sizeof(struct answer_v4);
	payload = skb->gso_size ? skb->gso_size : seg->length;
	/* One answer tells it all; the rest of the window that was under way needs none. */
	if (x->told == tick || skb->len < seg->l3 + quoted)
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

/* What an ICMP error says of a segment that went to a leg's peer. */
struct error {
	__u32 icmp;   /* offset of the ICMP header */
	__u32 quote;  /* offset of the quoted IP header */
	__u32 tcp;    /* offset of the quoted TCP header */
	__u32 ip6;
	__u32 seq;
	__u32 broken; /* IPv4 options, or a part of a packet: cannot be passed on */
};

/* Of the quoted TCP header every quote has this (RFC 792), and an end host looks at no more. */
struct quoted_tcp {
	__be16 source;
	__be16 dest;
	__be32 seq;
};

static __always_inline int read_quote(struct __sk_buff *skb, struct error *error, struct splice_key *key)
{
	struct quoted_tcp tcp;

	if (bpf_skb_load_bytes(skb, error->tcp, &tcp, sizeof(tcp)))
		return -1;
	key->remote_port = tcp.dest;
	key->local_port = tcp.source;
	error->seq = bpf_ntohl(tcp.seq);
	return 0;
}

/* Fills `error`, and `key` as the quoted segment's receiver would name its connection. Negative when
 * it is no error about a TCP segment. A redirect is about this host's routes: not one of ours.
 */
static __always_inline int read_error_v4(struct __sk_buff *skb, __u32 l2, struct error *error,
					 struct splice_key *key)
{
	struct iphdr ip;
	__be32 host;
	__u8 type;

	if (bpf_skb_load_bytes(skb, l2, &ip, sizeof(ip)) || (ip.frag_off & bpf_htons(IP_OFFSET)))
		return -1;
	host = ip.daddr;
	error->ip6 = 0;
	error->broken = ip.ihl != sizeof(ip) / 4 || (ip.frag_off & bpf_htons(IP_MF));
	error->icmp = l2 + ip.ihl * 4;
	error->quote = error->icmp + sizeof(struct icmphdr);
	if (bpf_skb_load_bytes(skb, error->icmp, &type, sizeof(type)) ||
	    (type != ICMP_DEST_UNREACH && type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETERPROB) ||
	    bpf_skb_load_bytes(skb, error->quote, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP ||
	    (ip.frag_off & bpf_htons(IP_OFFSET)) || ip.saddr != host)
		return -1;
	error->broken |= ip.ihl != sizeof(ip) / 4;
	error->tcp = error->quote + ip.ihl * 4;
	key_v4(key, ip.daddr, ip.saddr);
	return read_quote(skb, error, key);
}

static __always_inline int read_error_v6(struct __sk_buff *skb, __u32 l2, struct error *error,
					 struct splice_key *key)
{
	struct ipv6hdr ip;
	__be32 host[4];
	__u8 type;

	error->ip6 = 1;
	error->broken = 0;
	error->icmp = l2 + sizeof(ip);
	error->quote = error->icmp + sizeof(struct icmp6hdr);
	error->tcp = error->quote + sizeof(ip);
	if (bpf_skb_load_bytes(skb, l2 + offsetof(struct ipv6hdr, daddr), host, sizeof(host)) ||
	    bpf_skb_load_bytes(skb, error->icmp, &type, sizeof(type)) ||
	    type < ICMPV6_DEST_UNREACH || type > ICMPV6_PARAMPROB ||
	    bpf_skb_load_bytes(skb, error->quote, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_TCP ||
	    __builtin_memcmp(&ip.saddr, host, sizeof(host)))
		return -1;
	__builtin_memcpy(key->remote, &ip.daddr, 16);
	__builtin_memcpy(key->local, &ip.saddr, 16);
	return read_quote(skb, error, key);
}

/* The quoted header as the other end sent it. Gives what that changes in the ICMP checksum: an IPv4
 * header has one of its own, so that it changes nothing. Its TCP checksum is as before, of the
 * segment that the router saw.
 */
static __always_inline __s64 rewrite_quote(struct __sk_buff *skb, struct error *error,
					   struct splice_leg *x)
{
	__be32 old[10], new[10];
	__u32 at, size;

	at = error->tcp;
	if (bpf_skb_load_bytes(skb, at, old, sizeof(struct quoted_tcp)))
		return -1;
	((__be16 *)new)[0] = x->key.remote_port;
	((__be16 *)new)[1] = x->key.local_port;
	new[1] = bpf_htonl(splice_map_ack(error->seq, x->seq_delta));
	if (bpf_skb_store_bytes(skb, at, new, sizeof(struct quoted_tcp), 0))
		return -1;
	if (error->ip6) {
		at = error->quote + offsetof(struct ipv6hdr, saddr);
		size = 32;
		if (bpf_skb_load_bytes(skb, at, &old[2], 32))
			return -1;
		__builtin_memcpy(&new[2], x->key.remote, 16);
		__builtin_memcpy(&new[6], x->key.local, 16);
		if (bpf_skb_store_bytes(skb, at, &new[2], 32, 0))
			return -1;
		return bpf_csum_diff(old, sizeof(old), new, sizeof(new), 0);
	}
	return bpf_csum_diff(old, 8, new, 8, 0);
}

#endif
