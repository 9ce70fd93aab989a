// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stages splice and teardown: segments that no socket makes any more, or in place of one. Called by the
 * gate, by the sweep, and by who ends a flow. Must not believe that they arrive.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include <net/tcp.h>

#include "symsplice.h"

#define HOPS 64
#define HALF_CIRCLE BIT(31)

enum kind { RESET, SECOND_RESET, PROBE, SECOND_PROBE };

static bool is_reset(enum kind kind)
{
	return kind == RESET || kind == SECOND_RESET;
}

static u32 number_of(const struct splice_leg *leg, const struct splice_leg *other, enum kind kind)
{
	if (kind == RESET)
		return leg->ack;
	if (kind == SECOND_RESET)
		return splice_map_seq(other->end, other->seq_delta);
	return leg->ack - 1;
}

/* The peer takes a RST only at the very sequence number that it expects (RFC 5961): the one that it
 * acknowledged last; or the end of what was relayed to it, while its acknowledgement of that is delayed.
 * To any other number within its window it should answer, but who was asked for a sign of life half a
 * second ago, as by our probes, does not (tcp_invalid_ratelimit), and if it only reads it would never hear
 * of the end. It asks for no timestamps of a RST, but drops anything else without (RFC 7323
 * section 3.2). The other peer's clock, which relayed segments carry on, may have run away from ours:
 * of two values half a circle apart one is not old, and its segment is answered for its number, which
 * is from before the window.
 */
static void put_tcp(struct sk_buff *skb, const struct splice_leg *leg, const struct splice_leg *other,
		    enum kind kind)
{
	bool stamped = !is_reset(kind) && (leg->flags & SPLICE_LEG_TIMESTAMPS);
	u32 length = sizeof(struct tcphdr) + (stamped ? TCPOLEN_TSTAMP_ALIGNED : 0);
	struct tcphdr *tcp = skb_put_zero(skb, length);
	__be32 *options = (__be32 *)(tcp + 1);

	tcp->source = ss_port(leg->key.local_port);
	tcp->dest = ss_port(leg->key.remote_port);
	tcp->seq = htonl(number_of(leg, other, kind));
	tcp->ack_seq = htonl(leg->end);
	tcp->doff = length / 4;
	tcp->rst = is_reset(kind);
	tcp->ack = 1;
	if (!stamped)
		return;
	options[0] = htonl(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_TIMESTAMP << 8 |
			   TCPOLEN_TIMESTAMP);
	options[1] = htonl(ss_accept_clock(leg) + (kind == SECOND_PROBE ? HALF_CIRCLE : 0));
}

static void put_ip_v4(struct sk_buff *skb, const struct splice_leg *leg)
{
	struct tcphdr *tcp = (struct tcphdr *)skb->data;
	u32 length = skb->len;
	struct iphdr *ip = skb_push(skb, sizeof(*ip));

	memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = htons(skb->len);
	ip->frag_off = htons(IP_DF);
	ip->ttl = HOPS;
	ip->protocol = IPPROTO_TCP;
	memcpy(&ip->saddr, leg->key.local + 12, 4);
	memcpy(&ip->daddr, leg->key.remote + 12, 4);
	ip_send_check(ip);
	tcp->check = csum_tcpudp_magic(ip->saddr, ip->daddr, length, IPPROTO_TCP,
				       csum_partial(tcp, length, 0));
	skb->protocol = htons(ETH_P_IP);
}

static void put_ip_v6(struct sk_buff *skb, const struct splice_leg *leg)
{
	struct tcphdr *tcp = (struct tcphdr *)skb->data;
	u32 length = skb->len;
	struct ipv6hdr *ip = skb_push(skb, sizeof(*ip));

	memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = htons(length);
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = HOPS;
	memcpy(&ip->saddr, leg->key.local, 16);
	memcpy(&ip->daddr, leg->key.remote, 16);
	tcp->check = csum_ipv6_magic(&ip->saddr, &ip->daddr, length, IPPROTO_TCP,
				     csum_partial(tcp, length, 0));
	skb->protocol = htons(ETH_P_IPV6);
}

/* A segment to the peer of `side`, made by hand. Takes and leaves the flow's lock. While there is a socket it
 * goes where the socket's go: through this host's NAT, if they do. Past it, its peer would answer a
 * stranger with a RST, which our socket took for its own.
 */
static void send_by_hand(struct ss_flow *flow, int side, enum kind kind)
{
	const struct splice_leg *leg = &flow->slot.leg[side], *other = &flow->slot.leg[side ^ 1];
	struct ss_net *ssn = flow->ssn;
	struct sk_buff *skb;
	bool has_socket;
	int err;

	skb = alloc_skb(MAX_HEADER + sizeof(struct ipv6hdr) + MAX_TCP_HEADER, GFP_ATOMIC);
	if (!skb)
		return;
	skb_reserve(skb, MAX_HEADER + sizeof(struct ipv6hdr));
	spin_lock_bh(&flow->lock);
	if (kind == SECOND_RESET && number_of(leg, other, kind) == leg->ack) {
		spin_unlock_bh(&flow->lock);
		kfree_skb(skb);
		return;
	}
	put_tcp(skb, leg, other, kind);
	skb_reset_transport_header(skb);
	if (flow->slot.family == 4)
		put_ip_v4(skb, leg);
	else
		put_ip_v6(skb, leg);
	skb_reset_network_header(skb);
	err = ss_output_attach(flow, side, skb);
	has_socket = flow->slot.phase == SPLICE_PHASE_TRANSIT;
	spin_unlock_bh(&flow->lock);
	if (err) {
		kfree_skb(skb);
		return;
	}
	ss_count_more(ssn, is_reset(kind) ? SYMSPLICE_COUNT_RESETS : SYMSPLICE_COUNT_PROBES);
	if (has_socket)
		ss_output_send_local(ssn->net, skb);
	else
		ss_output_send(ssn->net, skb);
}

void ss_byhand_reset(struct ss_flow *flow, int side)
{
	send_by_hand(flow, side, RESET);
	send_by_hand(flow, side, SECOND_RESET);
}

void ss_byhand_probe(struct ss_flow *flow, int side)
{
	send_by_hand(flow, side, PROBE);
	/* While there is a socket its clock is the leg's. */
	if (READ_ONCE(flow->slot.phase) == SPLICE_PHASE_RELEASED &&
	    (flow->slot.leg[side].flags & SPLICE_LEG_TIMESTAMPS))
		send_by_hand(flow, side, SECOND_PROBE);
}
