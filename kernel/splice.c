// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage splice: from two sockets to none.
 *
 * ss_splice_begin() takes the sockets over in the context of the process; from then on a worker, one
 * work item a flow, takes steps until the flow is released or has ended: pump, shut the gate, try
 * the release. Segments of the flow wake it, and a timer where none come.
 *
 * The pump never has a byte in its hands: it looks at bytes, writes what the other socket takes of
 * them, and only then takes just as many off. So at any moment between two steps
 *	LX.copied_seq + delta == LY.write_seq
 * and the release needs no arithmetic about bytes under way.
 *
 * What a race can do. A segment may have passed the hook before the gate was shut and reach the
 * socket later: before the release its bytes are pumped, after it they find no socket, nobody has
 * acknowledged them, and the RST that the host makes for them is dropped at LOCAL_OUT; the peer
 * sends them again.
 */
#include <linux/file.h>
#include <linux/slab.h>
#include <net/tcp.h>

#include "symsplice.h"

#define PUMP_BYTES (32 << 10)
#define PUMP_ROUNDS 64
#define PAUSE_MOST HZ

/* When a peer that has sent nothing yet is asked for a sign, in ms since the splice. */
static const unsigned int probe_ms[] = { 3, 100, 300, 700, 1500 };

/* Again with `delay`, unless it is to run sooner. */
void ss_splice_kick_later(struct ss_flow *flow, unsigned long delay)
{
	if (!ss_flow_get_maybe_dead(flow))
		return;
	if (!queue_delayed_work(ss_workers, &flow->work, delay))
		ss_flow_put(flow);
}

void ss_splice_kick(struct ss_flow *flow)
{
	if (!ss_flow_get_maybe_dead(flow))
		return;
	if (mod_delayed_work(ss_workers, &flow->work, 0))
		ss_flow_put(flow);
}

/* By address, so that two requests about the same sockets cannot wait for each other. */
static void lock_both(struct sock *a, struct sock *b)
{
	if (a > b)
		swap(a, b);
	lock_sock(a);
	lock_sock_nested(b, SINGLE_DEPTH_NESTING);
}

static void unlock_both(struct sock *a, struct sock *b)
{
	release_sock(a);
	release_sock(b);
}

/* Reads both sockets; 0 or why not. Both are locked. */
static u32 examine(struct ss_flow *flow, struct sock *client, struct sock *server)
{
	u32 answer = ss_accept_read(flow, SPLICE_CLIENT, client);

	if (answer == SPLICE_ANSWER_DONE)
		answer = ss_accept_read(flow, SPLICE_SERVER, server);
	if (answer == SPLICE_ANSWER_DONE)
		answer = ss_accept_fits(flow, client, server);
	return answer;
}

/* From here on the sockets are the flow's. Both are locked. */
static u32 take_over(struct ss_flow *flow, struct socket *socks[2], const u32 owed[2])
{
	struct splice_key keys[2];
	u32 answer = SPLICE_ANSWER_DONE;
	int side;

	spin_lock_bh(&flow->lock);
	if (flow->dead || flow->slot.phase != SPLICE_PHASE_FREE)
		answer = SPLICE_ANSWER_KEY_TAKEN;
	for (side = 0; side < 2 && answer == SPLICE_ANSWER_DONE; side++) {
		ss_accept_key(socks[side]->sk, &keys[side]);
		if (!flow->node[side].hashed && ss_flow_add_key(flow, side, &keys[side]))
			answer = SPLICE_ANSWER_KEY_TAKEN;
	}
	for (side = 0; side < 2 && answer == SPLICE_ANSWER_DONE; side++)
		answer = ss_accept_way(flow, side);
	if (answer != SPLICE_ANSWER_DONE)
		goto out;
	for (side = 0; side < 2; side++) {
		struct tcp_sock *tp = tcp_sk(socks[side]->sk);

		if (!flow->sk[side]) {
			sock_hold(socks[side]->sk);
			flow->sk[side] = socks[side]->sk;
		}
		flow->file[side] = get_file(socks[side]->file);
		sock_set_flag(socks[side]->sk, SOCK_URGINLINE);
		flow->copied[side] = tp->copied_seq;
		flow->write_end[side] = tp->write_seq + owed[side];
		flow->owes_write[side] = owed[side];
		flow->slot.leg[side].active = ss_tick();
		ss_track_side_event(flow, side, SPLICE_ON_CONNECT);
		ss_track_side_event(flow, side, SPLICE_ON_SPLICE);
	}
	flow->slot.installed_ns = ktime_get_ns();
	flow->slot.moved = ss_tick();
	flow->slot.phase = SPLICE_PHASE_TRANSIT;
	flow->spliced = jiffies;
	flow->gate_shut = jiffies;
	flow->gate_next = jiffies;
	flow->gate_pause = msecs_to_jiffies(ss_gate_ms);
out:
	spin_unlock_bh(&flow->lock);
	return answer;
}

