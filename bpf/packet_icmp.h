/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: what a router owes the sender of a segment besides forwarding it.
 *
 * Called at tc ingress. A flow without local sockets has nobody else who could say that a segment
 * is too big, or hear that a router behind us said so. Must not give the host an error about such
 * a flow, nor pass on one that its sender could not have caused (RFC 5927 section 4).
 */
#ifndef SPLICE_PACKET_ICMP_H
#define SPLICE_PACKET_ICMP_H

/* RFC 792, RFC 1191 */
#define ICMP_UNREACHABLE 3
#define ICMP_TOO_BIG_CODE 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12

/* RFC 4443 */
#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG 2
#define ICMP6_PARAMETER 4

#define HOPS 64                 /* of what we send on our own behalf */
#define TOS_NETWORK_CONTROL 0xc0 /* RFC 1812 section 4.3.2.5 */
#define IP_DF 0x4000

/* How errors of either family begin. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 info; /* of "too big": the MTU, which IPv4 keeps in the lower half */
};

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
	struct icmp_header icmp;
	__u8 quote[548];
};

struct answer_v6 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
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

	answer->icmp.type = ICMP_UNREACHABLE;
	answer->icmp.code = ICMP_TOO_BIG_CODE;
	answer->icmp.check = 0;
	answer->icmp.info = bpf_htonl(mtu);
	answer->icmp.check = fold(add_bytes(&answer->icmp, sizeof(*answer) - sizeof(answer->ip), 0));

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
struct icmp_error {
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

static __always_inline int read_quote(struct __sk_buff *skb, struct icmp_error *error, struct splice_key *key)
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
static __always_inline int read_error_v4(struct __sk_buff *skb, __u32 l2, struct icmp_error *error,
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
	error->quote = error->icmp + sizeof(struct icmp_header);
	if (bpf_skb_load_bytes(skb, error->icmp, &type, sizeof(type)) ||
	    (type != ICMP_UNREACHABLE && type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETER) ||
	    bpf_skb_load_bytes(skb, error->quote, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP ||
	    (ip.frag_off & bpf_htons(IP_OFFSET)) || ip.saddr != host)
		return -1;
	error->broken |= ip.ihl != sizeof(ip) / 4;
	error->tcp = error->quote + ip.ihl * 4;
	key_v4(key, ip.daddr, ip.saddr);
	return read_quote(skb, error, key);
}

static __always_inline int read_error_v6(struct __sk_buff *skb, __u32 l2, struct icmp_error *error,
					 struct splice_key *key)
{
	struct ipv6hdr ip;
	__be32 host[4];
	__u8 type;

	error->ip6 = 1;
	error->broken = 0;
	error->icmp = l2 + sizeof(ip);
	error->quote = error->icmp + sizeof(struct icmp_header);
	error->tcp = error->quote + sizeof(ip);
	if (bpf_skb_load_bytes(skb, l2 + offsetof(struct ipv6hdr, daddr), host, sizeof(host)) ||
	    bpf_skb_load_bytes(skb, error->icmp, &type, sizeof(type)) ||
	    type < ICMP6_UNREACHABLE || type > ICMP6_PARAMETER ||
	    bpf_skb_load_bytes(skb, error->quote, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_TCP ||
	    ip.saddr.s6_addr32[0] != host[0] || ip.saddr.s6_addr32[1] != host[1] ||
	    ip.saddr.s6_addr32[2] != host[2] || ip.saddr.s6_addr32[3] != host[3])
		return -1;
	__builtin_memcpy(key->remote, &ip.daddr, 16);
	__builtin_memcpy(key->local, &ip.saddr, 16);
	return read_quote(skb, error, key);
}

/* Other addresses in an IPv4 header, and where @hops is set another TTL. Its checksum keeps its
 * damage, if it has any.
 */
static __always_inline int put_addresses_v4(struct __sk_buff *skb, __u32 at, void *from, void *to,
					    __u32 hops)
{
	struct iphdr old, new;
	__u32 sum;

	if (bpf_skb_load_bytes(skb, at, &old, sizeof(old)))
		return -1;
	new = old;
	__builtin_memcpy(&new.saddr, from + 12, 4);
	__builtin_memcpy(&new.daddr, to + 12, 4);
	if (hops)
		new.ttl = hops;
	sum = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new, sizeof(new), 0);
	new.check = fold((__u16)~old.check + (sum & 0xffff) + (sum >> 16));
	return bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0);
}

/* In an IPv6 header. Adds the difference to `sum`. */
static __always_inline int put_addresses_v6(struct __sk_buff *skb, __u32 at, void *from, void *to,
					    __u32 *sum)
{
	__be32 old[8], new[8];

	at += offsetof(struct ipv6hdr, saddr);
	if (bpf_skb_load_bytes(skb, at, old, sizeof(old)))
		return -1;
	__builtin_memcpy(new, from, 16);
	__builtin_memcpy(&new[4], to, 16);
	*sum = bpf_csum_diff(old, sizeof(old), new, sizeof(new), *sum);
	return bpf_skb_store_bytes(skb, at, new, sizeof(new), 0);
}

/* The error as the other end is to see it: from the only router between the two that it knows, us,
 * about a segment as it sent it. The router's own address may mean nothing there, or be filtered
 * as forged; the end host does not look at it.
 *
 * A quoted IPv4 header has a checksum of its own, so that its changes leave the ICMP checksum
 * alone. The quoted TCP checksum stays that of the segment which the router saw.
 */
static __always_inline int rewrite_error(struct __sk_buff *skb, __u32 l2, struct icmp_error *error,
					 struct splice_leg *x)
{
	struct quoted_tcp old, new;
	__u32 sum = 0;

