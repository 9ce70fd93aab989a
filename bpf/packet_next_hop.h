/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: out of the other leg's device, with the addresses of the next hop.
 *
 * bpf_redirect_neigh asks routes and neighbours for every segment, a third of what a relayed
 * segment costs. The kernel's answer is therefore kept for a moment: the guard, which sees the
 * finished frame at egress, notes its Ethernet addresses, and the next segments of that leg carry
 * them from the start. After HOP_TICKS the kernel is asked again, so that a route or a neighbour
 * that changes is followed within milliseconds, and the neighbour counts as used.
 *
 * Called by emit() at ingress and by the guard at egress, in softirq on the same processor.
 */
#ifndef SPLICE_PACKET_NEXT_HOP_H
#define SPLICE_PACKET_NEXT_HOP_H

#define HOP_TICKS 16
#define HOP_PLACES 4096

struct next_hop {
	__u32 leg;     /* SPLICE_LEG() + 1; another leg that shares the place takes it over */
	__u32 tick;    /* when it was learned */
	__u32 ifindex;
	__u8 addresses[2 * ETH_ALEN]; /* as they stand in the frame: destination, source */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOP_PLACES);
	__type(key, __u32);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

/* The leg whose frame the guard is to learn from; it is the next one on this processor, unless the
 * neighbour has to be found first.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} learning SEC(".maps");

static __always_inline struct next_hop *hop_of(__u32 leg)
{
	__u32 place = leg % HOP_PLACES;

	return bpf_map_lookup_elem(&next_hops, &place);
}

/* Sends a finished segment out. `leg`: SPLICE_LEG() of the leg that it goes to. */
static __always_inline int send_out(struct __sk_buff *skb, struct segment *seg, struct splice_leg *y,
				    __u32 leg, __u32 now)
{
	struct next_hop *hop = hop_of(leg);
	__u32 zero = 0;
	__u32 *learn;

	if (seg->l3 == ETH_HLEN && hop && hop->leg == leg + 1 && hop->ifindex == y->ifindex &&
	    now - hop->tick < HOP_TICKS) {
		void *data = data_of(skb), *end = end_of(skb);

		if (data + sizeof(hop->addresses) <= end) {
			__builtin_memcpy(data, hop->addresses, sizeof(hop->addresses));
			return bpf_redirect(hop->ifindex, 0);
		}
	}
	if (seg->l3 == 0) {
		/* Came without an Ethernet header; the redirect wants one to take off. */
		__be16 protocol = seg->ip6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

		if (bpf_skb_change_head(skb, ETH_HLEN, 0) ||
		    bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, 2, 0))
			return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	}
	learn = bpf_map_lookup_elem(&learning, &zero);
	if (learn)
		*learn = leg + 1;
	return bpf_redirect_neigh(y->ifindex, 0, 0, 0);
}

/* By words: the compiler would call memcmp(), which is not here. */
static __always_inline int same_key(const struct splice_key *a, const struct splice_key *b)
{
	const __u32 *one = (const __u32 *)a, *two = (const __u32 *)b;
	__u32 differ = 0;
	__u32 i;

	for (i = 0; i < sizeof(*a) / sizeof(*one); i++)
		differ |= one[i] ^ two[i];
	return !differ;
}

static __always_inline int is_learning(void)
{
	__u32 zero = 0;
	__u32 *learn = bpf_map_lookup_elem(&learning, &zero);

	return learn && *learn;
}

/* At egress of an Ethernet device, for a relayed frame that may be the one to learn from. */
FUNCTION int learn_next_hop(struct __sk_buff *skb)
{
	struct splice_flow_slot *flow;
	struct segment seg = {};
	struct splice_key key;
	struct next_hop *hop;
	__u32 zero = 0, slot, leg;
	__u32 *learn;

	learn = bpf_map_lookup_elem(&learning, &zero);
	if (!learn || !*learn)
		return 0;
	leg = *learn - 1;
	slot = leg >> 1;
	hop = hop_of(leg);
	if (!hop || parse(skb, ETH_HLEN, 1, &seg, &key) != PARSED_SEGMENT)
		return 0;
	/* A segment that had to wait for its neighbour comes later, and any may come before it.
	 * Asked of the slot, which the relay has just used, and not of `legs`: that may be cold.
	 */
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow || !same_key(&key, &flow->leg[leg & 1].key))
		return 0;
	*learn = 0;
	hop->leg = 0;
	if (bpf_skb_load_bytes(skb, 0, hop->addresses, sizeof(hop->addresses)))
		return 0;
	hop->ifindex = skb->ifindex;
	hop->tick = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	hop->leg = leg + 1;
	return 0;
}

#endif
