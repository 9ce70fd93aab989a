// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage splice: two sockets become the module's, until they are none.
 *
 * ss_splice_begin() takes the sockets over in the context of the process; from then on a worker, one
 * work item a flow, takes steps until the flow is released or has ended: pump.c, gate.c, release.c. Its
 * sockets (wake.c), their segments, and a timer where neither tell wake it. Whoever else ends the flow
 * leaves the sockets to the worker: it alone gives them, and their files, back.
 */
#include <linux/file.h>
#include <linux/slab.h>
#include <net/tcp.h>

#include "symsplice.h"

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
void ss_splice_lock(struct sock *a, struct sock *b)
{
	if (a > b)
		swap(a, b);
	lock_sock(a);
	lock_sock_nested(b, SINGLE_DEPTH_NESTING);
}

void ss_splice_unlock(struct sock *a, struct sock *b)
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

/* Keys come last: a segment that finds the flow finds it whole. Under the flow's lock. */
static u32 name_it(struct ss_flow *flow, struct socket *socks[2])
{
	u32 answer = SPLICE_ANSWER_DONE;
	struct splice_key keys[2];
	int side;

	for (side = 0; side < 2 && answer == SPLICE_ANSWER_DONE; side++) {
		ss_accept_key(socks[side]->sk, &keys[side]);
		flow->slot.leg[side].key = keys[side];
		ss_output_learn(flow, side, socks[side]->sk);
		answer = ss_accept_way(flow, side);
	}
	for (side = 0; side < 2 && answer == SPLICE_ANSWER_DONE; side++) {
		int err = ss_flow_set_key(flow, side, &keys[side]);

		if (err)
			answer = err == -EEXIST ? SPLICE_ANSWER_KEY_TAKEN : SPLICE_ANSWER_MAP_FULL;
	}
	if (answer == SPLICE_ANSWER_DONE)
		return answer;
	ss_flow_drop_key(flow, SPLICE_CLIENT);
	ss_flow_drop_key(flow, SPLICE_SERVER);
	return answer;
}

