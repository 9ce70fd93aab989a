// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage splice, last part of a step: from two sockets to none. Called by the flow's worker only.
 *
 * What a race can do. A segment may have passed the hook before the gate was shut and reach the
 * socket later: before the release its bytes are pumped, after it they find no socket, nobody has
 * acknowledged them, and the RST that the host makes for them is dropped at LOCAL_OUT; the peer
 * sends them again.
 */
#include <net/tcp.h>

#include "symsplice.h"

/* A socket that is about to go owes its peer no acknowledgement any more: else the peer would have to
 * send again, and think of congestion.
 */
static void settle(struct sock *sk)
{
	if (inet_csk_ack_scheduled(sk))
		tcp_sock_set_quickack(sk, 1);
}

/* Nothing to read, nothing to write, nothing unacknowledged; and the connection is still there, with just
 * those ends that the pump has passed on.
 */
static bool owns_nothing(const struct ss_flow *flow, int side, struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_FIN_WAIT2) &&
	       (sk->sk_state == TCP_CLOSE_WAIT) == flow->shut[side] &&
	       (sk->sk_state == TCP_FIN_WAIT2) == flow->shut[side ^ 1] &&
	       tp->copied_seq == tp->rcv_nxt && tp->copied_seq == flow->copied[side] &&
	       tp->snd_una == tp->write_seq && RB_EMPTY_ROOT(&tp->out_of_order_queue) &&
	       !READ_ONCE(sk->sk_backlog.len) && !sk->sk_err;
}

/* Whether the flow needs its sockets no more. Under all three locks. */
static bool is_ready(const struct ss_flow *flow, struct sock *client, struct sock *server)
{
	return !flow->dead && flow->slot.phase == SPLICE_PHASE_TRANSIT && flow->gate &&
	       ss_flow_is_proven(flow) && !flow->owes_write[SPLICE_CLIENT] && !flow->owes_write[SPLICE_SERVER] &&
	       owns_nothing(flow, SPLICE_CLIENT, client) && owns_nothing(flow, SPLICE_SERVER, server);
}

/* What segments need to know of the connections from now on. */
static void fill_leg(struct ss_flow *flow, int side)
{
	const struct tcp_sock *lx = tcp_sk(flow->sk[side]), *ly = tcp_sk(flow->sk[side ^ 1]);
	struct splice_leg *x = &flow->slot.leg[side], *y = &flow->slot.leg[side ^ 1];

	x->seq_delta = splice_delta(lx->rcv_nxt, ly->write_seq);
	/* Not before what the receiver has seen: X's clock has gone on since its latest timestamp. */
	x->ts_delta = ss_accept_clock(y) - lx->rx_opt.ts_recent;
	x->cut = lx->rcv_nxt;
	x->end = lx->rcv_nxt;
	x->ack = lx->snd_una;
	x->edge_ack = lx->rcv_nxt;
	x->promised = lx->snd_una + lx->snd_wnd;
	x->bytes = flow->pumped[side];
	x->way = SPLICE_WAY_FAST;
	x->active = ss_tick();
}

static void fill_ends(struct ss_flow *flow, int side)
{
	const struct tcp_sock *lx = tcp_sk(flow->sk[side]);
	struct splice_leg *x = &flow->slot.leg[side], *y = &flow->slot.leg[side ^ 1];

	ss_track_promise(y, splice_map_seq(lx->rcv_wup + lx->rcv_wnd, x->seq_delta));
	ss_track_side_event(flow, side ^ 1, SPLICE_ON_RELEASE);
	if (!flow->shut[side])
		return;
	x->fin_end = lx->rcv_nxt;
	x->flags |= SPLICE_LEG_FIN;
	ss_track_side_event(flow, side ^ 1, SPLICE_ON_FIN_ACKED);
}

/* To SPLICED. Under all three locks: so the sockets cannot change, and no segment passes in between. */
static void release(struct ss_flow *flow, struct ss_event *event)
{
	fill_leg(flow, SPLICE_CLIENT);
	fill_leg(flow, SPLICE_SERVER);
	fill_ends(flow, SPLICE_CLIENT);
	fill_ends(flow, SPLICE_SERVER);
	flow->slot.phase = SPLICE_PHASE_RELEASED;
	flow->probes = 0;
	flow->gate = false;
	flow->flushing = true;
	ss_track_note(flow, SPLICE_PACKET_RELEASED, event);
	ss_count_more(flow->ssn, SYMSPLICE_COUNT_RELEASES);
}

/* Takes the connection away from a socket, which says nothing to its peer. Under its lock. */
static void silence(struct ss_flow *flow, int side, struct sock *sk)
{
	ss_wake_deafen(flow, side, sk);
	tcp_sk(sk)->repair = 1;
	sk->sk_prot->disconnect(sk, 0);
	tcp_sk(sk)->repair = 0;
}

/* Moves what waits to `ready`, as segments of the other leg. Under the flow's lock. */
static void prepare(struct ss_flow *flow, struct sk_buff_head *ready, struct ss_event *event)
{
	struct sk_buff_head waiting;
	struct ss_segment seg;
	struct splice_key key;
	struct sk_buff *skb;
	int side;

	__skb_queue_head_init(&waiting);
	for (side = 0; side < 2; side++) {
		ss_queue_take(flow, side, &waiting);
		while ((skb = __skb_dequeue(&waiting))) {
			if (ss_segment_parse(skb, flow->slot.family == 6, false, &seg, &key) !=
			    SS_PARSED_SEGMENT) {
				kfree_skb(skb);
				continue;
			}
			seg.side = side;
			if (ss_relay_prepare(flow, skb, &seg, event)) {
				kfree_skb(skb);
				continue;
			}
			ss_count_more(flow->ssn, SYMSPLICE_COUNT_QUEUE_RELAYED);
			__skb_queue_tail(ready, skb);
		}
	}
}

/* Relays what has waited, and what comes meanwhile, in order; then segments go by themselves. */
static void flush(struct ss_flow *flow)
{
	struct ss_net *ssn = flow->ssn;
	struct ss_event event = {};
	struct sk_buff_head ready;
	struct sk_buff *skb;
	bool done;

	__skb_queue_head_init(&ready);
	do {
		spin_lock_bh(&flow->lock);
		prepare(flow, &ready, &event);
		done = skb_queue_empty(&ready);
		if (done)
			flow->flushing = false;
		spin_unlock_bh(&flow->lock);
		while ((skb = __skb_dequeue(&ready)))
			ss_output_send(ssn->net, skb);
		cond_resched();
	} while (!done);
	ss_track_tell(ssn, &event);
}

/* To RELEASED, if the sockets own nothing. True: it is. */
bool ss_release_try(struct ss_flow *flow, struct socket *socks[2])
{
	struct sock *client = socks[SPLICE_CLIENT]->sk, *server = socks[SPLICE_SERVER]->sk;
	struct ss_event event = {};
	bool released;

	settle(client);
	settle(server);
	ss_splice_lock(client, server);
	spin_lock_bh(&flow->lock);
	released = is_ready(flow, client, server);
	if (released)
		release(flow, &event);
	spin_unlock_bh(&flow->lock);
	if (released) {
		silence(flow, SPLICE_CLIENT, client);
		silence(flow, SPLICE_SERVER, server);
	}
	ss_splice_unlock(client, server);
	if (!released)
		return false;
	/* Before anything that the queue may tell. */
	ss_track_tell(flow->ssn, &event);
	flush(flow);
	return true;
}