/* The intent for these two; or a new one, which nobody has heard of. With a reference. */
static struct ss_flow *intent_for(struct ss_net *ssn, struct sock *client, struct sock *server)
{
	struct ss_flow *flow = ss_handshake_find(ssn, client);

	if (flow && flow->sk[SPLICE_SERVER] == server)
		return flow;
	if (flow) {
		ss_handshake_forget(flow);
		ss_flow_put(flow);
	}
	flow = ss_flow_create(ssn);
	if (!flow)
		return NULL;
	flow->slot.phase = SPLICE_PHASE_FREE;
	if (!ss_flow_publish(flow, false)) {
		ss_flow_put(flow);
		return ERR_PTR(-ENOSPC);
	}
	refcount_inc(&flow->refs);
	return flow;
}

int ss_splice_begin(struct ss_net *ssn, struct socket *client, struct socket *server,
		    const u32 owed[2], u32 idle_ms, u64 *id, u32 *answer)
{
	struct socket *socks[2] = { client, server };
	struct ss_flow *flow;
	int err;

	if (client->sk == server->sk)
		return -EINVAL;
	err = ss_net_enable(ssn);
	if (err)
		return err;
	flow = intent_for(ssn, client->sk, server->sk);
	if (!flow)
		return -ENOMEM;
	*answer = SPLICE_ANSWER_MAP_FULL;
	if (IS_ERR(flow))
		return 0;
	flow->idle_ms = idle_ms;
	lock_both(client->sk, server->sk);
	*answer = examine(flow, client->sk, server->sk);
	if (*answer == SPLICE_ANSWER_DONE)
		*answer = take_over(flow, socks, owed);
	unlock_both(client->sk, server->sk);
	if (*answer == SPLICE_ANSWER_DONE) {
		ss_flow_no_intent(flow);
		/* The kernel's timers notice a peer that vanishes while there are sockets. */
		sock_set_keepalive(client->sk);
		sock_set_keepalive(server->sk);
		*id = flow->id;
		ss_splice_kick(flow);
	} else {
		ss_handshake_forget(flow);
	}
	ss_flow_put(flow);
	return 0;
}

/* The FIN of `side` is read: to the other side with it. */
static int pass_fin(struct ss_flow *flow, int side, struct socket *from, struct socket *to, void *buffer)
{
	struct kvec vec = { .iov_base = buffer, .iov_len = 1 };
	struct msghdr msg = {};
	int err;

	/* It only says so: the process has shut it down, or has read the error of a reset. */
	if (!sock_flag(from->sk, SOCK_DONE))
		return READ_ONCE(from->sk->sk_state) == TCP_CLOSE ? -ECONNRESET : -EBUSY;
	kernel_recvmsg(from, &msg, &vec, 1, 1, MSG_DONTWAIT);
	flow->copied[side] = READ_ONCE(tcp_sk(from->sk)->copied_seq);
	err = kernel_sock_shutdown(to, SHUT_WR);
	if (err)
		return err;
	flow->shut[side] = true;
	spin_lock_bh(&flow->lock);
	ss_track_side_event(flow, side ^ 1, SPLICE_ON_FIN);
	spin_unlock_bh(&flow->lock);
	return 1;
}

