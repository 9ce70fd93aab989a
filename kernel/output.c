// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Relay stage: out of the other leg's device, by a route from the proxy's address to the peer's.
 *
 * A leg's segments go where its socket's went: to its device, by its mark, its owner and its type of
 * service, if rules ask for these. It keeps its route as a socket does, until the kernel says that it is
 * obsolete. IPsec's policies are asked with the route.
 */
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/route.h>

#include "compat.h"
#include "symsplice.h"

/* What a route is asked for with, of a socket that may go. */
void ss_output_learn(struct ss_flow *flow, int side, struct sock *sk)
{
	struct ss_route *route = &flow->route[side];

	route->device = READ_ONCE(sk->sk_bound_dev_if);
	route->mark = READ_ONCE(sk->sk_mark);
	if (!route->mark)
		route->mark = SPLICE_MARK_RELAY;
	route->uid = sock_net_uid(sock_net(sk), sk);
	route->tos = sk->sk_family == AF_INET ? READ_ONCE(inet_sk(sk)->tos) : inet6_sk(sk)->tclass;
}

/* Whether a segment that comes from, or goes to, this device can be of the leg's connection: addresses
 * may be used again in another VRF, or at a device that the socket is not bound to.
 */
bool ss_output_takes(const struct ss_flow *flow, int side, const struct net_device *dev)
{
	int master = l3mdev_master_ifindex_rcu(dev);

	return inet_sk_bound_dev_eq(flow->ssn->net, flow->route[side].device,
				    master ? master : dev->ifindex, master ? dev->ifindex : 0);
}

static struct dst_entry *ask_v4(struct net *net, const struct splice_leg *leg,
				const struct ss_route *route)
{
	struct flowi4 fl4 = {
		.flowi4_oif = route->device,
		.flowi4_mark = route->mark,
		.flowi4_uid = route->uid,
		.flowi4_proto = IPPROTO_TCP,
		.flowi4_flags = FLOWI_FLAG_ANYSRC,
		.fl4_sport = ss_port(leg->key.local_port),
		.fl4_dport = ss_port(leg->key.remote_port),
	};
	struct rtable *rt;

	memcpy(&fl4.saddr, leg->key.local + 12, 4);
	memcpy(&fl4.daddr, leg->key.remote + 12, 4);
	ss_compat_set_tos(&fl4, route->tos);
	rt = ip_route_output_flow(net, &fl4, NULL);
	return IS_ERR(rt) ? NULL : &rt->dst;
}

static struct dst_entry *ask_v6(struct net *net, const struct splice_leg *leg, struct ss_route *route)
{
	struct flowi6 fl6 = {
		.flowi6_oif = route->device,
		.flowi6_mark = route->mark,
		.flowi6_uid = route->uid,
		.flowi6_proto = IPPROTO_TCP,
		.flowlabel = ip6_make_flowinfo(route->tos, 0),
		.fl6_sport = ss_port(leg->key.local_port),
		.fl6_dport = ss_port(leg->key.remote_port),
	};
	struct dst_entry *dst;

	memcpy(&fl6.saddr, leg->key.local, 16);
	memcpy(&fl6.daddr, leg->key.remote, 16);
	if (!fl6.flowi6_oif && (ipv6_addr_type(&fl6.daddr) & IPV6_ADDR_LINKLOCAL))
		fl6.flowi6_oif = leg->ifindex;
	dst = ip6_dst_lookup_flow(net, NULL, &fl6, NULL);
	if (IS_ERR(dst))
		return NULL;
	route->cookie = rt6_get_cookie((struct rt6_info *)dst);
	return dst;
}

/* Makes sure that there is a route that holds. */
int ss_output_route(struct ss_flow *flow, int side)
{
	const struct splice_leg *leg = &flow->slot.leg[side];
	struct ss_route *route = &flow->route[side];
	struct net *net = flow->ssn->net;

	if (route->dst && dst_check(route->dst, route->cookie))
		return 0;
	dst_release(route->dst);
	route->dst = flow->slot.family == 4 ? ask_v4(net, leg, route) : ask_v6(net, leg, route);
	return route->dst ? 0 : -EHOSTUNREACH;
}

/* Whether the route leads to this host itself. Behind ss_output_route(). */
bool ss_output_is_local(const struct ss_flow *flow, int side)
{
	const struct dst_entry *dst = flow->route[side].dst;

	if (dst->dev->flags & IFF_LOOPBACK)
		return true;
	if (flow->slot.family == 4)
		return ((const struct rtable *)dst)->rt_flags & RTCF_LOCAL;
	return ((const struct rt6_info *)dst)->rt6i_flags & RTF_LOCAL;
}

/* Most bytes of options and payload in one segment to that peer: what was announced, found out by
 * the socket, or is the route's now. Behind ss_output_route().
 */
u32 ss_output_limit(const struct ss_flow *flow, int side)
{
	u32 headers = flow->slot.family == 4 ? 40 : 60;
	u32 limit = flow->slot.leg[side].limit;
	u32 mtu = dst_mtu(flow->route[side].dst);

	if (mtu > headers && (!limit || mtu - headers < limit))
		limit = mtu - headers;
	return limit;
}

/* What a packet was to this host it is not to the next. Rules behind us ask conntrack about it, which has
 * not seen it: that it was not to look is something else than that it makes no sense (`invalid`).
 */
int ss_output_attach(struct ss_flow *flow, int side, struct sk_buff *skb)
{
	int err = ss_output_route(flow, side);

	if (err)
		return err;
	skb_orphan(skb);
	skb_scrub_packet(skb, false);
	skb_clear_tstamp(skb);
	memset(skb->cb, 0, sizeof(skb->cb));
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
#endif
	skb->mark = flow->route[side].mark;
	skb_dst_set(skb, dst_clone(flow->route[side].dst));
	return 0;
}

void ss_output_send(struct net *net, struct sk_buff *skb)
{
	local_bh_disable();
	rcu_read_lock();
	dst_output(net, NULL, skb);
	rcu_read_unlock();
	local_bh_enable();
}

/* Through LOCAL_OUT, as what a socket sends: with conntrack and NAT, where they are. */
void ss_output_send_local(struct net *net, struct sk_buff *skb)
{
	nf_reset_ct(skb);
	rcu_read_lock_bh();
	if (skb->protocol == htons(ETH_P_IP))
		ip_local_out(net, NULL, skb);
	else
		ip6_local_out(net, NULL, skb);
	rcu_read_unlock_bh();
}
