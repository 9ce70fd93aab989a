// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Relay stage: a segment of one leg becomes a segment of the other (thesis section 5.2).
 *
 * Called with the flow's lock held, for segments that go. Everything that is changed is changed in
 * TCP's checksum by its difference, so that a damaged segment stays damaged and its receiver drops
 * it; whatever the device has done, or will do, about it (CHECKSUM_PARTIAL, COMPLETE). Merged
 * segments stay merged. Must not change anything of the flow.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/dsfield.h>
#include <net/inet_ecn.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/tcp.h>

#include "compat.h"
#include "symsplice.h"

#define HEADER_MOST 60 /* bytes of a TCP header with all options */

/* NOP NOP Timestamps(10): how nearly every segment's options begin (RFC 7323 appendix A). */
#define USUAL_OPTIONS 0x0101080a

/* Options in any order. Stops at what makes no sense, as a TCP does. */
void ss_rewrite_find_options(const u8 *header, u32 length, struct ss_options *out)
{
	u32 at = sizeof(struct tcphdr);

	memset(out, 0, sizeof(*out));
	while (at + 1 < length) {
		u32 kind = header[at], size;

		if (kind == TCPOPT_NOP) {
			at++;
			continue;
		}
		size = header[at + 1];
		if (kind == TCPOPT_EOL || size < 2 || at + size > length)
			break;
		if (kind == TCPOPT_TIMESTAMP && size == TCPOLEN_TIMESTAMP)
			out->timestamps = at + 2;
		if (kind == TCPOPT_SACK && size >= 10) {
			out->sack = at;
			out->sack_length = size;
		}
		at += size;
	}
}

/* TSval by the clock of the outgoing leg, TSecr back to the clock of who made it. */
static void map_timestamps(u8 *at, const struct splice_leg *x, const struct splice_leg *y, bool has_ack)
{
	put_unaligned_be32(get_unaligned_be32(at) + x->ts_delta, at);
	if (has_ack)
		put_unaligned_be32(get_unaligned_be32(at + 4) - y->ts_delta, at + 4);
}

/* The edges of up to four blocks, D-SACK's first one included; NOPs towards a leg without SACK. */
static void map_sack(u8 *option, u32 length, const struct splice_leg *y)
{
	u32 i;

	if (!(y->flags & SPLICE_LEG_SACK)) {
		memset(option, TCPOPT_NOP, length);
		return;
	}
	for (i = 2; i + 4 <= length; i += 4)
		put_unaligned_be32(splice_map_ack(get_unaligned_be32(option + i), y->seq_delta),
				   option + i);
}

/* In a header of `length` bytes, of a segment from the peer of `x`. */
void ss_rewrite_options(u8 *header, u32 length, const struct splice_leg *x, const struct splice_leg *y,
			bool has_ack)
{
	struct ss_options options;

	if (length == 32 && get_unaligned_be32(header + 20) == USUAL_OPTIONS) {
		if (x->flags & SPLICE_LEG_TIMESTAMPS)
			map_timestamps(header + 24, x, y, has_ack);
		return;
	}
	ss_rewrite_find_options(header, length, &options);
	if (options.timestamps && (x->flags & SPLICE_LEG_TIMESTAMPS))
		map_timestamps(header + options.timestamps, x, y, has_ack);
	if (options.sack)
		map_sack(header + options.sack, options.sack_length, y);
}

static bool is_unwanted(u32 kind, u32 size, u32 lacks)
{
	return (kind == TCPOPT_WINDOW && size == TCPOLEN_WINDOW && (lacks & SPLICE_INTENT_SCALE)) ||
	       (kind == TCPOPT_SACK_PERM && size == TCPOLEN_SACK_PERM && (lacks & SPLICE_LEG_SACK)) ||
	       (kind == TCPOPT_TIMESTAMP && size == TCPOLEN_TIMESTAMP &&
		(lacks & SPLICE_LEG_TIMESTAMPS));
}