/* Some bytes from one socket to the other: how many, 0 when there is nothing to do, or an error. */
static int pump_some(struct ss_flow *flow, int side, struct socket *from, struct socket *to, void *buffer)
{
	struct msghdr look = {}, write = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL }, take = {};
	struct kvec vec = { .iov_base = buffer, .iov_len = PUMP_BYTES };
	int seen, sent, taken;

	/* Somebody else reads: a byte of the stream is lost. */
	if (READ_ONCE(tcp_sk(from->sk)->copied_seq) != flow->copied[side])
		return -EBUSY;
	seen = kernel_recvmsg(from, &look, &vec, 1, PUMP_BYTES, MSG_PEEK | MSG_DONTWAIT);
	if (seen < 0)
		return seen == -EAGAIN ? 0 : seen;
	if (seen == 0)
		return pass_fin(flow, side, from, to, buffer);
	vec.iov_base = buffer;
	vec.iov_len = seen;
	sent = kernel_sendmsg(to, &write, &vec, 1, seen);
	if (sent <= 0)
		return sent == -EAGAIN ? 0 : sent;
	vec.iov_base = buffer;
	vec.iov_len = sent;
	taken = kernel_recvmsg(from, &take, &vec, 1, sent, MSG_TRUNC | MSG_DONTWAIT);
	flow->copied[side] = READ_ONCE(tcp_sk(from->sk)->copied_seq);
	if (taken != sent)
		return -EBUSY;
	this_cpu_add(flow->ssn->counts->more[SYMSPLICE_COUNT_PUMPED], sent);
	flow->pumped[side] += sent;
	spin_lock_bh(&flow->lock);
	flow->slot.leg[side].bytes = flow->pumped[side];
	flow->slot.counted += sent;
	flow->slot.moved = ss_tick();
	spin_unlock_bh(&flow->lock);
	return sent;
}

/* The process writes its last bytes to `to` itself: 1 when it has, 0 not yet, negative: nobody has the
 * descriptor any more.
 */
static int may_write(struct ss_flow *flow, int side, const struct socket *to)
{
	if (!flow->owes_write[side])
		return 1;
	/* In this order: what was written before the descriptor was closed is there. */
	if (file_count(flow->file[side]) == 1 &&
	    before(READ_ONCE(tcp_sk(to->sk)->write_seq), flow->write_end[side]))
		return -ECANCELED;
	if (before(READ_ONCE(tcp_sk(to->sk)->write_seq), flow->write_end[side]))
		return 0;
	flow->owes_write[side] = false;
	return 1;
}

/* 1: moved something, 0: nothing to do, negative: a socket's error, of `*culprit`'s connection. */
static int pump(struct ss_flow *flow, struct socket *socks[2], void *buffer, int *culprit)
{
	int side, round, moved = 0, did;

	for (side = 0; side < 2; side++) {
		struct socket *from = socks[side], *to = socks[side ^ 1];

		did = may_write(flow, side ^ 1, to);
		if (did < 0)
			return did;
		if (did == 0 || flow->shut[side])
			continue;
		for (round = 0; round < PUMP_ROUNDS; round++) {
			did = pump_some(flow, side, from, to, buffer);
			if (did < 0) {
				*culprit = did == -EPIPE ? side ^ 1 : side;
				return did;
			}
			if (did == 0)
				break;
			moved = 1;
			if (flow->shut[side])
				break;
		}
		cond_resched();
	}
	return moved;
}

static bool is_proven(const struct ss_flow *flow)
{
	return flow->slot.leg[SPLICE_CLIENT].flags & flow->slot.leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN;
}

/* Shuts the gate when it may be, opens it when it was shut too long. */
static void turn_gate(struct ss_flow *flow)
{
	struct sk_buff_head back;

	__skb_queue_head_init(&back);
	spin_lock_bh(&flow->lock);
	if (flow->dead || flow->slot.phase != SPLICE_PHASE_TRANSIT) {
		spin_unlock_bh(&flow->lock);
		return;
	}
	if (flow->gate && time_after(jiffies, flow->gate_shut + msecs_to_jiffies(ss_gate_ms))) {
		flow->gate = false;
		flow->gate_next = jiffies + flow->gate_pause;
		flow->gate_pause = min_t(unsigned long, 2 * flow->gate_pause, PAUSE_MOST);
		ss_queue_take(flow, SPLICE_CLIENT, &back);
		ss_queue_take(flow, SPLICE_SERVER, &back);
		ss_count_more(flow->ssn, SYMSPLICE_COUNT_GATES_OPENED);
	} else if (!flow->gate && is_proven(flow) && !flow->owes_write[0] && !flow->owes_write[1] &&
		   !time_before(jiffies, flow->gate_next)) {
		flow->gate = true;
		flow->gate_shut = jiffies;
		ss_count_more(flow->ssn, SYMSPLICE_COUNT_GATES);
	}
	spin_unlock_bh(&flow->lock);
	ss_queue_return(flow->ssn, &back);
}

