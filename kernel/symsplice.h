/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The map of the module: what there is, who may touch it, and who runs what in which context.
 *
 * Read in this order:
 *   include/splice/	the contract: key, states, transition table, mappings
 *   main		coming and going, of the module and of network namespaces
 *   table.c		flows and their keys
 *   accept.c		stage accept: sockets, and what they have that cannot be spliced
 *   handshake.c	stage handshake: intents, and what our SYN may offer
 *   queue.c		segments that wait in ESTABLISHED and PRE_SPLICED
 *   splice.c		stage splice: the pump, the gate, the release
 *   relay.c		stage relay: the hooks; segment.c, rewrite.c, output.c are its steps
 *   icmp.c		the router's other duties
 *   track.c		the state machine's events
 *   teardown.c		stage teardown: ends, timers, resets and probes
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
 *   socket locks	of a flow's two sockets, client's first; taken together only by its worker
 *   ss_flow.lock	(BH) one a flow. Both directions take it for every segment
 *   ss_net.lock	(BH) list of flows. Never held while a flow's lock is taken
 *
 * RCU: flows are found under rcu_read_lock() by keys or list and freed after a grace period. Whoever
 * has found one takes its lock and looks at `dead` before it believes anything. To keep one beyond
 * the read section: ss_flow_get_maybe_dead().
 *
 * Contexts: [S] softirq, or any with bottom halves off. [P] process context, may sleep.
 */
#ifndef SYMSPLICE_H
#define SYMSPLICE_H

#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <net/dst.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include <splice/packet.h>
#include <splice/packet-counters.h>

#include "uapi/symsplice.h"

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

/**
 * struct ss_counts - what one processor has counted
 * @packet: by enum splice_packet_counter
 * @more: by enum symsplice_counter
 * @edges: transitions taken, by SPLICE_EDGE()
 */
struct ss_counts {
	u64 packet[SPLICE_PACKET_COUNTERS_MAX];
	u64 more[SYMSPLICE_COUNTERS_MAX];
	u64 edges[SPLICE_EDGES_MAX];
};

/**
 * struct ss_net - a network namespace
 * @net: which
 * @keys: flows by struct splice_key; RCU
 * @flows: all flows and intents; written under @lock, read under RCU, too
 * @intents: those that wait for their server's SYN, or for splice(); as @flows
 * @lock: see @flows, @intents, @count, @closing
 * @count: how many are in @flows
 * @closing: the namespace goes, nothing is added any more
 * @held_bytes: memory of all segments that wait, of all flows
 * @counts: per CPU
 * @enabling: serialises the first use
 * @enabled: hooks and @keys exist; set once, under @enabling
 * @sweep: looks at every flow once a second while there is one
 */
struct ss_net {
	struct net *net;
	struct rhashtable keys;
	struct list_head flows;
	struct list_head intents;
	spinlock_t lock;
	unsigned int count;
	bool closing;
	atomic_long_t held_bytes;
	struct ss_counts __percpu *counts;
	struct mutex enabling;
	bool enabled;
	struct delayed_work sweep;
};

/**
 * struct ss_node - what a key in ss_net.keys leads to
 * @hash: of rhashtable
 * @key: never changes while hashed
 * @side: SPLICE_CLIENT or SPLICE_SERVER
 * @hashed: under ss_flow.lock
 */
struct ss_node {
	struct rhash_head hash;
	struct splice_key key;
	u8 side;
	bool hashed;
};

/**
 * struct ss_held - segments from one peer that wait
 * @segments: ordered by sequence number; ss_flow.lock, not the list's own
 * @bytes: of memory
 */
struct ss_held {
	struct sk_buff_head segments;
	unsigned int bytes;
};

