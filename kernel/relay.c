// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage relay: the hooks.
 *
 * ss_relay_in*	PRE_ROUTING, before anything else there (defragmentation, raw tables, conntrack): a
 *		segment of a flow without sockets never reaches the host, whose TCP would answer
 *		with a RST. Relayed segments pass POST_ROUTING and the output device as any.
 * ss_relay_out*	LOCAL_OUT: what this host may still say on a flow's connections. In transit
 *		everything: no byte was relayed past its sockets yet. After the release nothing.
 */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/inet_ecn.h>
#include <net/ip.h>
#include <net/tcp.h>
#include <net/xfrm.h>

#include "symsplice.h"

/* Bytes of options and payload in one segment on the wire. */
static u32 wire_size(const struct sk_buff *skb, const struct ss_segment *seg)
{
	u32 payload = skb_is_gso(skb) ? skb_shinfo(skb)->gso_size : seg->length;

	return payload + seg->header - sizeof(struct tcphdr);
}

/* What a router owes every packet, and ECN where only one leg has it. True: go on. */
static bool router_duties(struct ss_flow *flow, struct sk_buff *skb, const struct ss_segment *seg)
{
	const struct splice_leg *x = &flow->slot.leg[seg->side], *y = &flow->slot.leg[seg->side ^ 1];
	u8 hops = seg->ip6 ? ipv6_hdr(skb)->hop_limit : ip_hdr(skb)->ttl;

	if (hops <= 1) {
		ss_count(flow->ssn, SPLICE_COUNT_DROP_TTL);
		return false;
	}
	/* The receiver could not echo the mark, so the sender would never slow down: the loss of the
	 * segment tells it (RFC 6040 section 4.2). A sender without ECN made no mark, and would not
	 * get around losing every segment.
	 */
	if ((x->flags & SPLICE_LEG_ECN) && !(y->flags & SPLICE_LEG_ECN) &&
	    INET_ECN_is_ce(seg->ip6 ? ipv6_get_dsfield(ipv6_hdr(skb)) : ip_hdr(skb)->tos)) {
		ss_count(flow->ssn, SPLICE_COUNT_DROP_CE);
		return false;
	}
	return true;
}

/* Merged by a device in a way that cannot be undone: no router may pass it on. */
static bool is_lro(const struct sk_buff *skb)
{
	return skb_is_nonlinear(skb) && skb_shinfo(skb)->gso_size && !skb_shinfo(skb)->gso_type;
}

/* Whom a router tells that a segment is too big: who wants to hear it. For others it makes fragments. */
static bool may_be_cut(const struct sk_buff *skb, const struct ss_segment *seg)
{
	return !seg->ip6 && !(ip_hdr(skb)->frag_off & htons(IP_DF));
}

/* As its socket would ask, if it had one. */
bool ss_relay_is_allowed(struct sk_buff *skb, const struct ss_segment *seg)
{
	return xfrm_policy_check(NULL, XFRM_POLICY_IN, skb, seg->ip6 ? AF_INET6 : AF_INET);
}

static int drop(struct ss_flow *flow, enum splice_packet_counter why)
{
	ss_count(flow->ssn, why);
	return -EINVAL;
}

/* Makes a segment of a released flow ready to go out: 0, or negative when it is to be dropped. Under
 * the flow's lock; the event is told behind it.
 */
int ss_relay_prepare(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg,
		     struct ss_event *event)
{
	struct splice_leg *x = &flow->slot.leg[seg->side], *y = &flow->slot.leg[seg->side ^ 1];
	u32 limit;

	if (seg->fragment)
		return drop(flow, SPLICE_COUNT_DROP_FRAGMENT);
	if (seg->extra) {
		if (seg->ip6 || ss_segment_remove_options(skb, seg))
			return drop(flow, SPLICE_COUNT_DROP_EXTENSION);
		ss_count(flow->ssn, SPLICE_COUNT_OPTIONS_REMOVED);
	}
	if (!router_duties(flow, skb, seg))
		return -EINVAL;
	if (is_lro(skb))
		return drop(flow, SPLICE_COUNT_DROP_REWRITE);
	if (ss_output_route(flow, seg->side ^ 1)) {
		ss_count_more(flow->ssn, SYMSPLICE_COUNT_NO_ROUTE);
		return -EHOSTUNREACH;
	}
	limit = ss_output_limit(flow, seg->side ^ 1);
	if (limit && wire_size(skb, seg) > limit && !may_be_cut(skb, seg)) {
		/* One answer tells it all; the rest of the window that was under way needs none. */
		if (x->told == (u16)ss_tick() || !skb->dev)
			return drop(flow, SPLICE_COUNT_DROP_TOO_BIG);
		x->told = ss_tick();
		ss_icmp_too_big(skb, seg, limit);
		return drop(flow, SPLICE_COUNT_TOO_BIG);
	}
	/* The end of a flow is rare enough to make sure that it is no damage. */
	if ((seg->flags & (TCPHDR_FIN | TCPHDR_RST)) && !ss_segment_checksum_holds(skb, seg))
		return drop(flow, SPLICE_COUNT_DROP_CHECKSUM);
	ss_track_segment(flow, seg, event);
	if (ss_segment_unlist(skb, seg) || ss_rewrite_segment(skb, seg, x, y) || ss_output_attach(flow, seg->side ^ 1, skb))
		return drop(flow, SPLICE_COUNT_DROP_REWRITE);
	x->segments++;
	ss_count(flow->ssn, SPLICE_COUNT_RELAYED);
	return 0;
}

