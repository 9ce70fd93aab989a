// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage handshake: two sockets are intended for each other, and the second is about to connect.
 *
 * An intent is a flow in phase FREE: both sides' states ESTABLISHED as soon as their connections
 * are. It holds the sockets' memory, but neither file nor descriptor: who closes one ends the
 * intent, found by the next segment or sweep. From the intent on segments with data are queued.
 *
 * The SYN towards the server offers no more than the client's leg has: options that only one leg has
 * would have to be made up or taken out in every segment; a SYN that never offered them costs
 * nothing afterwards.
 */
#include <net/tcp.h>

#include "symsplice.h"

static u32 options_lacking(const struct sock *sk)
{
	const struct tcp_options_received *opt = &tcp_sk(sk)->rx_opt;

	return (opt->tstamp_ok ? 0 : SPLICE_LEG_TIMESTAMPS) | (opt->sack_ok ? 0 : SPLICE_LEG_SACK) |
	       (opt->wscale_ok ? 0 : SPLICE_INTENT_SCALE);
}

/* The server must not send what the client takes in no segment. */
static void align_mss(struct sock *client, struct sock *server)
{
	u16 mss = tcp_sk(client)->rx_opt.mss_clamp;

	lock_sock(server);
	if (server->sk_state == TCP_CLOSE)
		tcp_sk(server)->rx_opt.user_mss = mss;
	release_sock(server);
}

/* The intent of a client's socket, with a reference; null: there is none. */
struct ss_flow *ss_handshake_find(struct ss_net *ssn, struct sock *client)
{
	struct ss_flow *flow, *found = NULL;
	struct splice_key key;
	u8 side;

	ss_accept_key(client, &key);
	rcu_read_lock();
	flow = ss_table_find(ssn, &key, &side);
	if (flow) {
		spin_lock_bh(&flow->lock);
		if (!flow->dead && flow->slot.phase == SPLICE_PHASE_FREE &&
		    flow->sk[SPLICE_CLIENT] == client && ss_flow_get_maybe_dead(flow))
			found = flow;
		spin_unlock_bh(&flow->lock);
	}
	rcu_read_unlock();
	return found;
}

/* What was queued goes where it would have gone. */
void ss_handshake_forget(struct ss_flow *flow)
{
	struct sk_buff_head segments;
	int side;

	__skb_queue_head_init(&segments);
	spin_lock_bh(&flow->lock);
	flow->gate = false;
	for (side = 0; side < 2; side++)
		ss_queue_take(flow, side, &segments);
	spin_unlock_bh(&flow->lock);
	ss_flow_remove(flow);
	ss_queue_return(flow->ssn, &segments);
}

int ss_handshake_cancel(struct ss_net *ssn, struct socket *client)
{
	struct ss_flow *flow = ss_handshake_find(ssn, client->sk);

	if (!flow)
		return -ENOENT;
	ss_handshake_forget(flow);
	ss_flow_put(flow);
	return 0;
}

int ss_handshake_intend(struct ss_net *ssn, struct socket *client, struct socket *server, u32 *answer)
{
	struct ss_flow *flow = ss_handshake_find(ssn, client->sk);
	struct splice_key key;
	int err;

	/* Another server is tried: happy eyeballs, say. */
	if (flow) {
		ss_handshake_forget(flow);
		ss_flow_put(flow);
	}
	err = ss_net_enable(ssn);
	if (err)
		return err;
	flow = ss_flow_create(ssn);
	if (!flow)
		return -ENOMEM;
	flow->slot.phase = SPLICE_PHASE_FREE;
	lock_sock(client->sk);
	*answer = ss_accept_read(flow, SPLICE_CLIENT, client->sk);
	if (*answer == SPLICE_ANSWER_DONE) {
		ss_accept_key(client->sk, &key);
		sock_set_flag(client->sk, SOCK_URGINLINE);
	}
	release_sock(client->sk);
	if (*answer != SPLICE_ANSWER_DONE)
		goto out;
	align_mss(client->sk, server->sk);
	sock_hold(client->sk);
	sock_hold(server->sk);
	flow->sk[SPLICE_CLIENT] = client->sk;
	flow->sk[SPLICE_SERVER] = server->sk;
	flow->gate = true;
	flow->spliced = jiffies;
	ss_track_side_event(flow, SPLICE_CLIENT, SPLICE_ON_CONNECT);
	*answer = SPLICE_ANSWER_MAP_FULL;
	if (!ss_flow_publish(flow, true))
		goto out;
	*answer = SPLICE_ANSWER_DONE;
	spin_lock_bh(&flow->lock);
	if (ss_flow_add_key(flow, SPLICE_CLIENT, &key))
		*answer = SPLICE_ANSWER_KEY_TAKEN;
	spin_unlock_bh(&flow->lock);
	if (*answer != SPLICE_ANSWER_DONE)
		ss_flow_remove(flow);
	return 0;
out:
	ss_flow_put(flow);
	return 0;
}

/* The flow whose server socket sends this. Under rcu_read_lock(). */
static struct ss_flow *intent_of(struct ss_net *ssn, const struct sock *server)
{
	struct ss_flow *flow;

	list_for_each_entry_rcu(flow, &ssn->intents, intent) {
		if (READ_ONCE(flow->sk[SPLICE_SERVER]) == server)
			return flow;
	}
	return NULL;
}

/* A SYN of ours, of no flow. From here on its connection is known. */
unsigned int ss_handshake_syn(struct ss_net *ssn, struct sk_buff *skb, struct ss_segment *seg,
			      const struct splice_key *key)
{
	struct ss_flow *flow;
	__wsum difference;
	u32 old[15], lacks;
	struct tcphdr *tcp;

	if (list_empty(&ssn->intents) || !skb->sk)
		return ss_leave(ssn, SPLICE_COUNT_GUARD_NOT_OURS, NF_ACCEPT);
	flow = intent_of(ssn, skb->sk);
	if (!flow)
		return ss_leave(ssn, SPLICE_COUNT_GUARD_NOT_OURS, NF_ACCEPT);
	spin_lock_bh(&flow->lock);
	if (!flow->dead && flow->slot.phase == SPLICE_PHASE_FREE && !flow->node[SPLICE_SERVER].hashed &&
	    !ss_flow_add_key(flow, SPLICE_SERVER, key))
		ss_track_side_event(flow, SPLICE_SERVER, SPLICE_ON_CONNECT);
	lacks = flow->sk[SPLICE_CLIENT] ? options_lacking(flow->sk[SPLICE_CLIENT]) : 0;
	spin_unlock_bh(&flow->lock);

	if (seg->header > sizeof(old) || skb_ensure_writable(skb, seg->l4 + seg->header))
		return ss_leave(ssn, SPLICE_COUNT_DROP_REWRITE, NF_DROP);
	tcp = (struct tcphdr *)(skb->data + seg->l4);
	memcpy(old, tcp, seg->header);
	if (ss_rewrite_strip_syn((u8 *)tcp, seg->header, lacks)) {
		difference = csum_partial(tcp, seg->header, ~csum_partial(old, seg->header, 0));
		ss_rewrite_check(skb, &tcp->check, difference, false);
	}
	return ss_leave(ssn, SPLICE_COUNT_GUARD_SYN, NF_ACCEPT);
}
