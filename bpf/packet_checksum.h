/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Checksums of segments, whatever the device has done or will do about them.
 *
 * A program cannot see skb->ip_summed, and needs not: bpf_l4_csum_replace knows.
 * For CHECKSUM_PARTIAL (the device, or nobody on a veth, will compute it) the field
 * holds only the pseudo-header's sum, so that changes of TCP's own bytes must leave
 * it alone: that is what a call without BPF_F_PSEUDO_HDR does.
 */
#ifndef SPLICE_PACKET_CHECKSUM_H
#define SPLICE_PACKET_CHECKSUM_H

#define CHECK_OFFSET 16 /* of the field in the TCP header */
#define HEADER_MOST 60  /* bytes of a TCP header with all options */

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* The header's length, in bounds that the verifier sees; parse() has made sure of them. Without the
 * barrier the compiler compares the length minus 20, from which Linux 6.1 learns nothing of the
 * length itself.
 */
static __always_inline __u32 header_length(struct segment *seg)
{
	__u32 length = seg->header;

	if (length < sizeof(struct tcphdr))
		length = sizeof(struct tcphdr);
	barrier_var(length);
	if (length > HEADER_MOST)
		length = HEADER_MOST;
	barrier_var(length);
	return length;
}

static __always_inline int load_header(struct __sk_buff *skb, struct segment *seg, void *header)
{
	return bpf_skb_load_bytes(skb, seg->l4, header, header_length(seg));
}

/* A TCP header, and where its options are. */
struct header {
	union {
		__be32 words[16];
		__be16 halves[32];
		__u8 bytes[64];
	};
	__u32 length;      /* in bytes; what is behind it is zero */
	__u32 timestamps;  /* offset of TSval; 0: none */
	__u32 sack;        /* offset of the SACK option; 0: none */
	__u32 sack_length; /* the option's */
};

/* Before and after. Not on the stack, of which a program has 512 bytes for all its calls. One for
 * each processor is enough: the programs run with bottom halves off, one after another, and
 * `control`, which a softirq may interrupt, does not use it.
 */
struct desk {
	__be32 old[HEADER_MOST / 4];
	struct header new;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct desk);
} desks SEC(".maps");

/* The sum of the pseudo-header, for a TCP packet of `length` bytes. */
static __always_inline __u32 pseudo_sum(struct __sk_buff *skb, struct segment *seg, __u32 length)
{
	__be32 words[10] = {};

	words[8] = bpf_htonl(length);
	words[9] = bpf_htonl(IPPROTO_TCP);
	if (seg->ip6) {
		if (bpf_skb_load_bytes(skb, seg->l3 + offsetof(struct ipv6hdr, saddr), words, 32))
			return 0;
	} else {
		if (bpf_skb_load_bytes(skb, seg->l3 + offsetof(struct iphdr, saddr), words, 8))
			return 0;
	}
	return bpf_csum_diff(0, 0, words, sizeof(words), 0);
}

/* Payload is summed in pieces of so many bytes; so many pieces are a jumbo frame. */
#define PIECE 128
#define PIECES_MOST 76

/* The device computes the checksum on the way out, and nobody checked it on the way in: the
 * packet never left this machine. A change that is not of the pseudo-header does not reach the
 * field then, which is how to find out.
 */
static __always_inline int checksum_is_partial(struct __sk_buff *skb, __u32 at)
{
	__be16 before, after;

	if (bpf_skb_load_bytes(skb, at, &before, 2) ||
	    bpf_l4_csum_replace(skb, at, 0, bpf_htons(1), 2) || bpf_skb_load_bytes(skb, at, &after, 2))
		return 0;
	if (before == after)
		return 1;
	bpf_skb_store_bytes(skb, at, &before, 2, 0);
	return 0;
}

/* A failed load gives a sum that is right only by accident: one in 65,536, as with any damage. */
FUNCTION __u32 add_piece(struct __sk_buff *skb, __u32 at, __u32 length, __u32 sum)
{
	__be32 piece[PIECE / 4] = {};

	if (length < 1)
		return ~sum;
	if (length > PIECE)
		length = PIECE;
	/* 1 to PIECE by arithmetic: Linux 6.1 learns nothing from "not zero", to which the
	 * compiler turns the comparison with 1.
	 */
	barrier_var(length);
	length = ((length - 1) & (PIECE - 1)) + 1;
	if (bpf_skb_load_bytes(skb, at, piece, length))
		return ~sum;
	return bpf_csum_diff(0, 0, piece, sizeof(piece), sum);
}

