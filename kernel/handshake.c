// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage handshake: two sockets are intended for each other, and the second is about to connect.
 *
 * An intent is a flow in phase FREE: both sides' states ESTABLISHED as soon as their connections
 * are. It holds the sockets' memory, but neither file nor descriptor: who closes one ends the
 * intent, found by the next segment or sweep. From the intent on segments with data are queued, if
 * the process wants it so.
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

	if (!ss_net_is_enabled(ssn))
		return NULL;
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

/* What was queued goes where it would have gone. Nothing happens to a flow that somebody else has
 * spliced, or forgotten, meanwhile.
 */
void ss_handshake_forget(struct ss_flow *flow)
{
	struct sk_buff_head waiting;

	__skb_queue_head_init(&waiting);
	if (ss_flow_remove_intent(flow, &waiting))
		ss_queue_return(flow->ssn, &waiting);
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

/* From here on the flow can be found, and its client's segments find it. */
static int enter(struct ss_flow *flow, const struct splice_key *key, u32 *answer)
{
	int err = ss_flow_publish(flow, flow->sk[SPLICE_SERVER]);

	if (err) {
		*answer = SPLICE_ANSWER_MAP_FULL;
		ss_flow_put(flow);
		return err == -ENOSPC ? 0 : err;
	}
	spin_lock_bh(&flow->lock);
	if (!flow->dead)
		err = ss_flow_set_key(flow, SPLICE_CLIENT, key);
	spin_unlock_bh(&flow->lock);
	if (!err)
		return 0;
	*answer = SPLICE_ANSWER_KEY_TAKEN;
	ss_flow_remove(flow);
	return err == -EEXIST ? 0 : err;
}

int ss_handshake_intend(struct ss_net *ssn, struct socket *client, struct socket *server, bool open,
			u32 *answer)
{
	struct ss_flow *flow;
	struct splice_key key;
	int err;

	err = ss_net_enable(ssn);
	if (err)
		return err;
	/* Another server is tried: happy eyeballs, say. */
	flow = ss_handshake_find(ssn, client->sk);
	if (flow) {
		ss_handshake_forget(flow);
		ss_flow_put(flow);
	}
	flow = ss_flow_create(ssn);
	if (!flow)
		return -ENOMEM;
	lock_sock(client->sk);
	*answer = ss_accept_read(flow, SPLICE_CLIENT, client->sk);
	if (*answer == SPLICE_ANSWER_DONE) {
		ss_accept_key(client->sk, &key);
		ss_output_learn(flow, SPLICE_CLIENT, client->sk);
		sock_set_flag(client->sk, SOCK_URGINLINE);
	}
	release_sock(client->sk);
	if (*answer != SPLICE_ANSWER_DONE) {
		ss_flow_put(flow);
		return 0;
	}
	align_mss(client->sk, server->sk);
	sock_hold(client->sk);
	sock_hold(server->sk);
	flow->sk[SPLICE_CLIENT] = client->sk;
	flow->sk[SPLICE_SERVER] = server->sk;
	flow->gate = !open;
	ss_track_side_event(flow, SPLICE_CLIENT, SPLICE_ON_CONNECT);
	return enter(flow, &key, answer);
}

/* Whether a socket still has, or tries to make, the connection that its key names. */
static bool stands(const struct ss_flow *flow, int side)
{
	const struct sock *sk = flow->sk[side];
	struct splice_key key;

	if (READ_ONCE(sk->sk_state) == TCP_CLOSE)
		return false;
	ss_accept_key(sk, &key);
	return !memcmp(&key, &flow->node[side].key, sizeof(key));
}

/* A segment on a connection of an intent, which ends when one of its sockets is closed, or its client's
 * connection is over: whoever has that connection's name now is somebody else. A server's socket may
 * fail to connect, and try again elsewhere.
 */
unsigned int ss_handshake_segment(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg,
				  bool *forget)
{
	bool is_ours = stands(flow, seg->side);

	*forget = sock_flag(flow->sk[SPLICE_CLIENT], SOCK_DEAD) ||
		  sock_flag(flow->sk[SPLICE_SERVER], SOCK_DEAD) ||
		  (!is_ours && seg->side == SPLICE_CLIENT);
	if (*forget)
		return ss_leave(flow->ssn, SPLICE_COUNT_LOCAL_ORPHAN, NF_ACCEPT);
	if (!is_ours) {
		ss_flow_drop_key(flow, seg->side);
		return ss_leave(flow->ssn, SPLICE_COUNT_NO_FLOW, NF_ACCEPT);
	}
	flow->slot.leg[seg->side].flags |= SPLICE_LEG_SEEN;
	return ss_queue_segment(flow, skb, seg);
}

/* A SYN of ours, of no flow. From here on its connection is known. */
unsigned int ss_handshake_syn(struct ss_net *ssn, struct sk_buff *skb, struct ss_segment *seg,
			      const struct splice_key *key)
{
	struct ss_flow *flow = skb->sk ? ss_table_find_intent(ssn, skb->sk) : NULL;
	__wsum difference;
	u32 old[15], lacks = 0;
	struct tcphdr *tcp;
	bool is_ours;

	if (!flow)
		return ss_leave(ssn, SPLICE_COUNT_GUARD_NOT_OURS, NF_ACCEPT);
	spin_lock_bh(&flow->lock);
	is_ours = !flow->dead && flow->slot.phase == SPLICE_PHASE_FREE;
	if (is_ours) {
		ss_output_learn(flow, SPLICE_SERVER, skb->sk);
		if (!ss_flow_set_key(flow, SPLICE_SERVER, key))
			ss_track_side_event(flow, SPLICE_SERVER, SPLICE_ON_CONNECT);
		lacks = options_lacking(flow->sk[SPLICE_CLIENT]);
	}
	spin_unlock_bh(&flow->lock);
	if (!is_ours)
		return ss_leave(ssn, SPLICE_COUNT_GUARD_NOT_OURS, NF_ACCEPT);

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
