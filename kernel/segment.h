/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A TCP segment in hand: what it says, and what makes another one of it. Knows nothing of flows. */
#ifndef SYMSPLICE_SEGMENT_H
#define SYMSPLICE_SEGMENT_H

#include <linux/skbuff.h>
#include <linux/types.h>

#include <splice/packet.h>

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
 * @extra: bytes of IPv4 options, or of IPv6 extension headers; the length of a merged packet, which
 *	the kernel notes in an extension header that never leaves the host, does not count
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

/**
 * struct ss_options - where options are that name byte positions or times
 * @timestamps: offset of TSval in the TCP header; 0: none
 * @sack: offset of the option; 0: none
 * @sack_length: its bytes
 */
struct ss_options {
	u32 timestamps;
	u32 sack;
	u32 sack_length;
};

/* The contract's keys have ports as they stand in the header, in plain C. */
static inline __be16 ss_port(unsigned short port)
{
	return (__force __be16)port;
}

static inline unsigned short ss_key_port(__be16 port)
{
	return (__force unsigned short)port;
}

/* segment.c: [S] */
enum ss_parsed ss_segment_parse(struct sk_buff *skb, bool ip6, bool outgoing,
				struct ss_segment *seg, struct splice_key *key);
bool ss_segment_checksum_holds(struct sk_buff *skb, const struct ss_segment *seg);
int ss_segment_unlist(struct sk_buff *skb, const struct ss_segment *seg);
int ss_segment_make_bare(struct sk_buff *skb, struct ss_segment *seg);
int ss_segment_remove_options(struct sk_buff *skb, struct ss_segment *seg);
void ss_segment_key_v4(struct splice_key *key, __be32 remote, __be32 local);

/* rewrite.c: [S] */
void ss_rewrite_find_options(const u8 *header, u32 length, struct ss_options *out);
void ss_rewrite_options(u8 *header, u32 length, const struct splice_leg *x, const struct splice_leg *y,
			bool has_ack);
void ss_rewrite_check(struct sk_buff *skb, __sum16 *check, __wsum difference, bool pseudo);
u32 ss_rewrite_strip_syn(u8 *header, u32 length, u32 lacks);
int ss_rewrite_segment(struct sk_buff *skb, const struct ss_segment *seg, const struct splice_leg *x,
		       const struct splice_leg *y);

#endif
