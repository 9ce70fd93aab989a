// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Makes the TCP of an end host of the lab look like another one's, unknown to itself.
 *
 * tc programs on its device: `out` gives its streams the first sequence number
 * and its timestamps the origin that a test wants (to see them wrap in the
 * middle of a transfer), and writes its options in another order than Linux;
 * `in` takes the first two back, and can be stricter than Linux about what comes.
 * peer-host.ts loads them.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEADER_MAX 60
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define OPTION_TIMESTAMPS 8
#define OPTION_SACK 5

/* As in impair.bpf.c: a segment on its second pass is disguised already. */
#define MARK_DONE 0x1a9a1u

/* peer-host.ts writes the words in this order. */
struct disguise {
	__u32 sequence_set;
	__u32 sequence; /* of the SYN */
	__u32 clock_set;
	__u32 clock; /* TSval of the SYN */
	__u32 order; /* of the timestamps option: 0 NOP NOP TS, 1 TS NOP NOP, 2 NOP TS NOP */
	__u32 strict; /* drops what lacks timestamps (RFC 7323 section 3.2) */
};

struct flow {
	__u8 remote[16];
	__u16 remote_port;
	__u16 local_port;
};

struct shift {
	__u32 sequence;
	__u32 clock;
};

/* The header as it came and as it goes; both padded with zeros, so that one difference covers all, and
 * so far that the verifier believes every access that is bounded by option lengths. */
struct scratch {
	__u8 old[2 * HEADER_MAX + 8];
	__u8 new[2 * HEADER_MAX + 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct disguise);
} disguises SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, struct shift);
} shifts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline __u32 get32(const __u8 *at)
{
	return (__u32)at[0] << 24 | (__u32)at[1] << 16 | (__u32)at[2] << 8 | at[3];
}

static __always_inline void put32(__u8 *at, __u32 value)
{
	at[0] = value >> 24;
	at[1] = value >> 16;
	at[2] = value >> 8;
	at[3] = value;
}

/* Where the TCP header begins; 0: this is none. */
static __always_inline __u32 tcp_offset(struct __sk_buff *skb)
{
	__u8 first = 0, protocol = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		bpf_skb_load_bytes(skb, ETH_HLEN, &first, 1);
		bpf_skb_load_bytes(skb, ETH_HLEN + 9, &protocol, 1);
		return protocol == IPPROTO_TCP ? ETH_HLEN + (first & 15) * 4 : 0;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1);
		return protocol == IPPROTO_TCP ? ETH_HLEN + 40 : 0;
	}
	return 0;
}

/* Where in the header option `kind` begins; 0: it has none. */
static __always_inline __u32 find_option(const __u8 *header, __u32 length, __u8 kind)
{
	__u32 at = 20;

	for (int i = 0; i < 24; i++) {
		__u32 size;

		if (at + 2 > length || at > HEADER_MAX - 2)
			return 0;
		if (header[at & 63] == kind)
			return at;
		if (header[at & 63] == 0)
			return 0;
		size = header[at & 63] == 1 ? 1 : header[(at + 1) & 63];
		if (size == 0)
			return 0;
		at += size;
	}
	return 0;
}

static __always_inline int rewrite(struct __sk_buff *skb, int outwards)
{
	__u32 zero = 0, offset = tcp_offset(skb), length, at;
	struct disguise *disguise = bpf_map_lookup_elem(&disguises, &zero);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
	struct flow flow = {};
	struct shift *known, fresh = {};
	__u8 *header;
	__s64 difference;

	if (!disguise || !scratch || offset == 0 || (outwards && skb->mark == MARK_DONE))
		return TC_ACT_UNSPEC;
	__builtin_memset(scratch, 0, sizeof(*scratch));
	if (bpf_skb_load_bytes(skb, offset, scratch->old, 20) < 0)
		return TC_ACT_UNSPEC;
	length = (scratch->old[12] >> 4) * 4;
	if (length < 20 || length > HEADER_MAX)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, offset, scratch->old, length) < 0)
		return TC_ACT_UNSPEC;
	__builtin_memcpy(scratch->new, scratch->old, sizeof(scratch->new));
	header = scratch->new;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		bpf_skb_load_bytes(skb, ETH_HLEN + (outwards ? 16 : 12), flow.remote, 4);
	else
		bpf_skb_load_bytes(skb, ETH_HLEN + (outwards ? 24 : 8), flow.remote, 16);
	__builtin_memcpy(outwards ? &flow.local_port : &flow.remote_port, header, 2);
	__builtin_memcpy(outwards ? &flow.remote_port : &flow.local_port, header + 2, 2);

	known = bpf_map_lookup_elem(&shifts, &flow);
	at = find_option(header, length, OPTION_TIMESTAMPS);
	if (!outwards && disguise->strict && at == 0 && !(header[13] & (TCP_SYN | TCP_RST)))
		return TC_ACT_SHOT;
	if (outwards && (header[13] & TCP_SYN)) {
		fresh.sequence = disguise->sequence_set ? disguise->sequence - get32(header + 4) : 0;
		if (disguise->clock_set && at != 0 && at <= HEADER_MAX - 10)
			fresh.clock = disguise->clock - get32(header + at + 2);
		/* A repeated SYN keeps its clock, or that would stand still. */
		if (!known || known->sequence != fresh.sequence) {
			bpf_map_update_elem(&shifts, &flow, &fresh, BPF_ANY);
			known = bpf_map_lookup_elem(&shifts, &flow);
		}
	}
	if (!known)
		return TC_ACT_UNSPEC;

	if (outwards)
		put32(header + 4, get32(header + 4) + known->sequence);
	else
		put32(header + 8, get32(header + 8) - known->sequence);
	if (at != 0 && at <= HEADER_MAX - 10) {
		__u8 *field = header + at + (outwards ? 2 : 6);

		if (outwards)
			put32(field, get32(field) + known->clock);
		else if (get32(field) != 0)
			put32(field, get32(field) - known->clock);
	}
	at = outwards ? 0 : find_option(header, length, OPTION_SACK);
	if (at != 0) {
		for (int edge = 0; edge < 8; edge++) {
			__u32 where = at + 2 + edge * 4;

			if (where > HEADER_MAX - 4 || edge * 4 + 2 >= header[(at + 1) & 63])
				break;
			put32(header + where, get32(header + where) - known->sequence);
		}
	}
	if (outwards && disguise->order != 0 && !(header[13] & TCP_SYN) && length >= 32 && header[20] == 1 &&
	    header[21] == 1 && header[22] == OPTION_TIMESTAMPS) {
		__u32 start = disguise->order == 1 ? 20 : 21;

		for (int i = 0; i < 10; i++)
			header[start + i] = scratch->new[22 + i];
		if (disguise->order == 2)
			header[20] = 1;
		else
			header[30] = 1;
		header[31] = 1;
	}
	difference = bpf_csum_diff((__be32 *)scratch->old, HEADER_MAX, (__be32 *)scratch->new, HEADER_MAX, 0);
	bpf_skb_store_bytes(skb, offset, scratch->new, length, 0);
	bpf_l4_csum_replace(skb, offset + 16, 0, difference, 0);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int out(struct __sk_buff *skb)
{
	return rewrite(skb, 1);
}

SEC("tc")
int in(struct __sk_buff *skb)
{
	return rewrite(skb, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
