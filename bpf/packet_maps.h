/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The maps of the packet backend, and what every stage does with them. See
 * include/splice/packet.h for who writes what.
 */
#ifndef SPLICE_PACKET_MAPS_H
#define SPLICE_PACKET_MAPS_H

#include <splice/packet.h>
#include <splice/packet-counters.h>

/* A function that the verifier checks once, for any arguments, instead of at every call. */
#define FUNCTION __attribute__((noinline))

/* One element that tells who made the maps, for a process that finds them. What is added comes behind. */
struct splice_about {
	__u32 abi;
	__u32 unused;
	__u64 build;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct splice_about);
} about SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SPLICE_PACKET_FLOWS_DEFAULT);
	__type(key, __u32);
	__type(value, struct splice_flow_slot);
} flows SEC(".maps");

/* Two entries a flow. Never LRU: a full map refuses new flows and keeps the old. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * SPLICE_PACKET_FLOWS_DEFAULT);
	__type(key, struct splice_key);
	__type(value, __u32);
} legs SEC(".maps");

/* Connections of ours that are about to be made: which options their SYN must not offer,
 * because the client's leg did not get them. Key: @remote the server, @local all zero (not yet
 * known), @local_port ours.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct splice_key);
	__type(value, __u32);
} intents SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPLICE_PACKET_COUNTERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Transitions of the state machine that were taken, by SPLICE_EDGE(). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPLICE_EDGES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} edges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *slot = bpf_map_lookup_elem(&counters, &what);

	if (slot)
		(*slot)++;
}

/* Every exit of a program reads: return leave(COUNTER, ACTION). */
static __always_inline int leave(__u32 what, int action)
{
	count(what);
	return action;
}

/* The only way in which a side changes its state. */
static __always_inline void side_event(struct splice_leg *leg, __u32 event)
{
	__u32 state = leg->state;
	__u32 next = splice_side_next(state, event);
	__u32 edge = SPLICE_EDGE(state, event);
	__u64 *taken;

	if (next == state)
		return;
	leg->state = next;
	taken = bpf_map_lookup_elem(&edges, &edge);
	if (taken)
		(*taken)++;
}

static __always_inline void tell(struct splice_flow_slot *flow, __u32 slot, __u32 type)
{
	struct splice_packet_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(SPLICE_COUNT_EVENT_LOST);
		return;
	}
	event->type = type;
	event->slot = slot;
	event->generation = flow->generation;
	event->reason = flow->reason;
	event->bytes[0] = flow->leg[0].bytes;
	event->bytes[1] = flow->leg[1].bytes;
	bpf_ringbuf_submit(event, 0);
}

/* Keys go over the stack: the verifier of Linux 6.1 takes none from memory that a
 * global function got as its argument. Functions of their own, since their callers have no stack to spare.
 */
FUNCTION int insert_key(struct splice_leg *leg, __u32 value)
{
	struct splice_key key;

	if (!leg)
		return -1;
	key = leg->key;
	return bpf_map_update_elem(&legs, &key, &value, BPF_NOEXIST);
}

FUNCTION int forget_key(struct splice_leg *leg)
{
	struct splice_key key;

	if (!leg)
		return -1;
	key = leg->key;
	return bpf_map_delete_elem(&legs, &key);
}

static __always_inline void forget_keys(struct splice_flow_slot *flow)
{
	forget_key(&flow->leg[0]);
	forget_key(&flow->leg[1]);
}

#endif
