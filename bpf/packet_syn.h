/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Handshake stage, outgoing: the SYN towards the server offers no more than the client's leg has.
 *
 * Called at tc egress for SYNs of no flow. Options that only one leg has would have to be made up
 * or taken out in every segment; a SYN that never offered them costs nothing afterwards. SYNs that
 * are sent again come by here alike. The local socket follows the answer: what the server does not
 * confirm it does not use.
 */
#ifndef SPLICE_PACKET_SYN_H
#define SPLICE_PACKET_SYN_H

#define OPTION_SCALE 3
#define OPTION_SACK_PERMITTED 4

static __always_inline int is_unwanted(__u32 kind, __u32 size, __u32 intent)
{
	return (kind == OPTION_SCALE && size == 3 && (intent & SPLICE_INTENT_SCALE)) ||
	       (kind == OPTION_SACK_PERMITTED && size == 2 && (intent & SPLICE_LEG_SACK)) ||
	       (kind == OPTION_TIMESTAMPS && size == 10 && (intent & SPLICE_LEG_TIMESTAMPS));
}

/* Every byte of what is not wanted becomes a NOP. Walks as find_options() does. Gives how many. */
FUNCTION int strip_options(struct header *header, __u32 intent)
{
	__u32 next = sizeof(struct tcphdr), unwanted = 0, stripped = 0;
	__u32 at;

	if (!header)
		return 0;
	for (at = sizeof(struct tcphdr); at < HEADER_MOST; at++) {
		__u32 kind, size;

		if (at == next) {
			kind = header->bytes[AT(at)];
			size = kind == OPTION_NOP ? 1 : header->bytes[AT(at + 1)];
			if (kind == OPTION_END || size < 1 || at + size > header->length ||
			    (kind != OPTION_NOP && size < 2))
				break;
			next = at + size;
			unwanted = is_unwanted(kind, size, intent);
		}
		if (unwanted) {
			header->bytes[AT(at)] = OPTION_NOP;
			stripped++;
		}
	}
	return stripped;
}

/* `key` names the server and our port; the entry that the engine made before connect() knows no
 * more, since the kernel had not chosen our address yet.
 */
FUNCTION int align_syn(struct __sk_buff *skb, struct segment *seg, struct splice_key *key)
{
	struct splice_key wanted; /* on the stack, see insert_key() */
	struct desk *desk;
	__u32 *intent;

	if (!seg || !key)
		return TC_ACT_UNSPEC;
	wanted = *key;
	__builtin_memset(wanted.local, 0, sizeof(wanted.local));
	intent = bpf_map_lookup_elem(&intents, &wanted);
	if (!intent)
		return leave(SPLICE_COUNT_GUARD_NOT_OURS, TC_ACT_UNSPEC);
	desk = take_desk(skb, seg);
	/* As it is it would offer too much; TCP sends it again. */
	if (!desk || (strip_options(&desk->new, *intent) && put_header(skb, seg, desk)))
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	return leave(SPLICE_COUNT_GUARD_SYN, TC_ACT_UNSPEC);
}

#endif