/* A segment of a flow whose sockets still own bytes. Their callbacks wake the worker for what they get;
 * here it is woken for what they do not tell: that a wire is proven, that all is acknowledged.
 */
static unsigned int transit(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg)
{
	struct splice_leg *leg = &flow->slot.leg[seg->side];
	bool was_seen = leg->flags & SPLICE_LEG_SEEN;
	unsigned int verdict;

	/* Whoever knows nothing of the connection answers with a RST, too. */
	if (!(seg->flags & TCPHDR_RST))
		leg->flags |= SPLICE_LEG_SEEN;
	leg->active = ss_tick();
	verdict = ss_queue_segment(flow, skb, seg);
	if (!was_seen || flow->gate)
		ss_splice_kick(flow);
	return verdict;
}

/* Segments of one flow, whatever its phase. */
static unsigned int relay_flow(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg,
			       const struct splice_key *key)
{
	struct ss_net *ssn = flow->ssn;
	struct ss_event event = {};
	unsigned int verdict;
	bool forget = false;

	spin_lock_bh(&flow->lock);
	if (!ss_flow_is(flow, seg->side, key)) {
		verdict = ss_leave(ssn, SPLICE_COUNT_NO_FLOW, NF_ACCEPT);
		goto out;
	}
	switch (flow->slot.phase) {
	case SPLICE_PHASE_FREE:
		verdict = ss_handshake_segment(flow, skb, seg, &forget);
		goto out;
	case SPLICE_PHASE_TRANSIT:
		verdict = transit(flow, skb, seg);
		goto out;
	case SPLICE_PHASE_ENDED:
		/* The tuple is used again. */
		forget = (seg->flags & (TCPHDR_SYN | TCPHDR_ACK)) == TCPHDR_SYN;
		if (forget) {
			verdict = ss_leave(ssn, SPLICE_COUNT_LOCAL_REUSE, NF_ACCEPT);
			goto out;
		}
		break;
	default:
		break;
	}
	if (!ss_relay_is_allowed(skb, seg)) {
		ss_count_more(ssn, SYMSPLICE_COUNT_POLICY);
		verdict = NF_DROP;
		goto out;
	}
	if (flow->flushing) {
		ss_queue_add(flow, skb, seg);
		verdict = NF_STOLEN;
		goto out;
	}
	if (ss_relay_prepare(flow, skb, seg, &event)) {
		verdict = NF_DROP;
		goto out;
	}
	spin_unlock_bh(&flow->lock);
	ss_output_send(ssn->net, skb);
	ss_track_tell(ssn, &event);
	return NF_STOLEN;
out:
	spin_unlock_bh(&flow->lock);
	if (forget)
		ss_flow_remove(flow);
	return verdict;
}

static unsigned int relay_in(struct sk_buff *skb, const struct nf_hook_state *state, bool ip6)
{
	struct ss_net *ssn = ss_net_of(state->net);
	struct ss_segment seg;
	struct ss_flow *flow;
	struct splice_key key;
	unsigned int verdict;

	/* A copy for all, or for somebody else: TCP takes none, and no router passes one on. */
	if (skb->pkt_type != PACKET_HOST)
		return ss_leave(ssn, SPLICE_COUNT_NO_FLOW, NF_ACCEPT);
	switch (ss_segment_parse(skb, ip6, false, &seg, &key)) {
	case SS_PARSED_SEGMENT:
		break;
	case SS_PARSED_ICMP:
		return ss_icmp_translate(ssn, skb, state->in, ip6);
	case SS_PARSED_NOT_TCP:
		return ss_leave(ssn, SPLICE_COUNT_NOT_TCP, NF_ACCEPT);
	default:
		return ss_leave(ssn, SPLICE_COUNT_SHORT, NF_ACCEPT);
	}
	rcu_read_lock();
	flow = ss_table_find(ssn, &key, &seg.side);
	if (flow && ss_output_takes(flow, seg.side, state->in))
		verdict = relay_flow(flow, skb, &seg, &key);
	else
		verdict = ss_leave(ssn, SPLICE_COUNT_NO_FLOW, NF_ACCEPT);
	rcu_read_unlock();
	return verdict;
}