/* Nothing to read, nothing to write, nothing unacknowledged; and the connection is still there. */
static bool owns_nothing(const struct ss_flow *flow, int side, struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_FIN_WAIT2) &&
	       tp->copied_seq == tp->rcv_nxt && tp->copied_seq == flow->copied[side] &&
	       tp->snd_una == tp->write_seq && RB_EMPTY_ROOT(&tp->out_of_order_queue) &&
	       !READ_ONCE(sk->sk_backlog.len) && !sk->sk_err;
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

/* Takes the connection away from a socket, which says nothing to its peer. Under its lock. */
static void silence(struct sock *sk)
{
	tcp_sk(sk)->repair = 1;
	sk->sk_prot->disconnect(sk, 0);
	tcp_sk(sk)->repair = 0;
}

/* Relays what has waited, and what comes meanwhile, in order; then segments go by themselves. */
static void flush(struct ss_flow *flow)
{
	struct ss_net *ssn = flow->ssn;
	struct sk_buff_head waiting, ready;
	struct ss_event event = {};
	struct ss_segment seg;
	struct splice_key key;
	struct sk_buff *skb;
	int side;

	__skb_queue_head_init(&waiting);
	__skb_queue_head_init(&ready);
	for (;;) {
		spin_lock_bh(&flow->lock);
		for (side = 0; side < 2; side++) {
			ss_queue_take(flow, side, &waiting);
			while ((skb = __skb_dequeue(&waiting))) {
				if (ss_segment_parse(skb, flow->slot.family == 6, false, &seg, &key) !=
				    SS_PARSED_SEGMENT) {
					kfree_skb(skb);
					continue;
				}
				seg.side = side;
				if (ss_relay_prepare(flow, skb, &seg, &event)) {
					kfree_skb(skb);
					continue;
				}
				ss_count_more(ssn, SYMSPLICE_COUNT_QUEUE_RELAYED);
				__skb_queue_tail(&ready, skb);
			}
		}
		if (skb_queue_empty(&ready)) {
			flow->flushing = false;
			spin_unlock_bh(&flow->lock);
			break;
		}
		spin_unlock_bh(&flow->lock);
		while ((skb = __skb_dequeue(&ready)))
			ss_output_send(ssn->net, skb);
	}
	ss_track_tell(ssn, &event);
}

/* To SPLICED, if the sockets own nothing. Both are locked, so that they cannot change; and so is the
 * flow, so that no segment passes in between.
 */
static bool try_release(struct ss_flow *flow, struct socket *socks[2])
{
	struct sock *client = socks[SPLICE_CLIENT]->sk, *server = socks[SPLICE_SERVER]->sk;
	struct ss_event event = {};
	bool released = false;

	lock_both(client, server);
	spin_lock_bh(&flow->lock);
	if (!flow->dead && flow->slot.phase == SPLICE_PHASE_TRANSIT && flow->gate && is_proven(flow) &&
	    !flow->owes_write[0] && !flow->owes_write[1] &&
	    owns_nothing(flow, SPLICE_CLIENT, client) && owns_nothing(flow, SPLICE_SERVER, server)) {
		fill_leg(flow, SPLICE_CLIENT);
		fill_leg(flow, SPLICE_SERVER);
		fill_ends(flow, SPLICE_CLIENT);
		fill_ends(flow, SPLICE_SERVER);
		flow->slot.phase = SPLICE_PHASE_RELEASED;
		flow->probes = 0;
		flow->gate = false;
		flow->flushing = true;
		ss_track_note(flow, SPLICE_PACKET_RELEASED, &event);
		ss_count_more(flow->ssn, SYMSPLICE_COUNT_RELEASES);
		released = true;
	}
	spin_unlock_bh(&flow->lock);
	if (released) {
		silence(client);
		silence(server);
	}
	unlock_both(client, server);
	if (released) {
		flush(flow);
		ss_track_tell(flow->ssn, &event);
	}
	return released;
}

