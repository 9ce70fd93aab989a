/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Splice stage: segments of a flow whose local sockets still own bytes.
 *
 * Called at tc ingress, softirq, for the short time between splice() and the release. X is where
 * the segment comes from and LX its local socket, Y the other side and LY its socket. The
 * invariant that makes every decision here safe: byte p of X's stream stands at p + delta of the
 * stream to Y, whichever path carries it. A byte that travels twice lands on the same place.
 *
 * Must never give a socket an acknowledgement of bytes that it did not send (it would discard the
 * segment), nor believe the header of a damaged segment, since what it says travels on under a
 * new checksum.
 */
#ifndef SPLICE_PACKET_TRANSIT_H
#define SPLICE_PACKET_TRANSIT_H

/* To the socket of its own leg. `bare`: its payload is relayed, the socket sees only what it
 * acknowledges, at a place in the sequence that it accepts.
 */
FUNCTION int to_socket(struct __sk_buff *skb, struct splice_flow_slot *flow, struct segment *seg,
				struct local_socket *lx, __u32 bare)
{
	struct header *new;
	struct desk *desk;
	__u32 ack;

	if (!flow || !seg || !lx)
		return TC_ACT_SHOT;
	if (bare && trim(skb, seg))
		return leave(SPLICE_COUNT_DROP_TRIM, TC_ACT_SHOT);
	ack = seg->ack;
	/* An acknowledgement beyond what it sent is of relayed bytes. */
	if ((seg->flags & TCP_ACK) && splice_after(ack, lx->snd_nxt))
		ack = lx->snd_nxt;
	if (ack == seg->ack && !bare)
		return TC_ACT_UNSPEC;

	desk = take_desk(skb, seg);
	if (!desk)
		return leave(SPLICE_COUNT_DROP_TRIM, TC_ACT_SHOT);
	new = &desk->new;
	new->words[2] = bpf_htonl(ack);
	if (bare) {
		new->words[1] = bpf_htonl(lx->rcv_nxt);
		/* It may come late, behind segments that the socket sees as newer. */
		find_options(new);
		if (new->timestamps && splice_before(get32(new, new->timestamps), lx->ts_recent))
			put32(new, new->timestamps, lx->ts_recent);
	}
	if (put_header(skb, seg, desk))
		return leave(SPLICE_COUNT_DROP_TRIM, TC_ACT_SHOT);
	return TC_ACT_UNSPEC;
}

static __always_inline int is_copy(struct __sk_buff *skb)
{
	return skb->mark == SPLICE_MARK_WHOLE || skb->mark == SPLICE_MARK_BARE;
}

/* Sends the untouched packet through this hook again, marked: on its second pass it goes to the
 * local socket, while the first one goes on to the other leg.
 */
static __always_inline void copy_to_socket(struct __sk_buff *skb, __u32 mark)
{
	skb->mark = mark;
	/* When there is no memory the socket retransmits, and the answer to that comes by. */
	if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
		count(SPLICE_COUNT_COPY_FAILED);
	skb->mark = 0;
}

/* How far X was told that it may send. */
static __always_inline __u32 edge_for(struct splice_leg *x, struct splice_leg *y, struct local_socket *lx)
{
	return lx->rcv_nxt + narrow(x, y, lx->rcv_nxt, lx->rcv_edge - lx->rcv_nxt);
}

/* Whether the direction can be cut over at this segment: 0, or the counter that says why not.
 * Nothing is lost when a socket changes between look() and now: bytes that reach it behind the
 * cut are pumped to the place where they belong.
 */
static __always_inline __u32 wait_for(struct __sk_buff *skb, struct segment *seg, struct splice_leg *x,
				      struct splice_leg *y, struct local_socket *lx,
				      struct local_socket *ly)
{
	__u32 mapped = splice_map_seq(seg->seq, x->seq_delta);
	__s32 room = ly->snd_una + ly->snd_window - mapped;

	/* Another address on the wire (NAT), or another way out, would show as a leg unseen. */
	if (!(y->flags & SPLICE_LEG_SEEN) || !y->ifindex)
		return SPLICE_COUNT_WAIT_PROOF;
	if (seg->seq != lx->rcv_nxt || (seg->flags & (TCP_RST | TCP_URG)))
		return SPLICE_COUNT_WAIT_NEXT;
	if (lx->busy)
		return SPLICE_COUNT_WAIT_BUSY;
	/* Else bytes that LX has acknowledged selectively would never be relayed (S7). */
	if (lx->hole)
		return SPLICE_COUNT_WAIT_HOLE;
	/* LX has promised its window, Y's may be smaller (S4). Clean is always fine: nothing
	 * unread, nothing in user memory, nothing unsent.
	 */
	if (ly->snd_nxt == mapped ? (__s32)seg->length > room :
				    !splice_has_room(room, edge_for(x, y, lx) - seg->seq))
		return SPLICE_COUNT_WAIT_ROOM;
	if (too_big(skb, seg, y))
		return SPLICE_COUNT_WAIT_SIZE;
	return 0;
}