/**
 * struct ss_flow - two connections that are to be, or are, one
 * @slot: the contract's view of it. @slot.phase FREE here means: an intent. @lock
 * @lock: of all below, but where another rule is given
 * @refs: one for the table, one while @work is queued or runs
 * @ssn: its namespace; not to be followed once @dead
 * @id: never used again; constant
 * @dead: out of the table
 * @node: keys; @node[i].hash belongs to ss_net.keys
 * @list: in ss_net.flows; ss_net.lock
 * @intent: in ss_net.intents while @is_intent; ss_net.lock
 * @is_intent: ss_net.lock
 * @rcu: for freeing
 * @sk: the local sockets: referenced until the release. Their fields are read by their own rules
 * @file: in TRANSIT, so that a process that closes them sends no FIN
 * @dst: how segments leave towards each peer; null: ask
 * @dst_cookie: of IPv6 routes
 * @held: segments from each peer
 * @gate: segments with data are queued
 * @flushing: RELEASED, but earlier segments are still being relayed out of the queue
 * @gate_shut: jiffies
 * @gate_next: jiffies before which it is not shut again
 * @gate_pause: jiffies until the next try, grows
 * @copied: where the pump has left each socket's reading; worker only
 * @shut: the pump has passed on the FIN of this side; worker only
 * @write_end: the process still writes to this socket until here
 * @owes_write: @write_end is not reached
 * @pumped: bytes from each side; worker only, @lock to publish in @slot
 * @probes: unanswered, of either kind
 * @probed: tick of the latest
 * @spliced: jiffies of splice()
 * @idle_ms: without a byte, after which the flow is ended; 0: never
 * @doomed: the worker is to end it, for @doom_reason
 * @doom_reason: enum splice_close_reason
 * @work: the pump, in TRANSIT
 */
struct ss_flow {
	struct splice_flow_slot slot;
	spinlock_t lock;
	refcount_t refs;
	struct ss_net *ssn;
	u64 id;
	bool dead;
	struct ss_node node[2];
	struct list_head list;
	struct list_head intent;
	bool is_intent;
	struct rcu_head rcu;
	struct sock *sk[2];
	struct file *file[2];
	struct dst_entry *dst[2];
	u32 dst_cookie[2];
	struct ss_held held[2];
	bool gate;
	bool flushing;
	unsigned long gate_shut;
	unsigned long gate_next;
	unsigned long gate_pause;
	u32 copied[2];
	bool shut[2];
	u32 write_end[2];
	bool owes_write[2];
	u64 pumped[2];
	u8 probes;
	u32 probed;
	unsigned long spliced;
	u32 idle_ms;
	bool doomed;
	u32 doom_reason;
	struct delayed_work work;
};

/**
 * struct ss_segment - a TCP segment in hand; host byte order
 * @l4: offset of the TCP header from the network header, where skb->data is
 * @header: bytes of the TCP header
 * @length: bytes of payload
 * @seq: sequence number
 * @ack: acknowledgement
 * @end: @seq + @length, + 1 with FIN
 * @window: the field, unscaled
 * @flags: TCPHDR_*
 * @extra: bytes of IPv4 options, or of IPv6 extension headers
 * @ip6: IPv6
 * @fragment: an IP fragment, of which only addresses and ports are known
 * @side: from whom it is, or to whom at LOCAL_OUT
 */
struct ss_segment {
	u32 l4;
	u32 header;
	u32 length;
	u32 seq;
	u32 ack;
	u32 end;
	u32 window;
	u8 flags;
	u16 extra;
	bool ip6;
	bool fragment;
	u8 side;
};

enum ss_parsed {
	SS_PARSED_SEGMENT,
	SS_PARSED_ICMP,
	SS_PARSED_NOT_TCP,
	SS_PARSED_SHORT,
};

/* What an event says; collected under the flow's lock, sent behind it. */
struct ss_event {
	bool due;
	u32 type;
	u32 reason;
	u64 id;
	u64 bytes[2];
};

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

/* The contract's keys have ports as they stand in the header, in plain C. */
static inline __be16 ss_port(unsigned short port)
{
	return (__force __be16)port;
}

static inline unsigned short ss_key_port(__be16 port)
{
	return (__force unsigned short)port;
}

/* table.c */
int ss_table_init(void);
void ss_table_exit(void);
int ss_table_init_net(struct ss_net *ssn);
void ss_table_exit_net(struct ss_net *ssn);				/* [P] */
struct ss_flow *ss_flow_create(struct ss_net *ssn);			/* [P] */
bool ss_flow_publish(struct ss_flow *flow, bool intent);			/* [P] */
void ss_flow_no_intent(struct ss_flow *flow);
int ss_flow_add_key(struct ss_flow *flow, int side, const struct splice_key *key);
struct ss_flow *ss_table_find(struct ss_net *ssn, const struct splice_key *key, u8 *side);
struct ss_flow *ss_table_find_id(struct ss_net *ssn, u64 id);
bool ss_flow_get_maybe_dead(struct ss_flow *flow);
void ss_flow_put(struct ss_flow *flow);
void ss_flow_remove(struct ss_flow *flow);	/* without its lock; any context */
bool ss_flow_is_dead(struct ss_flow *flow);
void ss_flow_drop_sockets(struct ss_flow *flow);