/* The sockets are the flow's from here on. Both are locked, and so is the flow. */
static void take_over(struct ss_flow *flow, struct socket *socks[2], const u32 owed[2])
{
	int side;

	for (side = 0; side < 2; side++) {
		struct sock *sk = socks[side]->sk;
		struct tcp_sock *tp = tcp_sk(sk);

		if (!flow->sk[side]) {
			sock_hold(sk);
			flow->sk[side] = sk;
		}
		flow->file[side] = get_file(socks[side]->file);
		sock_set_flag(sk, SOCK_URGINLINE);
		WRITE_ONCE(sk->sk_peek_off, -1);
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
	flow->gate_pause = msecs_to_jiffies(READ_ONCE(ss_gate_ms));
}

/* Both sockets are locked, which a second request for the same waits for. */
static u32 splice(struct ss_flow *flow, struct socket *socks[2], const u32 owed[2], u32 idle_ms)
{
	u32 answer = SPLICE_ANSWER_KEY_TAKEN;

	spin_lock_bh(&flow->lock);
	if (!flow->dead && flow->slot.phase == SPLICE_PHASE_FREE)
		answer = examine(flow, socks[SPLICE_CLIENT]->sk, socks[SPLICE_SERVER]->sk);
	if (answer == SPLICE_ANSWER_DONE)
		answer = name_it(flow, socks);
	if (answer == SPLICE_ANSWER_DONE) {
		flow->idle_ms = idle_ms;
		take_over(flow, socks, owed);
	}
	spin_unlock_bh(&flow->lock);
	if (answer != SPLICE_ANSWER_DONE)
		return answer;
	ss_wake_listen(flow, SPLICE_CLIENT, socks[SPLICE_CLIENT]->sk);
	ss_wake_listen(flow, SPLICE_SERVER, socks[SPLICE_SERVER]->sk);
	return answer;
}

/* The intent for these two; or a new one, which nobody has heard of. With a reference, or an error. */
static struct ss_flow *intent_for(struct ss_net *ssn, struct sock *client, struct sock *server)
{
	struct ss_flow *flow = ss_handshake_find(ssn, client);
	int err;

	if (flow && flow->sk[SPLICE_SERVER] == server)
		return flow;
	if (flow) {
		ss_handshake_forget(flow);
		ss_flow_put(flow);
	}
	flow = ss_flow_create(ssn);
	if (!flow)
		return ERR_PTR(-ENOMEM);
	/* Behind ss_flow_publish() anybody may remove it. */
	refcount_inc(&flow->refs);
	err = ss_flow_publish(flow, NULL);
	if (!err)
		return flow;
	ss_flow_put(flow);
	ss_flow_put(flow);
	return ERR_PTR(err);
}

int ss_splice_begin(struct ss_net *ssn, struct socket *client, struct socket *server,
		    const u32 owed[2], u32 idle_ms, u64 *id, u32 *answer)
{
	struct socket *socks[2] = { client, server };
	struct ss_flow *flow;
	int err;

	err = ss_net_enable(ssn);
	if (err)
		return err;
	flow = intent_for(ssn, client->sk, server->sk);
	if (IS_ERR(flow)) {
		*answer = SPLICE_ANSWER_MAP_FULL;
		return PTR_ERR(flow) == -ENOSPC ? 0 : PTR_ERR(flow);
	}
	ss_splice_lock(client->sk, server->sk);
	*answer = splice(flow, socks, owed, idle_ms);
	ss_splice_unlock(client->sk, server->sk);
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

/* What became of a socket's connection when its flow is over for the worker: it is released, and the
 * socket has none; it has ended in the socket, which closes as ever, but not by letting the kernel's
 * thread wait for its peer; or it was cut off, and the peer hears of that. The flow's keys are gone then,
 * so that the guard lets the reset pass.
 */
static void part_with(struct ss_flow *flow, int side, struct sock *sk, bool cut_off)
{
	lock_sock(sk);
	ss_wake_deafen(flow, side, sk);
	sock_reset_flag(sk, SOCK_LINGER);
	if (cut_off && sk->sk_state != TCP_CLOSE)
		sk->sk_prot->disconnect(sk, 0);
	release_sock(sk);
	sock_put(sk);
}

/* Once: behind it the flow has neither sockets nor files. */
static void let_go(struct ss_flow *flow)
{
	struct file *files[2] = {};
	struct sock *sks[2] = {};
	bool cut_off;
	int side;

	spin_lock_bh(&flow->lock);
	for (side = 0; side < 2; side++) {
		swap(files[side], flow->file[side]);
		swap(sks[side], flow->sk[side]);
	}
	cut_off = flow->slot.phase == SPLICE_PHASE_ENDED && flow->slot.reason != SPLICE_CLOSE_END;
	spin_unlock_bh(&flow->lock);
	for (side = 0; side < 2; side++) {
		if (sks[side])
			part_with(flow, side, sks[side], cut_off);
		if (files[side])
			fput(files[side]);
	}
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
	int moved, culprit = SPLICE_CLIENT;
	struct socket *socks[2] = {
		sock_from_file(flow->file[SPLICE_CLIENT]),
		sock_from_file(flow->file[SPLICE_SERVER]),
	};
	unsigned long pause;

	/* The reason is there: pairs with the sweep. */
	if (smp_load_acquire(&flow->doomed)) {
		ss_teardown_abort(flow, flow->doom_reason);
		return true;
	}
	moved = ss_pump(flow, socks, buffer, &culprit);
	if (moved < 0) {
		ss_teardown_abort(flow, reason_of(moved, culprit));
		return true;
	}
	if (flow->shut[SPLICE_CLIENT] && flow->shut[SPLICE_SERVER]) {
		end_pumped(flow);
		return true;
	}
	pause = ss_gate_turn(flow);
	if (READ_ONCE(flow->gate) && ss_release_try(flow, socks))
		return true;
	ss_splice_kick_later(flow, moved ? 0 : pause);
	return false;
}

void ss_splice_work(struct work_struct *work)
{
	struct ss_flow *flow = container_of(to_delayed_work(work), struct ss_flow, work);
	void *buffer;
	bool live;

	spin_lock_bh(&flow->lock);
	live = !flow->dead && flow->slot.phase == SPLICE_PHASE_TRANSIT;
	spin_unlock_bh(&flow->lock);
	if (!live) {
		let_go(flow);
		goto out;
	}
	buffer = kmalloc(SS_PUMP_BYTES, GFP_KERNEL);
	if (!buffer) {
		ss_splice_kick_later(flow, HZ / 10);
		goto out;
	}
	if (step(flow, buffer))
		let_go(flow);
	kfree(buffer);
out:
	ss_flow_put(flow);
}
