// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stages handshake and splice: segments that wait, in ESTABLISHED and PRE_SPLICED.
 *
 * A segment with data that the local socket has not got is taken away from it: nobody acknowledges
 * it until its receiver does. What it acknowledges itself goes on to the socket, as a segment
 * without data, so that the socket's write queue empties. The queue is bounded: what finds it full
 * is dropped, and comes again. Nothing is ever in the queue that its sender has been told is here;
 * so it may be thrown away at any time.
 *
 * The socket is read without its lock: `rcv_nxt` only grows, and a segment that is queued although
 * the socket has it by now is relayed to where its bytes stand already.
 *
 * Called by the hooks, with the flow's lock held; skb->data is the network header. Segments in the
 * queue have no device, so that it can go.
 */
#include <net/tcp.h>

#include "symsplice.h"

/* In skb->cb while a segment waits. */
struct waiting {
	u32 seq;
	u32 end;
	int ifindex;
};

static struct waiting *waiting_of(struct sk_buff *skb)
{
	return (struct waiting *)skb->cb;
}

static bool has_room(const struct ss_flow *flow, const struct ss_held *held, const struct sk_buff *skb)
{
	const struct ss_net *ssn = flow->ssn;

	return held->bytes + skb->truesize <= READ_ONCE(ss_queue_bytes) &&
	       atomic_long_read(&ssn->held_bytes) <= READ_ONCE(ss_queue_bytes_all) / ssn->held_share;
}

/* Bytes that wait already. One without bytes says something else than the one before, at the same place. */
static bool is_there(const struct waiting *there, const struct ss_segment *seg)
{
	return there->seq == seg->seq && seg->end != seg->seq && !splice_after(seg->end, there->end);
}

/* In the order of the stream, and of arrival. What is there already is dropped. Takes the skb. While it
 * waits it holds nothing that could not go meanwhile: no route, no entry of conntrack, no bridge's port.
 */
void ss_queue_add(struct ss_flow *flow, struct sk_buff *skb, const struct ss_segment *seg)
{
	struct ss_held *held = &flow->held[seg->side];
	struct sk_buff *before;

	if (!has_room(flow, held, skb)) {
		ss_count_more(flow->ssn, SYMSPLICE_COUNT_QUEUE_FULL);
		kfree_skb(skb);
		return;
	}
	skb_queue_reverse_walk(&held->segments, before) {
		if (is_there(waiting_of(before), seg)) {
			ss_count_more(flow->ssn, SYMSPLICE_COUNT_QUEUE_AGAIN);
			kfree_skb(skb);
			return;
		}
		if (!splice_after(waiting_of(before)->seq, seg->seq))
			break;
	}
	waiting_of(skb)->seq = seg->seq;
	waiting_of(skb)->end = seg->end;
	waiting_of(skb)->ifindex = skb->skb_iif;
	skb_dst_drop(skb);
	nf_reset_ct(skb);
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	skb_ext_del(skb, SKB_EXT_BRIDGE_NF);
#endif
	skb->dev = NULL;
	__skb_queue_after(&held->segments, before, skb);
	held->bytes += skb->truesize;
	atomic_long_add(skb->truesize, &flow->ssn->held_bytes);
	ss_count_more(flow->ssn, SYMSPLICE_COUNT_QUEUED);
}

/* What the local socket is to see although the gate is shut. */
static bool is_for_socket(const struct ss_flow *flow, const struct ss_segment *seg)
{
	const struct tcp_sock *tp = tcp_sk(flow->sk[seg->side]);

	if (seg->fragment || seg->flags & (TCPHDR_SYN | TCPHDR_RST))
		return true;
	if (!seg->length && !(seg->flags & TCPHDR_FIN))
		return true;
	/* Its acknowledgement was lost: the socket says it again. */
	if (!splice_after(seg->end, READ_ONCE(tp->rcv_nxt)))
		return true;
	/* It has acknowledged bytes behind a hole; its peer sends only what fills that. */
	return READ_ONCE(tp->out_of_order_queue.rb_node);
}

/* A segment of a flow whose sockets still own bytes. Takes the skb, unless it is NF_ACCEPT: to the
 * socket, whole or bare.
 */
unsigned int ss_queue_segment(struct ss_flow *flow, struct sk_buff *skb, struct ss_segment *seg)
{
	struct ss_net *ssn = flow->ssn;
	struct sk_buff *whole;

	if (!flow->gate || !flow->sk[seg->side] || is_for_socket(flow, seg))
		return ss_leave(ssn, seg->flags & TCPHDR_SYN ? SPLICE_COUNT_LOCAL_SYN :
				     seg->fragment ? SPLICE_COUNT_LOCAL_FRAGMENT :
						     SPLICE_COUNT_LOCAL_SLOW, NF_ACCEPT);
	/* One that its socket would not take, it may refuse itself. */
	if (!ss_relay_is_allowed(skb, seg))
		return ss_leave(ssn, SPLICE_COUNT_LOCAL_SLOW, NF_ACCEPT);
	/* What it says travels on under a new checksum. */
	if (!ss_segment_checksum_holds(skb, seg))
		return ss_leave(ssn, SPLICE_COUNT_DROP_CHECKSUM, NF_DROP);
	whole = skb_clone(skb, GFP_ATOMIC);
	if (!whole || ss_segment_make_bare(skb, seg)) {
		kfree_skb(whole);
		return ss_leave(ssn, SPLICE_COUNT_DROP_TRIM, NF_DROP);
	}
	/* By the numbers it had. */
	seg->length = whole->len - seg->l4 - seg->header;
	seg->end = seg->seq + seg->length + (seg->flags & TCPHDR_FIN ? 1 : 0);
	ss_queue_add(flow, whole, seg);
	return ss_leave(ssn, SPLICE_COUNT_LOCAL_ACK, NF_ACCEPT);
}

void ss_queue_take(struct ss_flow *flow, int side, struct sk_buff_head *out)
{
	skb_queue_splice_tail_init(&flow->held[side].segments, out);
	atomic_long_sub(flow->held[side].bytes, &flow->ssn->held_bytes);
	flow->held[side].bytes = 0;
}

void ss_queue_purge(struct ss_flow *flow)
{
	struct sk_buff_head segments;
	int side;

	__skb_queue_head_init(&segments);
	for (side = 0; side < 2; side++)
		ss_queue_take(flow, side, &segments);
	__skb_queue_purge(&segments);
}

/* To the socket after all, by where they came from, as they came: with the device's header, which programs
 * at the device look at, and a bridge. Behind the flow's lock, its gate open.
 */
void ss_queue_return(struct ss_net *ssn, struct sk_buff_head *segments)
{
	struct net_device *dev;
	struct sk_buff *skb;

	while ((skb = __skb_dequeue(segments))) {
		rcu_read_lock();
		dev = dev_get_by_index_rcu(ssn->net, waiting_of(skb)->ifindex);
		if (dev) {
			skb->dev = dev;
			memset(skb->cb, 0, sizeof(skb->cb));
			ss_count_more(ssn, SYMSPLICE_COUNT_QUEUE_RETURNED);
			netif_rx(skb);
		} else {
			kfree_skb(skb);
		}
		rcu_read_unlock();
	}
}
