// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Relay stage: ICMP errors that come back, and errors of our own.
 *
 * A flow without local sockets has nobody else who could hear that a router behind us could not
 * pass a segment on. Must not give the host an error about such a flow, nor pass on one that its
 * sender cannot have seen the cause of (RFC 5927 section 4).
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include <net/route.h>

#include "symsplice.h"

#define HOPS 64 /* of what we send on our own behalf */

/* Of the quoted TCP header every quote has this (RFC 792), and an end host looks at no more. */
struct quoted_tcp {
	__be16 source;
	__be16 dest;
	__be32 seq;
};

/* What an ICMP error says of a segment that went to a leg's peer. */
struct icmp_error {
	u32 icmp;	/* offset of the ICMP header */
	u32 quote;	/* of the quoted IP header */
	u32 tcp;	/* of the quoted TCP header */
	u32 seq;
	bool ip6;
	bool broken;	/* IPv4 options, or a part of a packet: cannot be passed on */
};

static bool read_quote(struct sk_buff *skb, struct icmp_error *error, struct splice_key *key)
{
	const struct quoted_tcp *tcp;
	struct quoted_tcp buffer;

	tcp = skb_header_pointer(skb, error->tcp, sizeof(buffer), &buffer);
	if (!tcp)
		return false;
	key->remote_port = ss_key_port(tcp->dest);
	key->local_port = ss_key_port(tcp->source);
	error->seq = ntohl(tcp->seq);
	return true;
}

/* False when it is no error about a TCP segment. A redirect is about this host's routes: not ours. */
static bool read_error_v4(struct sk_buff *skb, struct icmp_error *error, struct splice_key *key)
{
	const struct iphdr *ip = ip_hdr(skb), *quoted;
	const struct icmphdr *icmp;
	struct icmphdr icmp_buffer;
	struct iphdr ip_buffer;

	if (ip->frag_off & htons(IP_OFFSET))
		return false;
	error->icmp = ip->ihl * 4;
	error->quote = error->icmp + sizeof(*icmp);
	icmp = skb_header_pointer(skb, error->icmp, sizeof(icmp_buffer), &icmp_buffer);
	if (!icmp || (icmp->type != ICMP_DEST_UNREACH && icmp->type != ICMP_TIME_EXCEEDED &&
		      icmp->type != ICMP_PARAMETERPROB))
		return false;
	quoted = skb_header_pointer(skb, error->quote, sizeof(ip_buffer), &ip_buffer);
	if (!quoted || quoted->protocol != IPPROTO_TCP || (quoted->frag_off & htons(IP_OFFSET)) ||
	    quoted->saddr != ip->daddr || quoted->ihl < 5)
		return false;
	error->broken = ip->ihl != 5 || quoted->ihl != 5 || ip_is_fragment(ip);
	error->tcp = error->quote + quoted->ihl * 4;
	ss_segment_key_v4(key, quoted->daddr, quoted->saddr);
	return read_quote(skb, error, key);
}

static bool read_error_v6(struct sk_buff *skb, struct icmp_error *error, struct splice_key *key)
{
	const struct ipv6hdr *ip = ipv6_hdr(skb), *quoted;
	const struct icmp6hdr *icmp;
	struct icmp6hdr icmp_buffer;
	struct ipv6hdr ip_buffer;

	error->icmp = sizeof(*ip);
	error->quote = error->icmp + sizeof(*icmp);
	error->tcp = error->quote + sizeof(*ip);
	icmp = skb_header_pointer(skb, error->icmp, sizeof(icmp_buffer), &icmp_buffer);
	if (!icmp || icmp->icmp6_type < ICMPV6_DEST_UNREACH || icmp->icmp6_type > ICMPV6_PARAMPROB)
		return false;
	quoted = skb_header_pointer(skb, error->quote, sizeof(ip_buffer), &ip_buffer);
	if (!quoted || quoted->nexthdr != IPPROTO_TCP || !ipv6_addr_equal(&quoted->saddr, &ip->daddr))
		return false;
	memcpy(key->remote, &quoted->daddr, 16);
	memcpy(key->local, &quoted->saddr, 16);
	return read_quote(skb, error, key);
}

/* The error as the other end is to see it: from the only router between the two that it knows, us,
 * about a segment as it sent it. The router's own address may mean nothing there, or be filtered
 * as forged; the end host does not look at it. Its sum is computed anew, so it was verified before.
 */
