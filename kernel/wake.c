// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage splice: what wakes the worker of a flow whose sockets still own bytes.
 *
 * The sockets' callbacks: there is something to read, there is room to write again, a stream has ended, an
 * error. The hooks cannot do it alone: they see a segment before its socket does, and do not see those
 * of a leg that is translated on this host (NAT), which is never proven and is pumped for good.
 *
 * sk_user_data is how a callback finds its flow, and says to others in the kernel that the socket is
 * taken; accept.c refuses those that are. It is set and taken back under the socket's lock: the stack
 * calls back under it, so nobody is on the way into a callback then, and the module may go behind it.
 */
#include <net/tcp.h>

#include "symsplice.h"

/* What the socket called before. Wakes the worker. Null: there is no flow (any more). */
static const struct ss_ear *heard(struct sock *sk)
{
	struct ss_flow *flow = sk->sk_user_data;

	if (!flow)
		return NULL;
	ss_splice_kick(flow);
	return &flow->ear[flow->sk[SPLICE_CLIENT] == sk ? SPLICE_CLIENT : SPLICE_SERVER];
}

#define CALLBACK(name)                                                         \
	static void on_##name(struct sock *sk)                                 \
	{                                                                      \
		const struct ss_ear *ear;                                      \
		void (*next)(struct sock *sk);                                 \
									       \
		read_lock_bh(&sk->sk_callback_lock);                           \
		ear = heard(sk);                                               \
		next = ear ? ear->name : sk->sk_##name;                        \
		read_unlock_bh(&sk->sk_callback_lock);                         \
		next(sk);                                                      \
	}

CALLBACK(data_ready)
CALLBACK(state_change)
CALLBACK(write_space)
CALLBACK(error_report)

/* From here on the flow is woken, and kept, by its socket. */
void ss_wake_listen(struct ss_flow *flow, int side, struct sock *sk)
{
	struct ss_ear *ear = &flow->ear[side];

	refcount_inc(&flow->refs);
	write_lock_bh(&sk->sk_callback_lock);
	ear->data_ready = sk->sk_data_ready;
	ear->state_change = sk->sk_state_change;
	ear->write_space = sk->sk_write_space;
	ear->error_report = sk->sk_error_report;
	ear->open = true;
	sk->sk_user_data = flow;
	sk->sk_data_ready = on_data_ready;
	sk->sk_state_change = on_state_change;
	sk->sk_write_space = on_write_space;
	sk->sk_error_report = on_error_report;
	write_unlock_bh(&sk->sk_callback_lock);
}

/* Until here; once. */
void ss_wake_deafen(struct ss_flow *flow, int side, struct sock *sk)
{
	struct ss_ear *ear = &flow->ear[side];
	bool open;

	write_lock_bh(&sk->sk_callback_lock);
	open = ear->open;
	if (open) {
		ear->open = false;
		sk->sk_user_data = NULL;
		sk->sk_data_ready = ear->data_ready;
		sk->sk_state_change = ear->state_change;
		sk->sk_write_space = ear->write_space;
		sk->sk_error_report = ear->error_report;
	}
	write_unlock_bh(&sk->sk_callback_lock);
	if (open)
		ss_flow_put(flow);
}
