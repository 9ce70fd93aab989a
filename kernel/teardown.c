// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage teardown: how flows end that do not end by themselves, and when the others are forgotten.
 *
 * Timers, all looked at once a second by the sweep of the namespace:
 *   2 MSL	after both FINs are acknowledged (`time_wait_ms`); a flow relays on until then
 *   quiet	2 s after a reset, for segments that were under way
 *   idle	no byte either way for as long as splice() said: both peers get a RST
 *   keepalive	a peer that has said nothing for net.ipv4.tcp_keepalive_time is asked, as a socket
 *		would, and after tcp_keepalive_probes questions given up. In transit the sockets do it
 *   intents	one of the two sockets was closed, or the client's connection is over
 */
#include <net/tcp.h>

#include "symsplice.h"

#define RESET_QUIET_MS 2000

/* To ENDED for `reason`, unless it is already. Gives the phase it was in; FREE: nothing to do. The keys go in
 * the same moment: the worker may already be on its way to the sockets, and the guard would take their resets
 * for words of a flow without sockets.
 */
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
		ss_flow_drop_key(flow, SPLICE_CLIENT);
		ss_flow_drop_key(flow, SPLICE_SERVER);
	}
	spin_unlock_bh(&flow->lock);
	ss_track_tell(flow->ssn, &event);
	return phase;
}

/* Both peers hear of it: a) whoever comes first ends it, and takes its keys away, so that the guard lets
 * resets of the sockets pass; b) it goes; c) resets: while there are sockets by them, for which the worker is
 * woken, whose they are; else by hand.
 */
void ss_teardown_abort(struct ss_flow *flow, u32 reason)
{
	u32 phase = end(flow, reason);

	ss_flow_remove(flow);
	if (phase == SPLICE_PHASE_TRANSIT) {
		ss_splice_kick(flow);
	} else if (phase == SPLICE_PHASE_RELEASED) {
		ss_byhand_reset(flow, SPLICE_CLIENT);
		ss_byhand_reset(flow, SPLICE_SERVER);
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
		/* One without sockets is being spliced, or refused in a moment. */
		if (!flow->sk[SPLICE_CLIENT] || !flow->sk[SPLICE_SERVER])
			return NOTHING;
		return sock_flag(flow->sk[SPLICE_CLIENT], SOCK_DEAD) ||
		       sock_flag(flow->sk[SPLICE_SERVER], SOCK_DEAD) ||
		       READ_ONCE(flow->sk[SPLICE_CLIENT]->sk_state) == TCP_CLOSE ? FORGET : NOTHING;
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
		ss_byhand_probe(flow, SPLICE_CLIENT);
		ss_byhand_probe(flow, SPLICE_SERVER);
		break;
	case GIVE_UP:
		ss_teardown_abort(flow, reason);
		break;
	case DOOM:
		flow->doom_reason = reason;
		/* The reason first: pairs with step(). */
		smp_store_release(&flow->doomed, true);
		ss_splice_kick(flow);
		break;
	case NOTHING:
		break;
	}
}

/* Flow by flow, each with a reference: neither does it keep the processor, nor a grace period from ending. */
void ss_teardown_sweep(struct work_struct *work)
{
	struct ss_net *ssn = container_of(to_delayed_work(work), struct ss_net, sweep);
	struct ss_flow *flow;
	enum vigil vigil;
	u32 reason = 0;
	u64 id = 0;

	while ((flow = ss_table_get_from(ssn, id))) {
		id = flow->id + 1;
		spin_lock_bh(&flow->lock);
		vigil = look(flow, &reason);
		spin_unlock_bh(&flow->lock);
		act(flow, vigil, reason);
		ss_flow_put(flow);
		cond_resched();
	}
	spin_lock_bh(&ssn->lock);
	if (ssn->count && !ssn->closing)
		queue_delayed_work(system_power_efficient_wq, &ssn->sweep, HZ);
	spin_unlock_bh(&ssn->lock);
}
