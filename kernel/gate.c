// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage splice, second part of a step: when segments with data are to wait. Called by the flow's worker
 * only.
 *
 * The gate is shut once both wires are proven: a segment of each leg has come by the hook with just the
 * addresses that its socket has. It opens again when the sockets do not become empty in time.
 */
#include <net/tcp.h>

#include "symsplice.h"

#define PAUSE_MOST HZ
/* Nobody tells when a process closes a descriptor that it still owes bytes through. */
#define PAUSE_OWED (HZ / 16 + 1)

/* When a peer that has sent nothing yet is asked for a sign, in ms since the splice. */
static const unsigned int probe_ms[] = { 3, 100, 300, 700, 1500 };

static unsigned long longest(void)
{
	return max(msecs_to_jiffies(READ_ONCE(ss_gate_ms)), 1UL);
}

static unsigned long until(unsigned long then)
{
	return time_after(then, jiffies) ? then - jiffies : 0;
}

/* A quiet peer is asked, until its segments are seen where they would be relayed. */
static void provoke(struct ss_flow *flow)
{
	bool unseen[2];
	int side;

	if (flow->probes >= ARRAY_SIZE(probe_ms) ||
	    until(flow->spliced + msecs_to_jiffies(probe_ms[flow->probes])))
		return;
	spin_lock_bh(&flow->lock);
	flow->probes++;
	for (side = 0; side < 2; side++) {
		struct splice_leg *leg = &flow->slot.leg[side];

		leg->ack = READ_ONCE(tcp_sk(flow->sk[side])->snd_una);
		leg->end = READ_ONCE(tcp_sk(flow->sk[side])->rcv_nxt);
		unseen[side] = !(leg->flags & SPLICE_LEG_SEEN);
	}
	spin_unlock_bh(&flow->lock);
	for (side = 0; side < 2; side++) {
		if (unseen[side])
			ss_byhand_probe(flow, side);
	}
}

/* What was queued goes to `back`, and to the sockets. */
static void open(struct ss_flow *flow, struct sk_buff_head *back)
{
	flow->gate = false;
	flow->gate_next = jiffies + flow->gate_pause;
	flow->gate_pause = min_t(unsigned long, 2 * flow->gate_pause, PAUSE_MOST);
	ss_queue_take(flow, SPLICE_CLIENT, back);
	ss_queue_take(flow, SPLICE_SERVER, back);
	ss_count_more(flow->ssn, SYMSPLICE_COUNT_GATES_OPENED);
}

static void shut(struct ss_flow *flow)
{
	flow->gate = true;
	flow->gate_shut = jiffies;
	ss_count_more(flow->ssn, SYMSPLICE_COUNT_GATES);
}

/* How long the worker may wait for somebody to wake it. */
static unsigned long pause_of(const struct ss_flow *flow)
{
	/* No callback says that everything is acknowledged, and the hook says it too early. */
	if (flow->gate)
		return 1;
	if (flow->owes_write[SPLICE_CLIENT] || flow->owes_write[SPLICE_SERVER])
		return PAUSE_OWED;
	if (ss_flow_is_proven(flow))
		return until(flow->gate_next);
	if (flow->probes < ARRAY_SIZE(probe_ms))
		return until(flow->spliced + msecs_to_jiffies(probe_ms[flow->probes]));
	return PAUSE_MOST;
}

/* Shuts the gate when it may be, opens it when it was shut too long. Gives how long the worker may sleep. */
unsigned long ss_gate_turn(struct ss_flow *flow)
{
	struct sk_buff_head back;
	unsigned long pause;

	__skb_queue_head_init(&back);
	spin_lock_bh(&flow->lock);
	if (flow->dead || flow->slot.phase != SPLICE_PHASE_TRANSIT) {
		spin_unlock_bh(&flow->lock);
		return 0;
	}
	if (flow->gate && time_after(jiffies, flow->gate_shut + longest()))
		open(flow, &back);
	else if (!flow->gate && ss_flow_is_proven(flow) && !flow->owes_write[SPLICE_CLIENT] &&
		 !flow->owes_write[SPLICE_SERVER] && !until(flow->gate_next))
		shut(flow);
	pause = pause_of(flow);
	spin_unlock_bh(&flow->lock);
	ss_queue_return(flow->ssn, &back);
	if (!ss_flow_is_proven(flow))
		provoke(flow);
	return pause;
}
