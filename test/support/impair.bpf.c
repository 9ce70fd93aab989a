// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A bad wire for the tests: loses, doubles, delays, damages and marks TCP segments.
 *
 * tc programs on a device of an END host of the lab, so that the proxy host
 * carries nothing but the filters under test. impair.ts loads them and sets the
 * rules. What is late or damaged takes a detour through a tap device, where
 * impair-hold.c holds it: damage must find a real checksum in the segment, and
 * the kernel makes one only for a device that cannot.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define DIRECTION_OUT 0
#define DIRECTION_IN 1

/* Set on a segment that has met its fate; the network namespace's edge clears it. */
#define MARK_DONE 0x1a9a1u

/* In the source address of a frame on its detour: what is to be done, and where it goes on. */
#define ACTION_HOLD 1
#define ACTION_CORRUPT 2

/* Shares of 2^32. impair.ts writes the words in this order. */
struct rule {
	__u32 seed;
	__u32 loss;
	__u32 duplicate;
	__u32 hold;
	__u32 corrupt;
	__u32 congest;
	__u32 device;
	__u32 tap;
};

struct tally {
	__u32 segments;
	__u32 lost;
	__u32 duplicated;
	__u32 held;
	__u32 corrupted;
	__u32 congested;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

/* The lot of segment number `segment`: the same seed gives the same row of lots. */
static __always_inline __u32 draw(__u32 seed, __u32 segment, __u32 which)
{
	__u32 x = seed + segment * 0x9e3779b9u + which * 0x85ebca6bu;

	x = (x ^ (x >> 16)) * 0x7feb352du;
	x = (x ^ (x >> 15)) * 0x846ca68bu;
	return x ^ (x >> 16);
}

static __always_inline int is_tcp(struct __sk_buff *skb)
{
	__u8 protocol = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		bpf_skb_load_bytes(skb, ETH_HLEN + 9, &protocol, 1);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1);
	return protocol == IPPROTO_TCP;
}

static __always_inline int detour(struct __sk_buff *skb, const struct rule *rule,
				  __u32 direction, __u32 action)
{
	__u8 source[6] = { 0x02, 0x5e, direction, action };

	bpf_skb_store_bytes(skb, 6, source, sizeof(source), 0);
	return bpf_redirect(rule->tap, 0);
}

static __always_inline int impair(struct __sk_buff *skb, __u32 direction)
{
	struct rule *rule = bpf_map_lookup_elem(&rules, &direction);
	struct tally *tally = bpf_map_lookup_elem(&tallies, &direction);
	__u32 n;

	if (!rule || !tally || skb->mark == MARK_DONE || !is_tcp(skb))
		return TC_ACT_UNSPEC;
	n = __sync_fetch_and_add(&tally->segments, 1);
	if (draw(rule->seed, n, 0) < rule->loss) {
		__sync_fetch_and_add(&tally->lost, 1);
		/* Not SHOT: on its own host the sender would learn of it, as it never does from a wire. */
		return TC_ACT_STOLEN;
	}
	if (draw(rule->seed, n, 1) < rule->congest && bpf_skb_ecn_set_ce(skb))
		__sync_fetch_and_add(&tally->congested, 1);
	if (draw(rule->seed, n, 2) < rule->duplicate) {
		__sync_fetch_and_add(&tally->duplicated, 1);
		skb->mark = MARK_DONE;
		bpf_clone_redirect(skb, rule->device, direction == DIRECTION_IN ? BPF_F_INGRESS : 0);
		return TC_ACT_UNSPEC;
	}
	if (draw(rule->seed, n, 3) < rule->corrupt) {
		__sync_fetch_and_add(&tally->corrupted, 1);
		return detour(skb, rule, direction, ACTION_CORRUPT);
	}
	/* A share of all is all: what is left of the last step below 2^32. */
	if (rule->hold == 0xffffffffu || draw(rule->seed, n, 4) < rule->hold) {
		__sync_fetch_and_add(&tally->held, 1);
		return detour(skb, rule, direction, ACTION_HOLD);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int out(struct __sk_buff *skb)
{
	return impair(skb, DIRECTION_OUT);
}

SEC("tc")
int in(struct __sk_buff *skb)
{
	return impair(skb, DIRECTION_IN);
}

/* Ingress of the tap: back on the way, marked so that it meets no second fate. */
SEC("tc")
int back(struct __sk_buff *skb)
{
	__u8 source[6] = {};
	struct rule *rule;
	__u32 direction;

	bpf_skb_load_bytes(skb, 6, source, sizeof(source));
	direction = source[2];
	rule = bpf_map_lookup_elem(&rules, &direction);
	if (!rule || source[0] != 0x02 || source[1] != 0x5e)
		return TC_ACT_SHOT;
	skb->mark = MARK_DONE;
	return bpf_redirect(rule->device, direction == DIRECTION_IN ? BPF_F_INGRESS : 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
