/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: ICMP errors that come back, and IPv4 options.
 *
 * Called at tc ingress. A flow without local sockets has nobody else who could hear that a router
 * behind us could not pass a segment on. Must not give the host an error about such a flow, nor
 * pass on one that its sender cannot have seen the cause of (RFC 5927 section 4).
 */
#ifndef SPLICE_PACKET_ICMP_H
#define SPLICE_PACKET_ICMP_H

/* RFC 792, RFC 1191 */
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12

/* RFC 4443 */
#define ICMP6_UNREACHABLE 1
#define ICMP6_PARAMETER 4

#define HOPS 64 /* of what we send on our own behalf */

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

static __always_inline int read_quote(struct __sk_buff *skb, struct icmp_error *error,
				      struct splice_key *key)
{
	struct quoted_tcp tcp;

	if (bpf_skb_load_bytes(skb, error->tcp, &tcp, sizeof(tcp)))
		return -1;
	key->remote_port = tcp.dest;
	key->local_port = tcp.source;
	error->seq = bpf_ntohl(tcp.seq);
	return 0;
}

/* Fills `error`, and `key` with the connection that the quoted segment went out on. Negative when
 * it is no error about a TCP segment. A redirect is about this host's routes: not one of ours.
 */
static __always_inline int read_error_v4(struct __sk_buff *skb, __u32 l2,
					 struct icmp_error *error, struct splice_key *key)
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

static __always_inline int read_error_v6(struct __sk_buff *skb, __u32 l2,
					 struct icmp_error *error, struct splice_key *key)
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
	return bpf_l4_csum_replace(skb, error->icmp + offsetof(struct icmp_header, check), 0, sum,
				   0);
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
