/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The map of the module: what there is, who may touch it, and who runs what in which context.
 *
 * Read in this order:
 *   include/splice/	the contract: key, states, transition table, mappings
 *   flow.h, segment.h	what there is
 *   main.c		coming and going, of the module and of network namespaces
 *   table.c		flows and their keys
 *   accept.c		stage accept: sockets, and what they have that cannot be spliced
 *   handshake.c	stage handshake: intents, and what our SYN may offer
 *   queue.c		segments that wait in ESTABLISHED and PRE_SPLICED
 *   splice.c		stage splice: how the sockets are taken over, and the worker's step
 *   wake.c, pump.c, gate.c, release.c	what a step does, in its order
 *   relay.c		stage relay: the hooks; segment.c, rewrite.c, output.c are its steps
 *   icmp.c		the router's other duties
 *   track.c		the state machine's events
 *   teardown.c		stage teardown: ends and timers; byhand.c: resets and probes
 *   genl.c		what processes ask
 *
 * How a flow becomes one of segments. The thesis queues segments while a side is PRE_SPLICED, and so
 * does this module. splice() takes a reference to both files, so that the process may go at once.
 * A worker then pumps what the sockets own: unread bytes of either go to the other, as a relay in
 * user space would, and by that keeps the invariant
 *	LY.write_seq - LX.copied_seq is what byte positions of X's stream differ by in Y's.
 * Once both wires are proven it shuts the gate: what comes with data is queued and not
 * acknowledged, and what it acknowledges goes on to the socket. With nothing new to read and every
 * byte acknowledged the sockets own nothing: under both socket locks the flow becomes RELEASED, the
 * sockets are disconnected without a word, and the queues are relayed. If that takes too long (a
 * peer that does not read) the gate opens again, the queue goes to the sockets, and the worker
 * pumps on: always correct, only slower.
 *
 * Locks, outer to inner:
 *   ss_net.enabling	(mutex) first use of a namespace; process context
 *   socket locks	of a flow's two sockets, by address; taken together by a request for a splice
 *			and by the flow's worker, else one at a time
 *   sk_callback_lock	(BH) of a socket, while its ear is opened or closed; read by its callbacks,
 *			which take no lock of ours
 *   ss_flow.lock	(BH) one a flow, never two. Both directions take it for every segment. The
 *			hooks take it in the output path below a socket's lock; so nobody takes a
 *			socket's lock below it, or sends a TCP segment
 *   ss_net.lock	(BH) intents and counting; innermost, as the locks of rhashtable and xarray
 *
 * RCU: flows are found under rcu_read_lock() by key, number or server's socket and freed after a grace
 * period. Whoever has found one takes its lock and asks ss_flow_is() or looks at `dead` before it
 * believes anything. To keep one beyond the read section: ss_flow_get_maybe_dead(). A namespace's
 * ss_net outlives its hooks by a grace period, and its flows' workers by being waited for.
 *
 * Contexts: [S] softirq, or any with bottom halves off. [P] process context, may sleep.
 */
#ifndef SYMSPLICE_H
#define SYMSPLICE_H

#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/tcp.h>

#include "flow.h"
#include "segment.h"

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

/* Tunables of main.c. */
extern unsigned int ss_flows_max;
extern unsigned int ss_queue_bytes;
extern unsigned long ss_queue_bytes_all;
extern unsigned int ss_time_wait_ms;
extern unsigned int ss_gate_ms;
extern struct workqueue_struct *ss_workers;

/* main.c */
struct ss_net *ss_net_of(struct net *net);
int ss_net_enable(struct ss_net *ssn);					/* [P] */

/* Until then there is no table to look into, and nothing to count with. */
static inline bool ss_net_is_enabled(const struct ss_net *ssn)
{
	/* Pairs with ss_net_enable(). */
	return smp_load_acquire(&ssn->enabled);
}

static inline void ss_count(struct ss_net *ssn, enum splice_packet_counter what)
{
	this_cpu_inc(ssn->counts->packet[what]);
}

