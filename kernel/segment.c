// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* From a packet to a segment: the fields that the splice is about, and the key of its connection;
 * and what makes another segment of it before it is anybody's.
 *
 * Called by the hooks, where skb->data is the network header and the stack has checked the IP
 * header and trimmed the packet to it. Must not look at flows.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include <net/tcp.h>

#include "compat.h"
#include "symsplice.h"

/* At most so many IPv6 extension headers are walked over. */
#define EXTENSIONS_MOST 6

void ss_segment_key_v4(struct splice_key *key, __be32 remote, __be32 local)
{
	memset(key, 0, sizeof(*key));
	key->remote[10] = 0xff;
	key->remote[11] = 0xff;
	key->local[10] = 0xff;
	key->local[11] = 0xff;
	memcpy(key->remote + 12, &remote, 4);
	memcpy(key->local + 12, &local, 4);
}

/* Where TCP begins behind extension headers; negative when it does not. */
static int skip_extensions(struct sk_buff *skb, u32 at, u8 next, struct ss_segment *seg)
{
	u8 buffer[4], *header;
	int i;

	for (i = 0; i < EXTENSIONS_MOST; i++) {
		if (next == IPPROTO_TCP)
			return at;
		header = skb_header_pointer(skb, at, sizeof(buffer), buffer);
		if (!header)
			return -EINVAL;
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			at += (header[1] + 1) * 8;
			break;
		case IPPROTO_FRAGMENT:
			seg->fragment = true;
			/* Only the first one has the ports. */
			if (header[2] || header[3] & 0xf8)
				return -EINVAL;
			at += 8;
			break;
		default:
			return -EINVAL;
		}
		next = header[0];
	}
	return -EINVAL;
}

static enum ss_parsed parse_v4(struct sk_buff *skb, bool outgoing, struct ss_segment *seg,
			       struct splice_key *key)
{
	const struct iphdr *ip = ip_hdr(skb);

	if (ip->protocol != IPPROTO_TCP)
		return ip->protocol == IPPROTO_ICMP ? SS_PARSED_ICMP : SS_PARSED_NOT_TCP;
	ss_segment_key_v4(key, outgoing ? ip->daddr : ip->saddr, outgoing ? ip->saddr : ip->daddr);
	if (ip_is_fragment(ip)) {
		seg->fragment = true;
		if (ip->frag_off & htons(IP_OFFSET))
			return SS_PARSED_NOT_TCP;
	}
	seg->l4 = ip->ihl * 4;
	seg->extra = seg->l4 - sizeof(*ip);
	return SS_PARSED_SEGMENT;
}

static enum ss_parsed parse_v6(struct sk_buff *skb, bool outgoing, struct ss_segment *seg,
			       struct splice_key *key)
{
	const struct ipv6hdr *ip = ipv6_hdr(skb);
	int at;

	if (ip->nexthdr == IPPROTO_ICMPV6)
		return SS_PARSED_ICMP;
	memcpy(key->remote, outgoing ? &ip->daddr : &ip->saddr, 16);
	memcpy(key->local, outgoing ? &ip->saddr : &ip->daddr, 16);
	at = skip_extensions(skb, sizeof(*ip), ip->nexthdr, seg);
	if (at < 0)
		return SS_PARSED_NOT_TCP;
	seg->l4 = at;
	seg->extra = at - sizeof(*ip);
	if (seg->extra)
		seg->extra -= ss_compat_jumbo(skb);
	return SS_PARSED_SEGMENT;
}

/* Fills `seg`, and `key` as a segment from the peer names its connection; with `outgoing`, as a
 * segment to the peer does.
 */
enum ss_parsed ss_segment_parse(struct sk_buff *skb, bool ip6, bool outgoing,
				struct ss_segment *seg, struct splice_key *key)
{
	const struct tcphdr *tcp;
	struct tcphdr buffer;
	enum ss_parsed parsed;

	memset(seg, 0, sizeof(*seg));
	seg->ip6 = ip6;
	parsed = ip6 ? parse_v6(skb, outgoing, seg, key) : parse_v4(skb, outgoing, seg, key);
	if (parsed != SS_PARSED_SEGMENT)
		return parsed;
	tcp = skb_header_pointer(skb, seg->l4, sizeof(buffer), &buffer);
	if (!tcp)
		return SS_PARSED_SHORT;
	key->remote_port = ss_key_port(outgoing ? tcp->dest : tcp->source);
	key->local_port = ss_key_port(outgoing ? tcp->source : tcp->dest);
	seg->seq = ntohl(tcp->seq);
	seg->ack = ntohl(tcp->ack_seq);
	seg->window = ntohs(tcp->window);
	seg->flags = tcp_flag_byte(tcp);
	seg->header = tcp->doff * 4;
	if (seg->header < sizeof(*tcp) || skb->len < seg->l4 + seg->header)
		return SS_PARSED_SHORT;
	seg->length = skb->len - seg->l4 - seg->header;
	seg->end = seg->seq + seg->length + (seg->flags & TCPHDR_FIN ? 1 : 0);
	return SS_PARSED_SEGMENT;
}