/* Every byte of an option of our SYN that the client's leg lacks becomes a NOP. Gives how many. */
u32 ss_rewrite_strip_syn(u8 *header, u32 length, u32 lacks)
{
	u32 at = sizeof(struct tcphdr), stripped = 0;

	while (at < length) {
		u32 kind = header[at];
		u32 size = kind == TCPOPT_NOP ? 1 : at + 1 < length ? header[at + 1] : 0;

		if (kind == TCPOPT_EOL || size < 1 || at + size > length ||
		    (kind != TCPOPT_NOP && size < 2))
			break;
		if (is_unwanted(kind, size, lacks)) {
			memset(header + at, TCPOPT_NOP, size);
			stripped += size;
		}
		at += size;
	}
	return stripped;
}

/* Addresses, hop limit, ECN. Gives the difference in the pseudo-header. */
static __wsum rewrite_v4(struct iphdr *ip, const struct splice_leg *y, bool clear_ecn)
{
	__wsum before = csum_partial(&ip->saddr, 8, 0);

	ip->ttl--;
	if (clear_ecn)
		ip->tos &= (u8)~INET_ECN_MASK;
	memcpy(&ip->saddr, y->key.local + 12, 4);
	memcpy(&ip->daddr, y->key.remote + 12, 4);
	/* The stack has verified the old one. */
	ip_send_check(ip);
	return csum_partial(&ip->saddr, 8, ~before);
}

static __wsum rewrite_v6(struct ipv6hdr *ip, const struct splice_leg *y, bool clear_ecn)
{
	__wsum before = csum_partial(&ip->saddr, 32, 0);

	ip->hop_limit--;
	if (clear_ecn)
		ipv6_change_dsfield(ip, (u8)~INET_ECN_MASK, 0);
	memcpy(&ip->saddr, y->key.local, 16);
	memcpy(&ip->daddr, y->key.remote, 16);
	return csum_partial(&ip->saddr, 32, ~before);
}

/* Puts a difference into TCP's checksum. Where the device is to compute it, the field holds only the
 * pseudo-header's sum. The kernel's function for it has had other arguments in other 6.1.y.
 */
void ss_rewrite_check(struct sk_buff *skb, __sum16 *check, __wsum difference, bool pseudo)
{
	/* A sum over the whole packet would have to follow. */
	skb_forward_csum(skb);
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		*check = csum_fold(csum_add(difference, ~csum_unfold(*check)));
	else if (pseudo)
		*check = ~csum_fold(csum_add(difference, csum_unfold(*check)));
}

int ss_rewrite_segment(struct sk_buff *skb, const struct ss_segment *seg, const struct splice_leg *x,
		       const struct splice_leg *y)
{
	bool clear_ecn = (x->flags ^ y->flags) & SPLICE_LEG_ECN;
	bool has_ack = seg->flags & TCPHDR_ACK;
	u32 old[HEADER_MOST / 4];
	__wsum difference;
	struct tcphdr *tcp;
	u32 bytes;

	if (skb_ensure_writable(skb, seg->l4 + seg->header))
		return -ENOMEM;
	tcp = (struct tcphdr *)(skb->data + seg->l4);
	memcpy(old, tcp, seg->header);

	tcp->source = ss_port(y->key.local_port);
	tcp->dest = ss_port(y->key.remote_port);
	tcp->seq = htonl(splice_map_seq(seg->seq, x->seq_delta));
	if (has_ack)
		tcp->ack_seq = htonl(splice_map_ack(seg->ack, y->seq_delta));
	bytes = splice_window_bytes(seg->window, x->peer_scale);
	tcp->window = htons(splice_map_window(bytes, y->own_scale));
	if (clear_ecn) {
		tcp->ece = 0;
		tcp->cwr = 0;
	}
	if (seg->header > sizeof(*tcp))
		ss_rewrite_options((u8 *)tcp, seg->header, x, y, has_ack);

	difference = csum_partial(tcp, seg->header, ~csum_partial(old, seg->header, 0));
	ss_rewrite_check(skb, &tcp->check, difference, false);
	difference = seg->ip6 ? rewrite_v6(ipv6_hdr(skb), y, clear_ecn) :
				rewrite_v4(ip_hdr(skb), y, clear_ecn);
	ss_rewrite_check(skb, &tcp->check, difference, true);
	return 0;
}
