/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* From a packet to a segment: the fields that the splice is about, and the key
 * of its connection. Read only. Called first by every program.
 *
 * `l2` is a constant in each program: 14 on devices with an Ethernet header, 0
 * on those without (tun, ppp).
 */
#ifndef SPLICE_PACKET_PARSE_H
#define SPLICE_PACKET_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#define TC_ACT_UNSPEC (-1) /* passed on; the next filter may look */
#define TC_ACT_SHOT 2

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_ECE 0x40
#define TCP_CWR 0x80

#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

/* 0 or 14; the verifier wants to see a bound. */
#define L3_MOST 15

#define data_of(skb) ((void *)(long)(skb)->data)
#define end_of(skb) ((void *)(long)(skb)->data_end)

/* Host byte order. */
struct segment {
	__u32 l3;     /* offset of the IP header */
	__u32 l4;     /* offset of the TCP header */
	__u32 header; /* bytes of the TCP header, options included */
	__u32 length; /* bytes of payload */
	__u32 seq;
	__u32 ack;
	__u32 end;    /* seq + length, + 1 with FIN */
	__u32 window; /* the field, unscaled */
	__u32 flags;  /* TCP_* */
	__u32 ip6;    /* 1: IPv6 */
	__u32 extra;  /* bytes of IPv4 options, or of IPv6 extension headers */
	__u32 fragment; /* 1: an IP fragment; only addresses and, in the first one, ports are known */
	__u32 side;   /* from whom it is */
	__u32 slot;
};

enum parsed {
	PARSED_SEGMENT,
	PARSED_ICMP,
	PARSED_NOT_IP,
	PARSED_NOT_TCP,
	PARSED_SHORT,
};

static __always_inline void key_v4(struct splice_key *key, __be32 remote, __be32 local)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->remote[10] = key->remote[11] = 0xff;
	key->local[10] = key->local[11] = 0xff;
	__builtin_memcpy(key->remote + 12, &remote, 4);
	__builtin_memcpy(key->local + 12, &local, 4);
}

/* At most so many IPv6 extension headers are walked over. */
#define EXTENSIONS_MOST 6

/* Where TCP begins behind extension headers; negative when it does not. */
FUNCTION int skip_extensions(struct __sk_buff *skb, __u32 at, __u32 next, struct segment *seg)
{
	__u8 header[4];
	int i;

	if (!seg)
		return -1;
	for (i = 0; i < EXTENSIONS_MOST; i++) {
		if (next == IPPROTO_TCP)
			return at;
		if (bpf_skb_load_bytes(skb, at, header, sizeof(header)))
			return -1;
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			at += (header[1] + 1) * 8;
			break;
		case IPPROTO_FRAGMENT:
			seg->fragment = 1;
			/* Only the first one has the ports. */
			if (header[2] || header[3] & 0xf8)
				return -1;
			at += 8;
			break;
		default:
			return -1;
		}
		next = header[0];
	}
	return -1;
}

static __always_inline void take_header(struct segment *seg, struct tcphdr *tcp, __u16 *from, __u16 *to)
{
	*from = tcp->source;
	*to = tcp->dest;
	seg->seq = bpf_ntohl(tcp->seq);
	seg->ack = bpf_ntohl(tcp->ack_seq);
	seg->window = bpf_ntohs(tcp->window);
	seg->flags = ((__u8 *)tcp)[13];
	seg->header = tcp->doff * 4;
}

/* Fills `seg`, and `key` as a segment from the peer names its connection; with
 * `outgoing`, as a segment to the peer does.
 */
static __always_inline int parse(struct __sk_buff *skb, __u32 l2, int outgoing,
				 struct segment *seg, struct splice_key *key)
{
	void *data = data_of(skb), *end = end_of(skb);
	__u32 total, offset;
	__u16 from, to;

