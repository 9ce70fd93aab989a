/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* ICMP and oversized or odd packets: what a router does besides forwarding.
 *
 * Called at tc ingress by the relay.
 */
#ifndef SPLICE_PACKET_ICMP_H
#define SPLICE_PACKET_ICMP_H

/* Takes IPv4 options off (thesis section 5.2.1). Negative when that failed. */
FUNCTION int remove_options(struct __sk_buff *skb, struct segment *seg)
{
	__u32 extra;
	struct iphdr ip;
	__u32 sum;

	if (!seg)
		return -1;
	extra = seg->extra;
	if (bpf_skb_load_bytes(skb, seg->l3, &ip, sizeof(ip)) ||
	    bpf_skb_adjust_room(skb, -(__s32)extra, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -1;
	ip.ihl = sizeof(ip) / 4;
	ip.tot_len = bpf_htons(bpf_ntohs(ip.tot_len) - extra);
	ip.check = 0;
	sum = bpf_csum_diff(0, 0, (__be32 *)&ip, sizeof(ip), 0);
	ip.check = fold(sum);
	if (bpf_skb_store_bytes(skb, seg->l3, &ip, sizeof(ip), 0))
		return -1;
	seg->l4 -= extra;
	seg->extra = 0;
	count(SPLICE_COUNT_OPTIONS_REMOVED);
	return 0;
}

FUNCTION int answer_too_big(struct __sk_buff *skb, struct segment *seg, __u32 limit)
{
	if (!skb || !seg || skb->len + seg->length == limit)
		return TC_ACT_SHOT;
	return leave(SPLICE_COUNT_DROP_TOO_BIG, TC_ACT_SHOT);
}

static __always_inline int translate_icmp(struct __sk_buff *skb, __u32 l2)
{
	return leave(SPLICE_COUNT_ICMP_NO_FLOW, TC_ACT_UNSPEC);
}

#endif
