/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Relay stage: a segment of one leg becomes a segment of the other (thesis section 5.2).
 *
 * Called by relay and transit, which have decided that it goes. Everything that is changed is
 * changed in the checksum by its difference, so that a damaged segment stays damaged and its
 * receiver drops it. Must not touch anything of the flow but the timestamp delta.
 */
#ifndef SPLICE_PACKET_REWRITE_H
#define SPLICE_PACKET_REWRITE_H

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_SACK 5
#define OPTION_TIMESTAMPS 8

#define ECN_MASK 3
#define ECN_CE 3

/* NOP NOP Timestamps(10): how nearly every segment's options begin (RFC 7323 appendix A). */
#define USUAL_OPTIONS 0x0101080a

/* What the segment says on the other leg, where that is not its own word mapped. */
struct outgoing {
	__u32 seq;
	__u32 ack;
	__u32 window;     /* in bytes */
	__u32 tsecr;      /* with own_tsecr */
	__u32 own_tsecr;
	__u32 strip_sack; /* its blocks speak of bytes that the other leg has not seen */
};

#define AT(offset) ((offset) & 63)

/* Options in any order. Stops at what makes no sense, as a TCP does. Walks by position, because
 * a walk by option has more paths than the verifier wants to follow.
 */
FUNCTION int find_options(struct header *header)
{
	__u32 next = sizeof(struct tcphdr);
	__u32 at;

	if (!header)
		return 0;
	header->timestamps = header->sack = 0;
	for (at = sizeof(struct tcphdr); at < HEADER_MOST - 1; at++) {
		__u32 kind, size;

		if (at != next)
			continue;
		kind = header->bytes[at];
		if (kind == OPTION_NOP) {
			next = at + 1;
			continue;
		}
		size = header->bytes[at + 1];
		if (kind == OPTION_END || size < 2 || at + size > header->length)
			break;
		if (kind == OPTION_TIMESTAMPS && size == 10)
			header->timestamps = at + 2;
		if (kind == OPTION_SACK && size >= 10) {
			header->sack = at;
			header->sack_length = size;
		}
		next = at + size;
	}
	return 0;
}

/* Options need not be aligned. */
static __always_inline __u32 get32(struct header *header, __u32 at)
{
	return (__u32)header->bytes[AT(at)] << 24 | (__u32)header->bytes[AT(at + 1)] << 16 |
	       (__u32)header->bytes[AT(at + 2)] << 8 | header->bytes[AT(at + 3)];
}

static __always_inline void put32(struct header *header, __u32 at, __u32 value)
{
	header->bytes[AT(at)] = value >> 24;
	header->bytes[AT(at + 1)] = value >> 16;
	header->bytes[AT(at + 2)] = value >> 8;
	header->bytes[AT(at + 3)] = value;
}

/* The edges of up to four blocks, D-SACK's first one included. */
FUNCTION int map_sack(struct header *header, __u32 delta, __u32 strip)
{
	__u32 i;

	if (!header)
		return 0;
	for (i = 0; strip && i < 34 && i < header->sack_length; i++)
		header->bytes[AT(header->sack + i)] = OPTION_NOP;
	for (i = 2; !strip && i < 34 && i + 4 <= header->sack_length; i += 4)
		put32(header, header->sack + i, splice_map_ack(get32(header, header->sack + i), delta));
	return 0;
}

/* TSval by the clock of the outgoing leg, TSecr back to the clock of who made it. */
static __always_inline void map_timestamps(struct splice_flow_slot *flow, struct splice_leg *x,
					   struct splice_leg *y, struct outgoing *out, __u32 *value,
					   __u32 *echo, int has_ack)
{
	/* While local sockets send, their clock is the leg's clock, so that the receiver never
	 * sees it jump (S8); from the release on the last difference holds.
	 */
	if (flow->phase == SPLICE_PHASE_TRANSIT)
		x->ts_delta = clock_of(y) - *value;
	*value += x->ts_delta;
	if (out->own_tsecr)
		*echo = out->tsecr;
	else if (has_ack)
		*echo -= y->ts_delta;
}

static __always_inline void map_options(struct splice_flow_slot *flow, struct splice_leg *x,
					struct splice_leg *y, struct segment *seg, struct outgoing *out,
					struct header *header)
{
	int has_ack = seg->flags & TCP_ACK;
	__u32 value, echo;

