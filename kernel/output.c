// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Relay stage: out of the other leg's device, by a route from the proxy's address to the peer's. A
 * leg keeps its route as a socket does, until the kernel says that it is obsolete.
 */
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>

#include "symsplice.h"

static struct dst_entry *ask_v4(struct net *net, const struct splice_leg *leg)
{
	struct flowi4 fl4 = {
		.flowi4_mark = SPLICE_MARK_RELAY,
		.flowi4_proto = IPPROTO_TCP,
		.flowi4_flags = FLOWI_FLAG_ANYSRC,
		.fl4_sport = ss_port(leg->key.local_port),
		.fl4_dport = ss_port(leg->key.remote_port),
	};
	struct rtable *rt;

	memcpy(&fl4.saddr, leg->key.local + 12, 4);
	memcpy(&fl4.daddr, leg->key.remote + 12, 4);
	rt = ip_route_output_key(net, &fl4);
	return IS_ERR(rt) ? NULL : &rt->dst;
}

static struct dst_entry *ask_v6(struct net *net, const struct splice_leg *leg, u32 *cookie)
{
	struct flowi6 fl6 = {
		.flowi6_mark = SPLICE_MARK_RELAY,
		.flowi6_proto = IPPROTO_TCP,
		.fl6_sport = ss_port(leg->key.local_port),
		.fl6_dport = ss_port(leg->key.remote_port),
	};
	struct dst_entry *dst;

	memcpy(&fl6.saddr, leg->key.local, 16);
	memcpy(&fl6.daddr, leg->key.remote, 16);
	if (ipv6_addr_type(&fl6.daddr) & IPV6_ADDR_LINKLOCAL)
		fl6.flowi6_oif = leg->ifindex;
	dst = ip6_route_output(net, NULL, &fl6);
	if (dst->error) {
		dst_release(dst);
		return NULL;
	}
	*cookie = rt6_get_cookie((struct rt6_info *)dst);
	return dst;
}

/* Makes sure that flow->dst[side] is a route that holds. */
int ss_output_route(struct ss_flow *flow, int side)
{
	struct net *net = flow->ssn->net;
	struct dst_entry *dst = flow->dst[side];

	if (dst && dst_check(dst, flow->dst_cookie[side]))
		return 0;
	dst_release(dst);
	dst = flow->slot.family == 4 ? ask_v4(net, &flow->slot.leg[side]) :
				       ask_v6(net, &flow->slot.leg[side], &flow->dst_cookie[side]);
	flow->dst[side] = dst;
	return dst ? 0 : -EHOSTUNREACH;
}

/* Most bytes of options and payload in one segment to that peer: what was announced, found out by
 * the socket, or is the route's now. Behind ss_output_route().
 */
u32 ss_output_limit(const struct ss_flow *flow, int side)
{
	u32 headers = flow->slot.family == 4 ? 40 : 60;
	u32 limit = flow->slot.leg[side].limit;
	u32 mtu = dst_mtu(flow->dst[side]);

	if (mtu > headers && (!limit || mtu - headers < limit))
		limit = mtu - headers;
	return limit;
}

/* What a packet was to this host it is not to the next. */
int ss_output_attach(struct ss_flow *flow, int side, struct sk_buff *skb)
{
	int err = ss_output_route(flow, side);

	if (err)
		return err;
	skb_orphan(skb);
	skb_scrub_packet(skb, false);
	skb_clear_tstamp(skb);
	memset(skb->cb, 0, sizeof(skb->cb));
	skb->mark = SPLICE_MARK_RELAY;
	skb_dst_set(skb, dst_clone(flow->dst[side]));
	return 0;
}

void ss_output_send(struct net *net, struct sk_buff *skb)
{
	rcu_read_lock_bh();
	dst_output(net, NULL, skb);
	rcu_read_unlock_bh();
}