/* segment.c: [S] */
enum ss_parsed ss_segment_parse(struct sk_buff *skb, bool ip6, bool outgoing,
				struct ss_segment *seg, struct splice_key *key);
bool ss_segment_checksum_holds(struct sk_buff *skb, const struct ss_segment *seg);
int ss_segment_make_bare(struct sk_buff *skb, struct ss_segment *seg);
int ss_segment_remove_options(struct sk_buff *skb, struct ss_segment *seg);
void ss_segment_key_v4(struct splice_key *key, __be32 remote, __be32 local);

/* rewrite.c: [S] */
struct ss_options {
	u32 timestamps;		/* offset of TSval; 0: none */
	u32 sack;		/* offset of the option; 0: none */
	u32 sack_length;
};

void ss_rewrite_find_options(const u8 *header, u32 length, struct ss_options *out);
void ss_rewrite_options(u8 *header, u32 length, const struct splice_leg *x, const struct splice_leg *y,
			bool has_ack);
void ss_rewrite_check(struct sk_buff *skb, __sum16 *check, __wsum difference, bool pseudo);
u32 ss_rewrite_strip_syn(u8 *header, u32 length, u32 lacks);
int ss_rewrite_segment(struct sk_buff *skb, const struct ss_segment *seg, const struct splice_leg *x,
		       const struct splice_leg *y);

/* output.c */
int ss_output_route(struct ss_flow *flow, int side);			/* flow->lock */
int ss_output_attach(struct ss_flow *flow, int side, struct sk_buff *skb); /* flow->lock */
void ss_output_send(struct net *net, struct sk_buff *skb);		/* [S] or [P], no lock */
u32 ss_output_limit(const struct ss_flow *flow, int side);		/* flow->lock */

/* accept.c: [P] */
struct socket *ss_accept_socket(struct net *net, int fd, int *err);
int ss_accept_init(struct ss_net *ssn, struct socket *sock);
u32 ss_accept_read(struct ss_flow *flow, int side, struct sock *sk);
u32 ss_accept_fits(struct ss_flow *flow, struct sock *client, struct sock *server);
u32 ss_accept_way(struct ss_flow *flow, int side);			/* flow->lock */
void ss_accept_key(struct sock *sk, struct splice_key *key);
u32 ss_accept_clock(const struct splice_leg *leg);			/* any */

/* handshake.c */
int ss_handshake_intend(struct ss_net *ssn, struct socket *client, struct socket *server,
			u32 *answer);					/* [P] */
int ss_handshake_cancel(struct ss_net *ssn, struct socket *client);	/* [P] */
struct ss_flow *ss_handshake_find(struct ss_net *ssn, struct sock *client); /* [P] */
void ss_handshake_forget(struct ss_flow *flow);				/* [P] */
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
void ss_splice_kick(struct ss_flow *flow);				/* any */
void ss_splice_kick_later(struct ss_flow *flow, unsigned long delay);	/* any */
void ss_splice_work(struct work_struct *work);				/* [P] */

/* relay.c */
int ss_relay_register(struct net *net);					/* [P] */
void ss_relay_unregister(struct net *net);				/* [P] */
int ss_relay_prepare(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg,
		     struct ss_event *event);				/* flow->lock */

/* icmp.c: [S] */
unsigned int ss_icmp_translate(struct ss_net *ssn, struct sk_buff *skb, bool ip6);
void ss_icmp_too_big(struct sk_buff *skb, const struct ss_segment *seg, u32 limit);

/* track.c: under flow->lock, but for ss_track_tell */
void ss_track_side_event(struct ss_flow *flow, int side, enum splice_side_event event);
void ss_track_promise(struct splice_leg *y, u32 edge);
void ss_track_segment(struct ss_flow *flow, const struct ss_segment *seg, struct ss_event *event);
void ss_track_end(struct ss_flow *flow, u32 reason, struct ss_event *event);
void ss_track_note(struct ss_flow *flow, u32 type, struct ss_event *event);
void ss_track_tell(struct ss_net *ssn, const struct ss_event *event);

/* teardown.c */
void ss_teardown_abort(struct ss_flow *flow, u32 reason);		/* [P] */
void ss_teardown_sweep(struct work_struct *work);			/* [P] */
void ss_teardown_probe(struct ss_flow *flow, int side);			/* any, no lock */

/* genl.c */
int ss_genl_init(void);
void ss_genl_exit(void);
void ss_genl_event(struct net *net, const struct ss_event *event);	/* any */

/* selftest/selftest.c */
bool ss_selftest(void);

#endif
