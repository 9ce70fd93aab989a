// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage splice, first part of a step: what the sockets own moves from one to the other. Called by the
 * flow's worker only.
 *
 * The pump never has a byte in its hands: it looks at bytes, writes what the other socket takes of
 * them, and only then takes just as many off. So at any moment between two steps
 *	LX.copied_seq + delta == LY.write_seq
 * and the release needs no arithmetic about bytes under way. Somebody else who reads breaks that, and is
 * noticed by where the reading stands.
 */
#include <linux/file.h>
#include <net/tcp.h>

#include "symsplice.h"

#define PUMP_ROUNDS 64

/* The end of the stream of `side` is read: to the other side with it. A socket that only says so, because
 * the process has shut it down or it is closed, has no end to pass on.
 */
static int pass_fin(struct ss_flow *flow, int side, struct socket *from, struct socket *to, void *buffer)
{
	struct kvec vec = { .iov_base = buffer, .iov_len = 1 };
	struct msghdr msg = {};
	int err;

	if (!sock_flag(from->sk, SOCK_DONE))
		return READ_ONCE(from->sk->sk_state) == TCP_CLOSE ? -ECONNRESET : -EBUSY;
	kernel_recvmsg(from, &msg, &vec, 1, 1, MSG_DONTWAIT);
	flow->copied[side] = READ_ONCE(tcp_sk(from->sk)->copied_seq);
	/* The process may have passed it on already; and a connection that both sides have ended since is no socket's
	 * any more, whose shutdown() fails.
	 */
	err = READ_ONCE(to->sk->sk_shutdown) & SEND_SHUTDOWN ? 0 : kernel_sock_shutdown(to, SHUT_WR);
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
	struct kvec vec = { .iov_base = buffer, .iov_len = SS_PUMP_BYTES };
	int seen, sent, taken;

	/* Somebody else reads: a byte of the stream is lost. Or looks, from where it likes (SO_PEEK_OFF). */
	if (READ_ONCE(tcp_sk(from->sk)->copied_seq) != flow->copied[side] ||
	    READ_ONCE(from->sk->sk_peek_off) >= 0)
		return -EBUSY;
	seen = kernel_recvmsg(from, &look, &vec, 1, SS_PUMP_BYTES, MSG_PEEK | MSG_DONTWAIT);
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
	bool closed;

	if (!flow->owes_write[side])
		return 1;
	closed = file_count(flow->file[side]) == 1;
	/* In this order: what was written before the descriptor was closed is there (pairs with fput()). */
	smp_rmb();
	if (before(READ_ONCE(tcp_sk(to->sk)->write_seq), flow->write_end[side]))
		return closed ? -ECANCELED : 0;
	spin_lock_bh(&flow->lock);
	flow->owes_write[side] = false;
	spin_unlock_bh(&flow->lock);
	return 1;
}

/* 1: moved something, 0: nothing to do, negative: a socket's error, of `*culprit`'s connection. */
int ss_pump(struct ss_flow *flow, struct socket *socks[2], void *buffer, int *culprit)
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