	if (error->ip6) {
		__u8 hops = HOPS;

		/* The outer addresses are in the pseudo-header. */
		if (put_addresses_v6(skb, l2, x->key.local, x->key.remote, &sum) ||
		    put_addresses_v6(skb, error->quote, x->key.remote, x->key.local, &sum) ||
		    bpf_skb_store_bytes(skb, l2 + offsetof(struct ipv6hdr, hop_limit), &hops, 1, 0))
			return -1;
	} else if (put_addresses_v4(skb, l2, x->key.local, x->key.remote, HOPS) ||
		   put_addresses_v4(skb, error->quote, x->key.remote, x->key.local, 0)) {
		return -1;
	}
	if (bpf_skb_load_bytes(skb, error->tcp, &old, sizeof(old)))
		return -1;
	new.source = x->key.remote_port;
	new.dest = x->key.local_port;
	new.seq = bpf_htonl(splice_map_ack(error->seq, x->seq_delta));
	sum = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new, sizeof(new), sum);
	if (bpf_skb_store_bytes(skb, error->tcp, &new, sizeof(new), 0))
		return -1;
	return bpf_l4_csum_replace(skb, error->icmp + offsetof(struct icmp_header, check), 0, sum, 0);
}

/* Could its sender know of the segment? Everybody can guess addresses and ports, but only who sees
 * the stream knows which bytes are under way.
 */
static __always_inline int is_plausible(struct icmp_error *error, struct splice_leg *x,
					struct splice_leg *y)
{
	return !splice_before(error->seq, y->ack) &&
	       !splice_after(error->seq, splice_map_seq(x->end, x->seq_delta));
}

FUNCTION int translate_icmp(struct __sk_buff *skb, __u32 l2)
{
	struct splice_flow_slot *flow;
	struct icmp_error error = {};
	struct splice_leg *x, *y;
	struct splice_key key;
	__u32 *leg, slot;

	if (skb->protocol == bpf_htons(ETH_P_IP) ? read_error_v4(skb, l2, &error, &key) :
						   read_error_v6(skb, l2, &error, &key))
		return leave(SPLICE_COUNT_ICMP_NO_FLOW, TC_ACT_UNSPEC);
	leg = bpf_map_lookup_elem(&legs, &key);
	if (!leg)
		return leave(SPLICE_COUNT_ICMP_NO_FLOW, TC_ACT_UNSPEC);
	slot = *leg >> 1;
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow || flow->phase == SPLICE_PHASE_FREE)
		return leave(SPLICE_COUNT_ICMP_NO_FLOW, TC_ACT_UNSPEC);
	y = &flow->leg[*leg & 1]; /* whose peer did not get it */
	x = &flow->leg[(*leg & 1) ^ 1];
	/* Of bytes before the cut the local socket is the sender, and reads the error itself. */
	if (flow->phase == SPLICE_PHASE_TRANSIT &&
	    (x->way != SPLICE_WAY_FAST ||
	     splice_before(error.seq, splice_map_seq(x->cut, x->seq_delta))))
		return leave(SPLICE_COUNT_ICMP_LOCAL, TC_ACT_UNSPEC);
	if (error.broken || !is_plausible(&error, x, y) || rewrite_error(skb, l2, &error, x))
		return leave(SPLICE_COUNT_ICMP_DROPPED, TC_ACT_SHOT);

	skb->mark = SPLICE_MARK_RELAY;
	if (l2 == 0) {
		/* As in emit(): the redirect wants an Ethernet header to take off. */
		__be16 protocol = error.ip6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

		if (bpf_skb_change_head(skb, ETH_HLEN, 0) ||
		    bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, 2, 0))
			return leave(SPLICE_COUNT_ICMP_DROPPED, TC_ACT_SHOT);
	}
	count(SPLICE_COUNT_ICMP_TRANSLATED);
	return bpf_redirect_neigh(x->ifindex, 0, 0, 0);
}

#endif
