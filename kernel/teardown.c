// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage teardown: how flows end that do not end by themselves, and when the others are forgotten.
 *
 * Timers, all looked at once a second by the sweep of the namespace:
 *   2 MSL	after both FINs are acknowledged (`time_wait_ms`); a flow relays on until then
 *   quiet	2 s after a reset, for segments that were under way
 *   idle	no byte either way for as long as splice() said: both peers get a RST
 *   keepalive	a peer that has said nothing for net.ipv4.tcp_keepalive_time is asked, as a socket
 *		would, and after tcp_keepalive_probes questions given up. In transit the sockets do it
 *   intents	one of the two sockets was closed
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include <net/tcp.h>

#include "symsplice.h"

#define HOPS 64
#define RESET_QUIET_MS 2000
#define HALF_CIRCLE BIT(31)

enum kind { RESET, PROBE, SECOND_PROBE };

/* The peer takes a RST only at the very sequence number that it expects (RFC 5961): the one that it
 * acknowledged last. It asks for no timestamps there, but drops anything else without (RFC 7323
 * section 3.2). The other peer's clock, which relayed segments carry on, may have run away from ours:
 * of two values half a circle apart one is not old, and its segment is answered for its number, which
 * is from before the window.
 */
static void put_tcp(struct sk_buff *skb, const struct splice_leg *leg, enum kind kind)
{
	bool stamped = kind != RESET && (leg->flags & SPLICE_LEG_TIMESTAMPS);
	u32 length = sizeof(struct tcphdr) + (stamped ? TCPOLEN_TSTAMP_ALIGNED : 0);
	struct tcphdr *tcp = skb_put_zero(skb, length);
	__be32 *options = (__be32 *)(tcp + 1);

	tcp->source = ss_port(leg->key.local_port);
	tcp->dest = ss_port(leg->key.remote_port);
	tcp->seq = htonl(kind == RESET ? leg->ack : leg->ack - 1);
	tcp->ack_seq = htonl(leg->end);
	tcp->doff = length / 4;
	tcp->rst = kind == RESET;
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

/* A segment to the peer of `side`, made by hand. Takes and leaves the flow's lock. */
static void send_by_hand(struct ss_flow *flow, int side, enum kind kind)
{
	const struct splice_leg *leg = &flow->slot.leg[side];
	struct ss_net *ssn = flow->ssn;
	struct sk_buff *skb;
	int err;

	skb = alloc_skb(MAX_HEADER + sizeof(struct ipv6hdr) + MAX_TCP_HEADER, GFP_ATOMIC);
	if (!skb)
		return;
	skb_reserve(skb, MAX_HEADER + sizeof(struct ipv6hdr));
	spin_lock_bh(&flow->lock);
	put_tcp(skb, leg, kind);
	skb_reset_transport_header(skb);
	if (flow->slot.family == 4)
		put_ip_v4(skb, leg);
	else
		put_ip_v6(skb, leg);
	skb_reset_network_header(skb);
	err = ss_output_attach(flow, side, skb);
	spin_unlock_bh(&flow->lock);
	if (err) {
		kfree_skb(skb);
		return;
	}
	ss_count_more(ssn, kind == RESET ? SYMSPLICE_COUNT_RESETS : SYMSPLICE_COUNT_PROBES);
	ss_output_send(ssn->net, skb);
}

void ss_teardown_probe(struct ss_flow *flow, int side)
{
	send_by_hand(flow, side, PROBE);
	/* While there is a socket its clock is the leg's. */
	if (READ_ONCE(flow->slot.phase) == SPLICE_PHASE_RELEASED &&
	    (flow->slot.leg[side].flags & SPLICE_LEG_TIMESTAMPS))
		send_by_hand(flow, side, SECOND_PROBE);
}

/* To ENDED for `reason`, unless it is already. Gives the phase it was in; FREE: nothing to do. */
static u32 end(struct ss_flow *flow, u32 reason)
{
	struct ss_event event = {};
	u32 phase = SPLICE_PHASE_FREE;

	spin_lock_bh(&flow->lock);
	if (!flow->dead && flow->slot.phase != SPLICE_PHASE_FREE) {
		phase = flow->slot.phase;
		ss_track_side_event(flow, SPLICE_CLIENT, SPLICE_ON_RESET);
		ss_track_side_event(flow, SPLICE_SERVER, SPLICE_ON_RESET);
		ss_track_end(flow, reason, &event);
	}
	spin_unlock_bh(&flow->lock);
	ss_track_tell(flow->ssn, &event);
	return phase;
}

/* The kernel's own resets: of a socket with a connection disconnect() makes one. */
static void reset_sockets(struct ss_flow *flow)
{
	struct sock *sks[2];
	int side;

	spin_lock_bh(&flow->lock);
	for (side = 0; side < 2; side++) {
		sks[side] = flow->sk[side];
		if (sks[side])
			sock_hold(sks[side]);
	}
	spin_unlock_bh(&flow->lock);
	for (side = 0; side < 2; side++) {
		if (!sks[side])
			continue;
		lock_sock(sks[side]);
		if (sks[side]->sk_state != TCP_CLOSE)
			sks[side]->sk_prot->disconnect(sks[side], 0);
		release_sock(sks[side]);
		sock_put(sks[side]);
	}
}

/* Both peers hear of it: a) whoever comes first ends it; b) the keys go, so that the guard lets
 * resets of the sockets pass; c) resets, by the sockets while there are any, else by hand.
 */
void ss_teardown_abort(struct ss_flow *flow, u32 reason)
{
	u32 phase = end(flow, reason);

	ss_flow_remove(flow);
	if (phase == SPLICE_PHASE_TRANSIT) {
		reset_sockets(flow);
	} else if (phase == SPLICE_PHASE_RELEASED) {
		send_by_hand(flow, SPLICE_CLIENT, RESET);
		send_by_hand(flow, SPLICE_SERVER, RESET);
	}
}

static u64 ms_since(u32 tick)
{
	s32 ticks = ss_tick() - tick;

	return ticks > 0 ? div_u64((u64)ticks << SPLICE_TICK_SHIFT, NSEC_PER_MSEC) : 0;
}

/* In jiffies, as the kernel keeps its settings. */
static unsigned long silence_of(u32 tick)
{
	return msecs_to_jiffies(ms_since(tick));
}

enum vigil { NOTHING, FORGET, ASK, GIVE_UP, DOOM };

/* A peer that vanished without a word is noticed as a socket with SO_KEEPALIVE would, and at the same
 * pace. Under the flow's lock.
 */
static enum vigil keep_vigil(struct ss_flow *flow, u32 *reason)
{
	const struct splice_leg *client = &flow->slot.leg[SPLICE_CLIENT];
	const struct splice_leg *server = &flow->slot.leg[SPLICE_SERVER];
	bool is_client = (s32)(client->active - server->active) < 0;
	struct netns_ipv4 *ipv4 = &flow->ssn->net->ipv4;
	u32 heard = is_client ? client->active : server->active;

	/* The answer, if it came, came behind the question. */
	if (flow->probes && (s32)(heard - flow->probed) >= 0)
		flow->probes = 0;
	if (flow->probes ? silence_of(flow->probed) < READ_ONCE(ipv4->sysctl_tcp_keepalive_intvl) :
			   silence_of(heard) < READ_ONCE(ipv4->sysctl_tcp_keepalive_time))
		return NOTHING;
	if (flow->probes < READ_ONCE(ipv4->sysctl_tcp_keepalive_probes)) {
		flow->probes++;
		flow->probed = ss_tick();
		return ASK;
	}
	*reason = is_client ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET;
	return GIVE_UP;
}

static enum vigil look(struct ss_flow *flow, u32 *reason)
{
	const struct splice_flow_slot *slot = &flow->slot;
	u32 wait;

	if (flow->dead)
		return NOTHING;
	switch (slot->phase) {
	case SPLICE_PHASE_FREE:
		/* One without sockets is being made, or is refused in a moment. */
		if (!flow->sk[SPLICE_CLIENT] || !flow->sk[SPLICE_SERVER])
			return NOTHING;
		return sock_flag(flow->sk[SPLICE_CLIENT], SOCK_DEAD) ||
		       sock_flag(flow->sk[SPLICE_SERVER], SOCK_DEAD) ? FORGET : NOTHING;
	case SPLICE_PHASE_ENDED:
		wait = slot->reason == SPLICE_CLOSE_END ? READ_ONCE(ss_time_wait_ms) : RESET_QUIET_MS;
		return ms_since(slot->ended) >= min(wait, READ_ONCE(ss_time_wait_ms)) ? FORGET : NOTHING;
	default:
		break;
	}
	*reason = SPLICE_CLOSE_IDLE;
	if (flow->idle_ms && ms_since(slot->moved) >= flow->idle_ms)
		return slot->phase == SPLICE_PHASE_TRANSIT ? DOOM : GIVE_UP;
	return slot->phase == SPLICE_PHASE_TRANSIT ? NOTHING : keep_vigil(flow, reason);
}

static void act(struct ss_flow *flow, enum vigil vigil, u32 reason)
{
	switch (vigil) {
	case FORGET:
		ss_flow_remove(flow);
		break;
	case ASK:
		ss_teardown_probe(flow, SPLICE_CLIENT);
		ss_teardown_probe(flow, SPLICE_SERVER);
		break;
	case GIVE_UP:
		/* Without sockets it does not sleep. */
		ss_teardown_abort(flow, reason);
		break;
	case DOOM:
		flow->doom_reason = reason;
		WRITE_ONCE(flow->doomed, true);
		ss_splice_kick(flow);
		break;
	case NOTHING:
		break;
	}
}

void ss_teardown_sweep(struct work_struct *work)
{
	struct ss_net *ssn = container_of(to_delayed_work(work), struct ss_net, sweep);
	struct ss_flow *flow;
	enum vigil vigil;
	u32 reason = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(flow, &ssn->flows, list) {
		spin_lock_bh(&flow->lock);
		vigil = look(flow, &reason);
		spin_unlock_bh(&flow->lock);
		act(flow, vigil, reason);
	}
	rcu_read_unlock();

	spin_lock_bh(&ssn->lock);
	if (ssn->count && !ssn->closing)
		queue_delayed_work(system_power_efficient_wq, &ssn->sweep, HZ);
	spin_unlock_bh(&ssn->lock);
}