bool ss_segment_checksum_holds(struct sk_buff *skb, const struct ss_segment *seg)
{
	if (seg->ip6)
		return !nf_ip6_checksum(skb, NF_INET_PRE_ROUTING, seg->l4, IPPROTO_TCP);
	return !nf_ip_checksum(skb, NF_INET_PRE_ROUTING, seg->l4, IPPROTO_TCP);
}

/* The sum of its TCP header alone, when there is no payload. */
static void sum_bare(struct sk_buff *skb, const struct ss_segment *seg, struct tcphdr *tcp)
{
	__wsum sum;

	tcp->check = 0;
	sum = csum_partial(tcp, seg->header, 0);
	if (seg->ip6)
		tcp->check = csum_ipv6_magic(&ipv6_hdr(skb)->saddr, &ipv6_hdr(skb)->daddr,
					     seg->header, IPPROTO_TCP, sum);
	else
		tcp->check = csum_tcpudp_magic(ip_hdr(skb)->saddr, ip_hdr(skb)->daddr,
					       seg->header, IPPROTO_TCP, sum);
	skb->ip_summed = CHECKSUM_UNNECESSARY;
}

/* Cuts the payload off, and what goes with it: leaves what the segment acknowledges, in a sequence
 * space where it is acceptable. Its checksum must have been verified.
 */
int ss_segment_make_bare(struct sk_buff *skb, struct ss_segment *seg)
{
	struct tcphdr *tcp;

	if (pskb_trim(skb, seg->l4 + seg->header) || skb_ensure_writable(skb, seg->l4 + seg->header))
		return -ENOMEM;
	tcp = (struct tcphdr *)(skb->data + seg->l4);
	tcp->fin = 0;
	tcp->psh = 0;
	tcp->urg = 0;
	tcp->cwr = 0;
	tcp->urg_ptr = 0;
	if (skb_is_gso(skb))
		skb_gso_reset(skb);
	if (seg->ip6) {
		ipv6_hdr(skb)->payload_len = htons(skb->len - sizeof(struct ipv6hdr));
	} else {
		ip_hdr(skb)->tot_len = htons(skb->len);
		ip_send_check(ip_hdr(skb));
	}
	sum_bare(skb, seg, tcp);
	seg->length = 0;
	seg->end = seg->seq;
	return 0;
}

/* A device may merge segments of a connection without a socket into a list that keeps every header (Linux
 * 6.10, rx-gro-list), for who forwards them as they are. What is written into the first header is to
 * hold for all of them: as with what is merged the usual way, where the others are made again of it.
 */
int ss_segment_unlist(struct sk_buff *skb, const struct ss_segment *seg)
{
	u32 length = skb->len - seg->l4;
	struct tcphdr *tcp;

	if (!skb_is_gso(skb) || !(skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST))
		return 0;
	if (skb_ensure_writable(skb, seg->l4 + seg->header))
		return -ENOMEM;
	tcp = (struct tcphdr *)(skb->data + seg->l4);
	/* Merged were only segments whose sums hold; from here on there is one to be computed for each. */
	if (seg->ip6)
		tcp->check = ~csum_ipv6_magic(&ipv6_hdr(skb)->saddr, &ipv6_hdr(skb)->daddr, length,
					      IPPROTO_TCP, 0);
	else
		tcp->check = ~csum_tcpudp_magic(ip_hdr(skb)->saddr, ip_hdr(skb)->daddr, length,
						IPPROTO_TCP, 0);
	skb->csum_start = (unsigned char *)tcp - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
	skb->ip_summed = CHECKSUM_PARTIAL;
	/* DODGY: nobody may rely on what the list's elements look like. */
	skb_shinfo(skb)->gso_type &= ~SKB_GSO_FRAGLIST;
	skb_shinfo(skb)->gso_type |= SKB_GSO_DODGY;
	return 0;
}

/* Takes IPv4 options off (thesis section 5.2.1). TCP's checksum does not know of them. */
int ss_segment_remove_options(struct sk_buff *skb, struct ss_segment *seg)
{
	struct iphdr *ip;

	if (skb_ensure_writable(skb, seg->l4))
		return -ENOMEM;
	/* A sum over the whole packet would have to follow. */
	skb_forward_csum(skb);
	memmove(skb->data + seg->extra, skb->data, sizeof(*ip));
	__skb_pull(skb, seg->extra);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, sizeof(*ip));
	ip = ip_hdr(skb);
	ip->ihl = sizeof(*ip) / 4;
	/* Of a merged packet that is longer than the field can say it says nothing. */
	ip->tot_len = htons(skb->len > IP_MAX_MTU ? 0 : skb->len);
	ip_send_check(ip);
	seg->l4 = sizeof(*ip);
	seg->extra = 0;
	return 0;
}