/* A quiet peer is asked, until its segments are seen where they would be relayed. */
static void provoke(struct ss_flow *flow)
{
	int side;

	if (is_proven(flow) || flow->probes >= ARRAY_SIZE(probe_ms) ||
	    time_before(jiffies, flow->spliced + msecs_to_jiffies(probe_ms[flow->probes])))
		return;
	flow->probes++;
	for (side = 0; side < 2; side++) {
		struct splice_leg *leg = &flow->slot.leg[side];
		bool unseen;

		spin_lock_bh(&flow->lock);
		leg->ack = tcp_sk(flow->sk[side])->snd_una;
		leg->end = tcp_sk(flow->sk[side])->rcv_nxt;
		unseen = !(leg->flags & SPLICE_LEG_SEEN);
		spin_unlock_bh(&flow->lock);
		if (unseen)
			ss_teardown_probe(flow, side);
	}
}

static unsigned long pause(const struct ss_flow *flow, bool moved)
{
	if (moved)
		return 0;
	if (flow->gate || !is_proven(flow))
		return 1;
	return msecs_to_jiffies(64);
}

static u32 reason_of(int err, int culprit)
{
	if (err != -ECONNRESET && err != -EPIPE && err != -ETIMEDOUT && err != -ENOTCONN)
		return SPLICE_CLOSE_ERROR;
	return culprit == SPLICE_CLIENT ? SPLICE_CLOSE_CLIENT_RESET : SPLICE_CLOSE_UPSTREAM_RESET;
}

/* Both streams have ended in the sockets: they are the kernel's to close, plainly. */
static void end_pumped(struct ss_flow *flow)
{
	struct ss_event event = {};

	spin_lock_bh(&flow->lock);
	if (!flow->dead)
		ss_track_end(flow, SPLICE_CLOSE_END, &event);
	spin_unlock_bh(&flow->lock);
	ss_track_tell(flow->ssn, &event);
	ss_flow_remove(flow);
}

/* True: it is over, for the worker. */
static bool step(struct ss_flow *flow, void *buffer)
{
	struct socket *socks[2];
	int side, moved, culprit = SPLICE_CLIENT;

	for (side = 0; side < 2; side++)
		socks[side] = sock_from_file(flow->file[side]);
	if (READ_ONCE(flow->doomed)) {
		ss_teardown_abort(flow, flow->doom_reason);
		return true;
	}
	moved = pump(flow, socks, buffer, &culprit);
	if (moved < 0) {
		ss_teardown_abort(flow, reason_of(moved, culprit));
		return true;
	}
	if (flow->shut[SPLICE_CLIENT] && flow->shut[SPLICE_SERVER]) {
		end_pumped(flow);
		return true;
	}
	provoke(flow);
	turn_gate(flow);
	if (READ_ONCE(flow->gate) && try_release(flow, socks))
		return true;
	ss_splice_kick_later(flow, pause(flow, moved));
	return false;
}

/* The files are the worker's: only it takes them, as long as the flow is in TRANSIT, and gives them
 * back here. A flow that dies meanwhile gives them back when it is freed.
 */
void ss_splice_work(struct work_struct *work)
{
	struct ss_flow *flow = container_of(to_delayed_work(work), struct ss_flow, work);
	struct file *files[2] = {};
	struct sock *sks[2] = {};
	void *buffer;
	bool live;
	int side;

	spin_lock_bh(&flow->lock);
	live = !flow->dead && flow->slot.phase == SPLICE_PHASE_TRANSIT;
	spin_unlock_bh(&flow->lock);
	if (!live)
		goto out;
	buffer = kmalloc(PUMP_BYTES, GFP_KERNEL);
	if (!buffer) {
		ss_splice_kick_later(flow, HZ / 10);
		goto out;
	}
	if (step(flow, buffer)) {
		spin_lock_bh(&flow->lock);
		for (side = 0; side < 2; side++) {
			swap(files[side], flow->file[side]);
			swap(sks[side], flow->sk[side]);
		}
		spin_unlock_bh(&flow->lock);
		for (side = 0; side < 2; side++) {
			if (files[side])
				fput(files[side]);
			if (sks[side])
				sock_put(sks[side]);
		}
	}
	kfree(buffer);
out:
	ss_flow_put(flow);
}