static int rewrite_error(struct sk_buff *skb, const struct icmp_error *error, const struct splice_leg *x)
{
	struct quoted_tcp *tcp;

	if (skb_linearize(skb) || skb_ensure_writable(skb, skb->len))
		return -ENOMEM;
	skb->ip_summed = CHECKSUM_NONE;
	tcp = (struct quoted_tcp *)(skb->data + error->tcp);
	tcp->source = ss_port(x->key.remote_port);
	tcp->dest = ss_port(x->key.local_port);
	tcp->seq = htonl(splice_map_ack(error->seq, x->seq_delta));
	if (error->ip6) {
		struct ipv6hdr *ip = ipv6_hdr(skb), *quoted = (void *)(skb->data + error->quote);
		struct icmp6hdr *icmp = (void *)(skb->data + error->icmp);
		u32 length = skb->len - error->icmp;

		memcpy(&quoted->saddr, x->key.remote, 16);
		memcpy(&quoted->daddr, x->key.local, 16);
		memcpy(&ip->saddr, x->key.local, 16);
		memcpy(&ip->daddr, x->key.remote, 16);
		ip->hop_limit = HOPS;
		icmp->icmp6_cksum = 0;
		icmp->icmp6_cksum = csum_ipv6_magic(&ip->saddr, &ip->daddr, length, IPPROTO_ICMPV6,
						    csum_partial(icmp, length, 0));
	} else {
		struct iphdr *ip = ip_hdr(skb), *quoted = (void *)(skb->data + error->quote);
		struct icmphdr *icmp = (void *)(skb->data + error->icmp);

		memcpy(&quoted->saddr, x->key.remote + 12, 4);
		memcpy(&quoted->daddr, x->key.local + 12, 4);
		ip_send_check(quoted);
		memcpy(&ip->saddr, x->key.local + 12, 4);
		memcpy(&ip->daddr, x->key.remote + 12, 4);
		ip->ttl = HOPS;
		ip_send_check(ip);
		icmp->checksum = 0;
		icmp->checksum = csum_fold(csum_partial(icmp, skb->len - error->icmp, 0));
	}
	return 0;
}

/* Could its sender know of the segment? Everybody can guess addresses and ports, but only who sees
 * the stream knows which bytes are under way.
 */
static bool is_plausible(const struct icmp_error *error, const struct splice_leg *x,
			 const struct splice_leg *y)
{
	return !splice_before(error->seq, y->ack) &&
	       !splice_after(error->seq, splice_map_seq(x->end, x->seq_delta));
}

static bool checksum_holds(struct sk_buff *skb, const struct icmp_error *error)
{
	if (error->ip6)
		return !nf_ip6_checksum(skb, NF_INET_PRE_ROUTING, error->icmp, IPPROTO_ICMPV6);
	return !nf_ip_checksum(skb, NF_INET_PRE_ROUTING, error->icmp, IPPROTO_ICMP);
}

/* Under the flow's lock. `side`: whose peer did not get the segment. NF_STOLEN: ready to go out. */
static unsigned int translate(struct ss_flow *flow, int side, const struct splice_key *key,
			      struct sk_buff *skb, const struct icmp_error *error)
{
	const struct splice_leg *y = &flow->slot.leg[side], *x = &flow->slot.leg[side ^ 1];
	struct ss_net *ssn = flow->ssn;

	if (!ss_flow_is(flow, side, key) || flow->slot.phase == SPLICE_PHASE_FREE)
		return ss_leave(ssn, SPLICE_COUNT_ICMP_NO_FLOW, NF_ACCEPT);
	/* The local socket is the sender, and reads the error itself. */
	if (flow->slot.phase == SPLICE_PHASE_TRANSIT)
		return ss_leave(ssn, SPLICE_COUNT_ICMP_LOCAL, NF_ACCEPT);
	if (error->broken || !is_plausible(error, x, y) || !checksum_holds(skb, error) ||
	    rewrite_error(skb, error, x) || ss_output_attach(flow, side ^ 1, skb))
		return ss_leave(ssn, SPLICE_COUNT_ICMP_DROPPED, NF_DROP);
	return ss_leave(ssn, SPLICE_COUNT_ICMP_TRANSLATED, NF_STOLEN);
}

unsigned int ss_icmp_translate(struct ss_net *ssn, struct sk_buff *skb, const struct net_device *dev,
			       bool ip6)
{
	struct icmp_error error = { .ip6 = ip6 };
	struct ss_flow *flow;
	struct splice_key key;
	unsigned int verdict;
	u8 side;

	if (!(ip6 ? read_error_v6(skb, &error, &key) : read_error_v4(skb, &error, &key)))
		return ss_leave(ssn, SPLICE_COUNT_ICMP_NO_FLOW, NF_ACCEPT);
	rcu_read_lock();
	flow = ss_table_find(ssn, &key, &side);
	if (!flow || !ss_output_takes(flow, side, dev)) {
		rcu_read_unlock();
		return ss_leave(ssn, SPLICE_COUNT_ICMP_NO_FLOW, NF_ACCEPT);
	}
	spin_lock_bh(&flow->lock);
	verdict = translate(flow, side, &key, skb, &error);
	spin_unlock_bh(&flow->lock);
	if (verdict == NF_STOLEN)
		ss_output_send(ssn->net, skb);
	rcu_read_unlock();
	return verdict;
}

/* To the sender of a segment that is too big for the other leg, as a router would. The kernel makes
 * it, and wants to know first that the segment was for this host.
 */
void ss_icmp_too_big(struct sk_buff *skb, const struct ss_segment *seg, u32 limit)
{
	u32 mtu = limit + sizeof(struct tcphdr) +
		  (seg->ip6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));

	if (seg->ip6) {
		icmpv6_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
		return;
	}
	if (ip_route_input(skb, ip_hdr(skb)->daddr, ip_hdr(skb)->saddr, 0, skb->dev))
		return;
	icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
}