static inline void ss_count_more(struct ss_net *ssn, enum symsplice_counter what)
{
	this_cpu_inc(ssn->counts->more[what]);
}

/* Every exit of a hook reads: return ss_leave(ssn, COUNTER, VERDICT). */
static inline unsigned int ss_leave(struct ss_net *ssn, enum splice_packet_counter what,
				    unsigned int verdict)
{
	ss_count(ssn, what);
	return verdict;
}

static inline u32 ss_tick(void)
{
	return ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
}

/* A segment of each leg has been seen where it would be relayed. */
static inline bool ss_flow_is_proven(const struct ss_flow *flow)
{
	return flow->slot.leg[SPLICE_CLIENT].flags & flow->slot.leg[SPLICE_SERVER].flags & SPLICE_LEG_SEEN;
}

/* table.c */
int ss_table_init(void);
void ss_table_exit(void);
int ss_table_init_net(struct ss_net *ssn);				/* [P] */
void ss_table_exit_net(struct ss_net *ssn);				/* [P] */
struct ss_flow *ss_flow_create(struct ss_net *ssn);			/* [P] */
int ss_flow_publish(struct ss_flow *flow, struct sock *server);		/* [P] */
void ss_flow_no_intent(struct ss_flow *flow);
int ss_flow_set_key(struct ss_flow *flow, int side, const struct splice_key *key); /* flow->lock */
void ss_flow_drop_key(struct ss_flow *flow, int side);			/* flow->lock */
bool ss_flow_is(const struct ss_flow *flow, int side, const struct splice_key *key); /* flow->lock */
struct ss_flow *ss_table_find(struct ss_net *ssn, const struct splice_key *key, u8 *side); /* RCU */
struct ss_flow *ss_table_find_intent(struct ss_net *ssn, const struct sock *server); /* RCU */
struct ss_flow *ss_table_get(struct ss_net *ssn, u64 id);
struct ss_flow *ss_table_get_from(struct ss_net *ssn, u64 id);
bool ss_flow_get_maybe_dead(struct ss_flow *flow);
void ss_flow_put(struct ss_flow *flow);
void ss_flow_remove(struct ss_flow *flow);	/* without its lock; any context */
bool ss_flow_remove_intent(struct ss_flow *flow, struct sk_buff_head *waiting); /* as that */
void ss_flow_drop_sockets(struct ss_flow *flow);

/* output.c */
void ss_output_learn(struct ss_flow *flow, int side, struct sock *sk);	/* flow->lock, or unknown yet */
bool ss_output_takes(const struct ss_flow *flow, int side, const struct net_device *dev); /* RCU */
int ss_output_route(struct ss_flow *flow, int side);			/* flow->lock */
bool ss_output_is_local(const struct ss_flow *flow, int side);		/* flow->lock */
int ss_output_attach(struct ss_flow *flow, int side, struct sk_buff *skb); /* flow->lock */
void ss_output_send(struct net *net, struct sk_buff *skb);		/* [S] or [P], no lock */
void ss_output_send_local(struct net *net, struct sk_buff *skb);		/* [P], no lock */
u32 ss_output_limit(const struct ss_flow *flow, int side);		/* flow->lock */

/* accept.c: [P] */
struct socket *ss_accept_socket(struct net *net, int fd, int *err);
int ss_accept_init(struct ss_net *ssn, struct socket *sock);
u32 ss_accept_read(struct ss_flow *flow, int side, struct sock *sk);
u32 ss_accept_fits(struct ss_flow *flow, struct sock *client, struct sock *server);
u32 ss_accept_way(struct ss_flow *flow, int side);			/* flow->lock */
void ss_accept_key(const struct sock *sk, struct splice_key *key);	/* any */
u32 ss_accept_clock(const struct splice_leg *leg);			/* any */

/* handshake.c */
int ss_handshake_intend(struct ss_net *ssn, struct socket *client, struct socket *server, bool open,
			u32 *answer);					/* [P] */