static __always_inline void try_cut(struct __sk_buff *skb, struct segment *seg, struct splice_leg *x,
				    struct splice_leg *y, struct local_socket *lx, struct local_socket *ly)
{
	__u32 why = wait_for(skb, seg, x, y, lx, ly);

	if (why) {
		count(why);
		return;
	}
	/* The cut is there before anybody can see the way as FAST. */
	x->cut = seg->seq;
	count_from(x, seg->seq);
	promise(y, splice_map_seq(edge_for(x, y, lx), x->seq_delta));
	if (__sync_val_compare_and_swap(&x->way, SPLICE_WAY_SLOW, SPLICE_WAY_FAST) == SPLICE_WAY_SLOW)
		count(SPLICE_COUNT_CUT);
}

/* Remembers what was relayed to the peer of `y` as acknowledged: the guard raises what LY says to
 * it (S1).
 */
static __always_inline void remember_edge(struct splice_leg *y, struct outgoing *out)
{
	if ((y->flags & SPLICE_LEG_EDGE) && splice_before(out->ack, y->edge_ack))
		return;
	y->edge_ack = out->ack;
	y->edge_window = splice_map_window(out->window, y->own_scale);
	if (!(y->flags & SPLICE_LEG_EDGE))
		__sync_fetch_and_or(&y->flags, SPLICE_LEG_EDGE);
}

/* What is left of the local sockets when one is missing at least. */
#define LOST_TO_KERNEL 0 /* what comes now is for the kernel */
#define LOST_TO_RELAY 1	 /* every segment is relayed from now on */
#define LOST_TO_ONE 2	 /* and the one that is left must hear of it, too */

/* Whether LY still has to bring bytes of X's stream to Y. It may be alone with them: LX is gone as soon
 * as both FINs of its own connection are acknowledged. The FIN of a process that died is nothing owed.
 */
static __always_inline int owes(struct splice_leg *x, struct local_socket *ly)
{
	__u32 end = ly->write_seq;

	if ((ly->state == TCP_STATE_FIN_WAIT1 || ly->state == TCP_STATE_LAST_ACK ||
	     ly->state == TCP_STATE_CLOSING) &&
	    !is_fin_of(x, end))
		end--;
	return splice_before(ly->snd_una, end);
}

/* A local socket is missing: LOST_TO_*. */
static __always_inline int lost_socket(struct splice_flow_slot *flow, struct segment *seg, int both,
				       int one_owes)
{
	if (flow->leg[0].way == SPLICE_WAY_FAST && flow->leg[1].way == SPLICE_WAY_FAST) {
		if (one_owes)
			return LOST_TO_ONE;
		if (__sync_val_compare_and_swap(&flow->phase, SPLICE_PHASE_TRANSIT,
						SPLICE_PHASE_RELEASED) == SPLICE_PHASE_TRANSIT) {
			release_sides(&flow->leg[0], &flow->leg[1]);
			tell(flow, seg->slot, SPLICE_PACKET_RELEASED);
		}
		return LOST_TO_RELAY;
	}
	/* One is left: the engine lives, has seen the loss and ends the flow in a moment. */
	if (!both)
		return LOST_TO_KERNEL;
	flow->reason = SPLICE_CLOSE_ERROR;
	flow->ended = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	flow->phase = SPLICE_PHASE_ENDED;
	forget_keys(flow);
	tell(flow, seg->slot, SPLICE_PACKET_ORPHANED);
	return LOST_TO_KERNEL;
}

/* Both sockets of the flow, off the stack; see struct desk. */
struct both_sockets {
	struct local_socket x;
	struct local_socket y;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct both_sockets);
} sockets SEC(".maps");

/* Not for the kernel: the flow is released, relay the segment. */
#define ACT_RELAY 1000

FUNCTION int relay_transit(struct __sk_buff *skb, struct splice_flow_slot *flow,
				    struct segment *seg)
{
	__u32 mark = is_copy(skb) ? skb->mark : 0;
	struct local_socket *lx, *ly;
	struct both_sockets *both;
	struct outgoing out = {};
	struct splice_leg *x, *y;
	int has_data, for_relayed, has_lx, has_ly, lost, action;
	__u32 zero = 0;