	if (header->words[5] == bpf_htonl(USUAL_OPTIONS) && seg->header == 32) {
		if (!(x->flags & SPLICE_LEG_TIMESTAMPS))
			return;
		value = bpf_ntohl(header->words[6]);
		echo = bpf_ntohl(header->words[7]);
		map_timestamps(flow, x, y, out, &value, &echo, has_ack);
		header->words[6] = bpf_htonl(value);
		header->words[7] = bpf_htonl(echo);
		return;
	}
	find_options(header);
	if (header->timestamps && (x->flags & SPLICE_LEG_TIMESTAMPS)) {
		value = get32(header, header->timestamps);
		echo = get32(header, header->timestamps + 4);
		map_timestamps(flow, x, y, out, &value, &echo, has_ack);
		put32(header, header->timestamps, value);
		put32(header, header->timestamps + 4, echo);
	}
	if (header->sack)
		map_sack(header, y->seq_delta, out->strip_sack || !(y->flags & SPLICE_LEG_SACK));
}

/* Addresses, hop limit, ECN. Gives the difference in the pseudo-header, or a negative number. */
static __always_inline __s64 rewrite_ip(struct __sk_buff *skb, struct segment *seg, struct splice_leg *y,
					int clear_ecn)
{
	void *data = data_of(skb), *end = end_of(skb);

	if (seg->ip6) {
		struct ipv6hdr *ip = data + (seg->l3 & L3_MOST);
		__s64 difference;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->hop_limit--;
		if (clear_ecn)
			ip->flow_lbl[0] &= (__u8)~(ECN_MASK << 4);
		/* Both where they stand: which address comes first is all the same to a sum, and
		 * a copy would take stack that the callers need.
		 */
		difference = bpf_csum_diff((__be32 *)&ip->saddr, 32, (__be32 *)&y->key, 32, 0);
		__builtin_memcpy(&ip->saddr, y->key.local, 16);
		__builtin_memcpy(&ip->daddr, y->key.remote, 16);
		return difference;
	} else {
		struct iphdr *ip = data + (seg->l3 & L3_MOST);
		__be32 from[3], to[3];
		__u32 difference;

		if ((void *)(ip + 1) > end)
			return -1;
		/* TTL is at an even offset, TOS at an odd one, and so they stand here. */
		from[0] = to[0] = 0;
		((__u8 *)from)[0] = ip->ttl;
		((__u8 *)from)[1] = ip->tos;
		from[1] = ip->saddr;
		from[2] = ip->daddr;
		ip->ttl--;
		if (clear_ecn)
			ip->tos &= (__u8)~ECN_MASK;
		((__u8 *)to)[0] = ip->ttl;
		((__u8 *)to)[1] = ip->tos;
		__builtin_memcpy(&to[1], y->key.local + 12, 4);
		__builtin_memcpy(&to[2], y->key.remote + 12, 4);
		ip->saddr = to[1];
		ip->daddr = to[2];
		difference = bpf_csum_diff(from, 12, to, 12, 0);
		ip->check = fold((__u16)~ip->check + (difference & 0xffff) + (difference >> 16));
		return bpf_csum_diff(from + 1, 8, to + 1, 8, 0);
	}
}

/* Sends the segment out on the leg of `y`. Returns what the program returns. */
FUNCTION int emit(struct __sk_buff *skb, struct splice_flow_slot *flow, struct segment *seg,
			   struct outgoing *out)
{
	struct splice_leg *x, *y;
	struct header *new;
	struct desk *desk;
	int clear_ecn;
	__s64 pseudo;

	if (!flow || !seg || !out)
		return TC_ACT_SHOT;
	x = &flow->leg[seg->side & 1];
	y = &flow->leg[(seg->side & 1) ^ 1];
	desk = take_desk(skb, seg);
	if (!desk)
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	new = &desk->new;
	clear_ecn = (x->flags ^ y->flags) & SPLICE_LEG_ECN;

	new->halves[0] = y->key.local_port;
	new->halves[1] = y->key.remote_port;
	new->words[1] = bpf_htonl(out->seq);
	if (seg->flags & TCP_ACK)
		new->words[2] = bpf_htonl(out->ack);
	new->halves[7] = bpf_htons(splice_map_window(out->window, y->own_scale));
	if (clear_ecn)
		new->bytes[13] &= (__u8)~(TCP_ECE | TCP_CWR);
	if (seg->header > sizeof(struct tcphdr))
		map_options(flow, x, y, seg, out, new);

	pseudo = rewrite_ip(skb, seg, y, clear_ecn);
	if (pseudo < 0)
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	if (put_header(skb, seg, desk) ||
	    bpf_l4_csum_replace(skb, seg->l4 + CHECK_OFFSET, 0, pseudo, BPF_F_PSEUDO_HDR))
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);

	skb->mark = SPLICE_MARK_RELAY;
	count(flow->phase == SPLICE_PHASE_TRANSIT ? SPLICE_COUNT_RELAYED_TRANSIT : SPLICE_COUNT_RELAYED);
	x->segments++;
	return send_out(skb, seg, y, SPLICE_LEG(seg->slot, (seg->side & 1) ^ 1), x->active);
}

#endif