int ss_handshake_cancel(struct ss_net *ssn, struct socket *client);	/* [P] */
struct ss_flow *ss_handshake_find(struct ss_net *ssn, struct sock *client); /* [P] */
void ss_handshake_forget(struct ss_flow *flow);				/* [P] */
unsigned int ss_handshake_segment(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg,
				  bool *forget);			/* [S], flow->lock */
unsigned int ss_handshake_syn(struct ss_net *ssn, struct sk_buff *skb, struct ss_segment *seg,
			      const struct splice_key *key);		/* [S] */

/* queue.c: under flow->lock, but for ss_queue_return */
unsigned int ss_queue_segment(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg);
void ss_queue_add(struct ss_flow *flow, struct sk_buff *skb, const struct ss_segment *seg);
void ss_queue_take(struct ss_flow *flow, int side, struct sk_buff_head *out);
void ss_queue_purge(struct ss_flow *flow);
void ss_queue_return(struct ss_net *ssn, struct sk_buff_head *segments);

/* splice.c */
int ss_splice_begin(struct ss_net *ssn, struct socket *client, struct socket *server,
		    const u32 owed[2], u32 idle_ms, u64 *id, u32 *answer); /* [P] */
void ss_splice_lock(struct sock *a, struct sock *b);			/* [P] */
void ss_splice_unlock(struct sock *a, struct sock *b);
void ss_splice_kick(struct ss_flow *flow);				/* any */
void ss_splice_kick_later(struct ss_flow *flow, unsigned long delay);	/* any */
void ss_splice_work(struct work_struct *work);				/* [P] */

/* wake.c: under the socket's lock */
void ss_wake_listen(struct ss_flow *flow, int side, struct sock *sk);
void ss_wake_deafen(struct ss_flow *flow, int side, struct sock *sk);

/* pump.c, gate.c, release.c: the worker */
int ss_pump(struct ss_flow *flow, struct socket *socks[2], void *buffer, int *culprit);
unsigned long ss_gate_turn(struct ss_flow *flow);
bool ss_release_try(struct ss_flow *flow, struct socket *socks[2]);

#define SS_PUMP_BYTES (32 << 10)

/* relay.c */
int ss_relay_register(struct net *net);					/* [P] */
void ss_relay_unregister(struct net *net);				/* [P] */
bool ss_relay_is_allowed(struct sk_buff *skb, const struct ss_segment *seg); /* [S] */
int ss_relay_prepare(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg,
		     struct ss_event *event);				/* flow->lock */

/* icmp.c: [S] */
unsigned int ss_icmp_translate(struct ss_net *ssn, struct sk_buff *skb, const struct net_device *dev,
			       bool ip6);
void ss_icmp_too_big(struct sk_buff *skb, const struct ss_segment *seg, u32 limit);

/* track.c: under flow->lock, but for ss_track_tell */
void ss_track_side_event(struct ss_flow *flow, int side, enum splice_side_event event);
void ss_track_promise(struct splice_leg *y, u32 edge);
void ss_track_segment(struct ss_flow *flow, const struct ss_segment *seg, struct ss_event *event);
void ss_track_end(struct ss_flow *flow, u32 reason, struct ss_event *event);
void ss_track_note(struct ss_flow *flow, u32 type, struct ss_event *event);
void ss_track_tell(struct ss_net *ssn, const struct ss_event *event);

/* byhand.c: any context, no lock */
void ss_byhand_reset(struct ss_flow *flow, int side);
void ss_byhand_probe(struct ss_flow *flow, int side);

/* teardown.c */
void ss_teardown_abort(struct ss_flow *flow, u32 reason);		/* [P] */
void ss_teardown_sweep(struct work_struct *work);			/* [P] */

/* genl.c */
int ss_genl_init(void);
void ss_genl_exit(void);
void ss_genl_event(struct net *net, const struct ss_event *event);	/* any */

/* selftest/selftest.c */
bool ss_selftest(void);

#endif