	seg->l3 = l2;
	seg->fragment = seg->extra = 0;
	/* Belongs to a VLAN device on top of this one, which has a hook of its own. */
	if (skb->vlan_present)
		return PARSED_NOT_IP;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + l2;
		__be32 remote, local;

		if (data + l2 + 40 > end) {
			/* Headers may lie in a page of their own. */
			bpf_skb_pull_data(skb, l2 + 40);
			data = data_of(skb);
			end = end_of(skb);
			ip = data + l2;
			if (data + l2 + sizeof(*ip) > end)
				return PARSED_SHORT;
		}
		if (ip->protocol != IPPROTO_TCP)
			return ip->protocol == IPPROTO_ICMP ? PARSED_ICMP : PARSED_NOT_TCP;
		if (ip->ihl < sizeof(*ip) / 4)
			return PARSED_SHORT;
		seg->ip6 = 0;
		seg->extra = ip->ihl * 4 - sizeof(*ip);
		total = bpf_ntohs(ip->tot_len);
		/* BIG TCP (Linux 6.3): too long for the field. */
		if (!total)
			total = skb->len - l2;
		remote = outgoing ? ip->daddr : ip->saddr;
		local = outgoing ? ip->saddr : ip->daddr;
		key_v4(key, remote, local);
		if (ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) {
			seg->fragment = 1;
			if (ip->frag_off & bpf_htons(IP_OFFSET))
				return PARSED_NOT_TCP;
		}
		offset = l2 + sizeof(*ip) + seg->extra;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + l2;

		if (data + l2 + 60 > end) {
			bpf_skb_pull_data(skb, l2 + 60);
			data = data_of(skb);
			end = end_of(skb);
			ip = data + l2;
			if (data + l2 + sizeof(*ip) > end)
				return PARSED_SHORT;
		}
		seg->ip6 = 1;
		total = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		if (total == sizeof(*ip))
			total = skb->len - l2;
		__builtin_memcpy(key->remote, outgoing ? &ip->daddr : &ip->saddr, 16);
		__builtin_memcpy(key->local, outgoing ? &ip->saddr : &ip->daddr, 16);
		offset = l2 + sizeof(*ip);
		if (ip->nexthdr != IPPROTO_TCP) {
			int at;

			if (ip->nexthdr == IPPROTO_ICMPV6)
				return PARSED_ICMP;
			at = skip_extensions(skb, offset, ip->nexthdr, seg);
			if (at < 0)
				return PARSED_NOT_TCP;
			seg->extra = at - offset;
			offset = at;
		}
	} else {
		return PARSED_NOT_IP;
	}

	if (seg->extra) {
		struct tcphdr head;

		if (bpf_skb_load_bytes(skb, offset, &head, sizeof(head)))
			return PARSED_SHORT;
		take_header(seg, &head, &from, &to);
	} else if (seg->ip6) {
		/* A constant offset in either family: plain loads. */
		struct tcphdr *tcp = data + l2 + sizeof(struct ipv6hdr);

		if (data + l2 + sizeof(struct ipv6hdr) + sizeof(*tcp) > end)
			return PARSED_SHORT;
		take_header(seg, tcp, &from, &to);
	} else {
		struct tcphdr *tcp = data + l2 + sizeof(struct iphdr);

		if (data + l2 + sizeof(struct iphdr) + sizeof(*tcp) > end)
			return PARSED_SHORT;
		take_header(seg, tcp, &from, &to);
	}
	key->remote_port = outgoing ? to : from;
	key->local_port = outgoing ? from : to;
	seg->l4 = offset;
	/* A packet that is shorter than it says is the stack's to drop. */
	if (seg->header < sizeof(struct tcphdr) || total < offset - l2 + seg->header ||
	    skb->len < l2 + total)
		return PARSED_SHORT;
	seg->length = total - (offset - l2) - seg->header;
	seg->end = seg->seq + seg->length + (seg->flags & TCP_FIN);
	return PARSED_SEGMENT;
}

#endif