/* Whether the header may be believed. Needed in transit, where header fields travel on in segments
 * that get a new checksum; a relayed segment keeps its own, right or wrong, for the end host to judge.
 */
FUNCTION int checksum_holds(struct __sk_buff *skb, struct segment *seg)
{
	__u32 at, left, i;
	__u32 sum;

	if (!seg)
		return 0;
	/* The device has checked it; and the kernel merges only what it has checked. */
	if (skb->gso_segs > 1 || bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0)
		return 1;
	if (checksum_is_partial(skb, seg->l4 + CHECK_OFFSET))
		return 1;
	left = seg->header + seg->length;
	sum = pseudo_sum(skb, seg, left);
	at = seg->l4;
	for (i = 0; i < PIECES_MOST && left; i++) {
		sum = add_piece(skb, at, left, sum);
		at += PIECE;
		left = left > PIECE ? left - PIECE : 0;
	}
	return !left && fold(sum) == 0;
}

/* With the segment's header on it, twice; null when it could not be read. */
static __always_inline struct desk *take_desk(struct __sk_buff *skb, struct segment *seg)
{
	__u32 zero = 0;
	struct desk *desk = bpf_map_lookup_elem(&desks, &zero);

	if (!desk)
		return 0;
	__builtin_memset(desk->old, 0, sizeof(desk->old));
	if (load_header(skb, seg, desk->old))
		return 0;
	__builtin_memcpy(desk->new.words, desk->old, sizeof(desk->old));
	desk->new.length = seg->header;
	return desk;
}

/* Puts the changed header into the packet, and its difference into the checksum. */
static __always_inline int put_header(struct __sk_buff *skb, struct segment *seg, struct desk *desk)
{
	__s64 difference = bpf_csum_diff(desk->old, sizeof(desk->old), desk->new.words, sizeof(desk->old), 0);

	if (bpf_skb_store_bytes(skb, seg->l4, desk->new.words, header_length(seg), 0))
		return -1;
	return bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, 0, difference, 0);
}

/* Cuts the payload off: leaves a whole, bare acknowledgement. Negative when that failed, for want
 * of memory; the packet is then of no use.
 */
FUNCTION int trim(struct __sk_buff *skb, struct segment *seg)
{
	__be32 word, plain;
	struct desk *desk;
	__be16 old_length, new_length, had, should;
	__u32 sum;

	if (!seg)
		return -1;
	if (!seg->length && !(seg->flags & (TCP_FIN | TCP_URG)))
		return 0;
	if (seg->length && bpf_skb_change_tail(skb, seg->l4 + seg->header, 0))
		return -1;
	if (bpf_skb_load_bytes(skb, seg->l4 + 12, &word, 4))
		return -1;
	plain = word;
	((__u8 *)&plain)[1] &= (__u8)~(TCP_FIN | TCP_PSH | TCP_URG | TCP_CWR);
	old_length = bpf_htons(seg->header + seg->length);
	new_length = bpf_htons(seg->header);
	if (seg->length) {
		__u32 field = seg->l3 + (seg->ip6 ? offsetof(struct ipv6hdr, payload_len) :
						    offsetof(struct iphdr, tot_len));
		__be16 was, is = seg->ip6 ? new_length : bpf_htons(seg->header + sizeof(struct iphdr));

		if (bpf_skb_load_bytes(skb, field, &was, 2) ||
		    bpf_skb_store_bytes(skb, field, &is, 2, 0))
			return -1;
		if (!seg->ip6 &&
		    bpf_l3_csum_replace(skb, seg->l3 + offsetof(struct iphdr, check), was, is, 2))
			return -1;
		bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, old_length, new_length,
				    BPF_F_PSEUDO_HDR | 2);
	}
	if (bpf_skb_store_bytes(skb, seg->l4 + 12, &plain, 4, 0))
		return -1;
	seg->flags &= ~(TCP_FIN | TCP_PSH | TCP_URG | TCP_CWR);
	seg->length = 0;
	seg->end = seg->seq;

	/* A whole checksum for whoever has none to come; a no-op for CHECKSUM_PARTIAL. */
	desk = take_desk(skb, seg);
	if (!desk)
		return -1;
	had = desk->new.halves[CHECK_OFFSET / 2];
	desk->new.halves[CHECK_OFFSET / 2] = 0;
	sum = bpf_csum_diff(0, 0, desk->new.words, HEADER_MOST, pseudo_sum(skb, seg, seg->header));
	should = fold(sum);
	return bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, (__u16)~had, (__u16)~should, 2);
}

#endif
