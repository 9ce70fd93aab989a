/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What there is: namespaces, flows and the keys that lead to them. Each member says by which lock it
 * is held; symsplice.h has the locks' order and the rules of RCU.
 */
#ifndef SYMSPLICE_FLOW_H
#define SYMSPLICE_FLOW_H

#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/dst.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include <splice/packet.h>
#include <splice/packet-counters.h>

#include "uapi/symsplice.h"

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

#define SS_INTENT_BITS 8

/**
 * struct ss_net - a network namespace
 * @net: which
 * @enabling: serialises the first use
 * @enabled: @keys, @intents, @counts and the hooks exist. Set once, under @enabling; read by
 *	ss_net_is_enabled(). Who comes by a hook or has a flow need not ask
 * @keys: flows by struct splice_key; RCU, changed under ss_flow.lock
 * @flows: all flows and intents by their number; RCU, changed under its own lock (BH)
 * @intents: flows that wait for their server's SYN, or for splice(), by their server's socket; RCU,
 *	changed under @lock
 * @lock: see @intents, @count, @closing. Innermost
 * @count: how many are in @flows, or are about to be
 * @closing: the namespace goes, @sweep is not queued any more
 * @last_id: of a flow
 * @held_bytes: memory of all segments that wait, of all flows
 * @held_share: the part of the module's bound that @held_bytes may come to is one in so many
 * @counts: per CPU
 * @sweep: looks at every flow once a second while there is one
 */
struct ss_net {
	struct net *net;
	struct mutex enabling;
	bool enabled;
	struct rhashtable keys;
	struct xarray flows;
	struct hlist_head *intents;
	spinlock_t lock;
	unsigned int count;
	bool closing;
	atomic64_t last_id;
	atomic_long_t held_bytes;
	unsigned int held_share;
	struct ss_counts __percpu *counts;
	struct delayed_work sweep;
};

/**
 * struct ss_node - what a key in ss_net.keys leads to
 * @hash: of rhashtable
 * @key: ss_flow.lock. Readers of the table may see it change: they look the flow's leg up again
 * @side: SPLICE_CLIENT or SPLICE_SERVER; constant
 * @hashed: ss_flow.lock
 */
struct ss_node {
	struct rhash_head hash;
	struct splice_key key;
	u8 side;
	bool hashed;
};

/**
 * struct ss_route - how segments leave towards a peer: as from its socket
 * @dst: null: ask. ss_flow.lock, as all here
 * @cookie: of an IPv6 route
 * @device: to which the socket is bound, or 0. The peer's segments come from there, too
 * @mark: SO_MARK, or SPLICE_MARK_RELAY
 * @uid: whose socket it was, for rules that ask
 * @tos: the socket's type of service, for rules that ask
 */
struct ss_route {
	struct dst_entry *dst;
	u32 cookie;
	int device;
	u32 mark;
	kuid_t uid;
	u8 tos;
};

/**
 * struct ss_held - segments from one peer that wait
 * @segments: ordered by sequence number; ss_flow.lock, not the list's own
 * @bytes: of memory; ss_flow.lock
 */
struct ss_held {
	struct sk_buff_head segments;
	unsigned int bytes;
};

/**
 * struct ss_ear - what a socket called before the pump listened to it
 * @data_ready: written and read under the socket's lock and its sk_callback_lock, as all here
 * @state_change: see @data_ready
 * @write_space: see @data_ready
 * @error_report: see @data_ready
 * @open: these are kept here, and the socket calls us
 */
struct ss_ear {
	void (*data_ready)(struct sock *sk);
	void (*state_change)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*error_report)(struct sock *sk);
	bool open;
};

/**
 * struct ss_flow - two connections that are to be, or are, one
 * @slot: the contract's view of it. @slot.phase FREE here means: an intent. @lock
 * @lock: of all below, but where another rule is given
 * @refs: one for the table, one while @work is queued or runs, one for each ear that is open
 * @ssn: its namespace; constant. Not to be followed once @dead, but by who keeps the namespace
 * @id: never used again in its namespace; constant
 * @dead: out of the table; written once
 * @node: keys; @node[i].hash belongs to ss_net.keys
 * @intent: in ss_net.intents; ss_net.lock
 * @rcu: for freeing
 * @sk: the local sockets: referenced from the intent, or the splice, to the release. Their fields are
 *	read by their own rules
 * @file: in TRANSIT, so that a process that closes them sends no FIN
 * @route: to each peer
 * @held: segments from each peer
 * @gate: segments with data are queued
 * @flushing: RELEASED, but earlier segments are still being relayed out of the queue
 * @gate_shut: jiffies
 * @gate_next: jiffies before which it is not shut again
 * @gate_pause: jiffies until the next try, grows
 * @ear: what the sockets called; the sockets' locks
 * @copied: where the pump has left each socket's reading; worker only
 * @shut: the pump has passed on the FIN of this side; worker only
 * @write_end: the process still writes to this socket until here; constant in TRANSIT
 * @owes_write: @write_end is not reached
 * @pumped: bytes from each side; worker only, @lock to publish in @slot
 * @probes: unanswered, of either kind
 * @probed: tick of the latest
 * @spliced: jiffies of splice()
 * @idle_ms: without a byte, after which the flow is ended; 0: never. Constant in TRANSIT
 * @doomed: the worker is to end it, for @doom_reason; written once
 * @doom_reason: enum splice_close_reason; written before @doomed
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
	struct hlist_node intent;
	struct rcu_head rcu;
	struct sock *sk[2];
	struct file *file[2];
	struct ss_route route[2];
	struct ss_held held[2];
	bool gate;
	bool flushing;
	unsigned long gate_shut;
	unsigned long gate_next;
	unsigned long gate_pause;
	struct ss_ear ear[2];
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

/* What an event says; collected under the flow's lock, sent behind it. */
struct ss_event {
	bool due;
	u32 type;
	u32 reason;
	u64 id;
	u64 bytes[2];
};

#endif