static unsigned int relay_in_v4(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return relay_in(skb, state, false);
}

static unsigned int relay_in_v6(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return relay_in(skb, state, true);
}

/* A segment of ours on a connection of a flow. */
static unsigned int guard_flow(struct ss_flow *flow, struct ss_segment *seg, const struct splice_key *key,
			       bool *forget)
{
	struct ss_net *ssn = flow->ssn;
	bool is_syn = (seg->flags & (TCPHDR_SYN | TCPHDR_ACK)) == TCPHDR_SYN;
	unsigned int verdict;

	spin_lock_bh(&flow->lock);
	if (!ss_flow_is(flow, seg->side, key)) {
		verdict = ss_leave(ssn, SPLICE_COUNT_GUARD_NOT_OURS, NF_ACCEPT);
	} else if (flow->slot.phase == SPLICE_PHASE_FREE) {
		verdict = ss_leave(ssn, SPLICE_COUNT_GUARD_LOCAL, NF_ACCEPT);
	} else if (flow->slot.phase == SPLICE_PHASE_TRANSIT) {
		/* The process may have written what it owed. */
		if (flow->owes_write[seg->side])
			ss_splice_kick_later(flow, 1);
		verdict = ss_leave(ssn, SPLICE_COUNT_GUARD_LOCAL, NF_ACCEPT);
	} else if (is_syn && flow->slot.phase == SPLICE_PHASE_ENDED) {
		*forget = true;
		verdict = NF_ACCEPT;
	} else if (is_syn) {
		/* The kernel has chosen the port of a flow again, of which it knows nothing: whoever
		 * connects is told at once, and tries another one.
		 */
		verdict = ss_leave(ssn, SPLICE_COUNT_GUARD_SILENCED, NF_DROP_ERR(-ECONNREFUSED));
	} else {
		verdict = ss_leave(ssn, SPLICE_COUNT_GUARD_SILENCED, NF_DROP);
	}
	spin_unlock_bh(&flow->lock);
	return verdict;
}

static unsigned int relay_out(struct sk_buff *skb, const struct nf_hook_state *state, bool ip6)
{
	struct ss_net *ssn = ss_net_of(state->net);
	unsigned int verdict = NF_ACCEPT;
	struct ss_segment seg;
	struct ss_flow *flow;
	struct splice_key key;
	bool forget = false;

	if (ss_segment_parse(skb, ip6, true, &seg, &key) != SS_PARSED_SEGMENT)
		return ss_leave(ssn, SPLICE_COUNT_GUARD_NOT_OURS, NF_ACCEPT);
	rcu_read_lock();
	flow = ss_table_find(ssn, &key, &seg.side);
	if (flow && !ss_output_takes(flow, seg.side, state->out))
		flow = NULL;
	if (flow) {
		verdict = guard_flow(flow, &seg, &key, &forget);
		if (forget)
			ss_flow_remove(flow);
	}
	if (verdict == NF_ACCEPT && (!flow || forget || READ_ONCE(flow->slot.phase) == SPLICE_PHASE_FREE)) {
		if ((seg.flags & (TCPHDR_SYN | TCPHDR_ACK)) == TCPHDR_SYN)
			verdict = ss_handshake_syn(ssn, skb, &seg, &key);
		else if (!flow)
			ss_count(ssn, SPLICE_COUNT_GUARD_NOT_OURS);
	}
	rcu_read_unlock();
	return verdict;
}

static unsigned int relay_out_v4(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return relay_out(skb, state, false);
}

static unsigned int relay_out_v6(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return relay_out(skb, state, true);
}

static const struct nf_hook_ops hooks[] = {
	{
		.hook = relay_in_v4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_FIRST,
	},
	{
		.hook = relay_in_v6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP6_PRI_FIRST,
	},
	{
		.hook = relay_out_v4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_FIRST,
	},
	{
		.hook = relay_out_v6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP6_PRI_FIRST,
	},
};

int ss_relay_register(struct net *net)
{
	return nf_register_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}

void ss_relay_unregister(struct net *net)
{
	nf_unregister_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}