	if (!flow || !seg)
		return TC_ACT_SHOT;
	x = &flow->leg[seg->side & 1];
	y = &flow->leg[(seg->side & 1) ^ 1];
	if (mark)
		skb->mark = 0;
	/* Behind relayed bytes the socket would keep it as a hole for ever, and nobody else puts it
	 * together.
	 */
	if (seg->fragment)
		return x->way == SPLICE_WAY_FAST ? leave(SPLICE_COUNT_DROP_FRAGMENT, TC_ACT_SHOT) :
						   leave(SPLICE_COUNT_LOCAL_FRAGMENT, TC_ACT_UNSPEC);
	if (seg->flags & TCP_SYN)
		return leave(SPLICE_COUNT_LOCAL_SYN, TC_ACT_UNSPEC);
	if (!mark && !checksum_holds(skb, seg))
		return leave(SPLICE_COUNT_DROP_CHECKSUM, TC_ACT_SHOT);
	if (!mark && seg->extra && !seg->ip6 && remove_options(skb, seg))
		return leave(SPLICE_COUNT_DROP_EXTENSION, TC_ACT_SHOT);
	both = bpf_map_lookup_elem(&sockets, &zero);
	if (!both)
		return leave(SPLICE_COUNT_DROP_REWRITE, TC_ACT_SHOT);
	lx = &both->x;
	ly = &both->y;
	has_lx = look(skb, flow, seg->side, lx);
	has_ly = look(skb, flow, seg->side ^ 1, ly);
	if (!has_lx || !has_ly) {
		lost = lost_socket(flow, seg, !has_lx && !has_ly,
				   has_lx ? owes(y, lx) : has_ly && owes(x, ly));
		if (lost == LOST_TO_KERNEL)
			return leave(SPLICE_COUNT_LOCAL_ORPHAN, TC_ACT_UNSPEC);
		/* Where both ways are fast, nothing below asks for LY. */
		if (lost == LOST_TO_RELAY || !has_lx)
			return mark ? leave(SPLICE_COUNT_DROP_LATE_COPY, TC_ACT_SHOT) : ACT_RELAY;
	}
	has_data = seg->length || (seg->flags & TCP_FIN);
	if (mark) {
		count(SPLICE_COUNT_LOCAL_COPY);
		return to_socket(skb, flow, seg, lx, mark == SPLICE_MARK_BARE);
	}

	if (!(x->flags & SPLICE_LEG_SEEN))
		__sync_fetch_and_or(&x->flags, SPLICE_LEG_SEEN);
	if (x->way == SPLICE_WAY_SLOW && !seg->extra)
		try_cut(skb, seg, x, y, lx, ly);
	/* By what the stream has come to, not by this segment: its number may be forged. */
	if (x->way == SPLICE_WAY_FAST)
		x->cut = splice_ratchet(x->cut, x->end);
	/* LX judges a reset of its own connection; the engine sees the outcome. */
	else if (seg->flags & TCP_RST)
		return leave(SPLICE_COUNT_LOCAL_SLOW, TC_ACT_UNSPEC);

	/* As a fragment. */
	if (x->way == SPLICE_WAY_FAST && seg->extra && !(has_data && splice_before(seg->seq, x->cut)))
		return leave(SPLICE_COUNT_DROP_EXTENSION, TC_ACT_SHOT);

	out.seq = splice_map_seq(seg->seq, x->seq_delta);
	out.ack = splice_map_ack(seg->ack, y->seq_delta);
	out.window = splice_window_bytes(seg->window, x->peer_scale);
	for_relayed = y->way == SPLICE_WAY_FAST && (seg->flags & TCP_ACK) &&
		      !splice_before(out.ack, y->cut);

	if (x->way != SPLICE_WAY_FAST) {
		track(flow, seg);
		if (!for_relayed || seg->extra) {
			count(SPLICE_COUNT_LOCAL_SLOW);
			return to_socket(skb, flow, seg, lx, 0);
		}
		/* The whole goes to LX; to Y, bare, what it says of Y's relayed bytes. */
		copy_to_socket(skb, SPLICE_MARK_WHOLE);
		if (trim(skb, seg))
			return leave(SPLICE_COUNT_DROP_TRIM, TC_ACT_SHOT);
		if (router_duties(skb, seg, x, y, &action))
			return action;
		out.seq = ly->snd_nxt;
		remember_edge(y, &out);
		count(SPLICE_COUNT_RELAYED_ACK);
		return emit(skb, flow, seg, &out);
	}

	if (has_data && splice_before(seg->seq, x->cut)) {
		track(flow, seg);
		count(SPLICE_COUNT_LOCAL_OLD);
		return to_socket(skb, flow, seg, lx, 0);
	}
	if (router_duties(skb, seg, x, y, &action))
		return action;
	if (too_big(skb, seg, y))
		return answer_too_big(skb, flow, seg);
	if (!(seg->flags & TCP_RST)) {
		/* A segment before what was relayed asks for an answer (keepalive, zero-window
		 * probe), and only Y can give it.
		 */
		if (!has_data && !for_relayed && !splice_before(seg->seq, x->end)) {
			track(flow, seg);
			count(SPLICE_COUNT_LOCAL_ACK);
			return to_socket(skb, flow, seg, lx, 1);
		}
		/* LX still waits for acknowledgements of its own (S11). */
		if (lx->snd_una != lx->write_seq)
			copy_to_socket(skb, SPLICE_MARK_BARE);
	}
	track(flow, seg);
	if (for_relayed) {
		remember_edge(y, &out);
	} else {
		/* Nothing that this segment says of Y's stream concerns relayed bytes. */
		out.strip_sack = 1;
		if (y->way != SPLICE_WAY_FAST) {
			out.ack = ly->rcv_nxt;
			out.window = edge_for(y, x, ly) - ly->rcv_nxt;
			out.own_tsecr = 1;
			out.tsecr = ly->ts_recent;
		} else {
			out.window = splice_keep_edge(y->cut, out.ack, out.window);
			out.ack = y->cut;
		}
	}
	return emit(skb, flow, seg, &out);
}

#endif
