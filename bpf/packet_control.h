/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Splice stage, asked by the engine: steps that must read both sockets and write the flow at one go.
 *
 * Run by BPF_PROG_TEST_RUN in the engine's network namespace, which finds a socket in O(1) by its
 * addresses. No lock: copied_seq and write_seq change only by the engine's own calls, and it makes
 * none meanwhile; what else may change at the same time is harmless by the invariant (see
 * packet_transit.h).
 */
#ifndef SPLICE_PACKET_CONTROL_H
#define SPLICE_PACKET_CONTROL_H

#define IFF_LOOPBACK 0x8
#define TCP_ECN_OK 1
#define TCP_ECN_ACCURATE 16 /* since Linux 6.15; before nothing sets the bit */

/* What does not change any more once a connection is established. */
struct traits {
	__u32 refusal;
	__u32 flags;
	__u32 ifindex;
	__u32 clock_offset;
	__u32 pmtu;
	__u32 mss;        /* announced by the peer */
	__u32 advertised; /* announced to the peer */
	__u32 peer_scale;
	__u32 own_scale;
};

static __always_inline void read_traits(struct tcp_sock *tcp, struct traits *out)
{
	struct inet_connection_sock *icsk = (struct inet_connection_sock *)tcp;
	struct tcp_sock___ao *ao = (struct tcp_sock___ao *)tcp;
	struct sock *sk = (struct sock *)tcp;
	struct dst_entry *route = sk->sk_dst_cache;

	if (route) {
		if (bpf_core_field_exists(route->xfrm) && route->xfrm)
			out->refusal = SPLICE_ANSWER_TUNNELED;
		if (route->lwtstate)
			out->refusal = SPLICE_ANSWER_TUNNELED;
		if (route->dev->flags & IFF_LOOPBACK)
			out->refusal = SPLICE_ANSWER_LOCAL;
		out->ifindex = route->dev->ifindex;
	}
	if (icsk->icsk_ulp_ops)
		out->refusal = SPLICE_ANSWER_ULP;
	if (bpf_core_field_exists(tcp->is_mptcp) && tcp->is_mptcp)
		out->refusal = SPLICE_ANSWER_MPTCP;
	if (bpf_core_field_exists(tcp->md5sig_info) && tcp->md5sig_info)
		out->refusal = SPLICE_ANSWER_AUTHENTICATED;
	if (bpf_core_field_exists(ao->ao_info) && ao->ao_info)
		out->refusal = SPLICE_ANSWER_AUTHENTICATED;
	if (BPF_CORE_READ_BITFIELD(tcp, rx_opt.tstamp_ok))
		out->flags |= SPLICE_LEG_TIMESTAMPS;
	if (BPF_CORE_READ_BITFIELD(tcp, rx_opt.sack_ok))
		out->flags |= SPLICE_LEG_SACK;
	if (tcp->ecn_flags & TCP_ECN_OK)
		out->flags |= SPLICE_LEG_ECN;
	if (tcp->ecn_flags & TCP_ECN_ACCURATE)
		out->refusal = SPLICE_ANSWER_ACCURATE_ECN;
	if (bpf_core_field_exists(tcp->tcp_usec_ts) && BPF_CORE_READ_BITFIELD(tcp, tcp_usec_ts))
		out->flags |= SPLICE_LEG_MICROSECONDS;
	out->clock_offset = tcp->tsoffset;
	out->pmtu = icsk->icsk_pmtu_cookie;
	out->mss = tcp->rx_opt.mss_clamp;
	out->advertised = tcp->advmss;
	if (tcp->rx_opt.user_mss && tcp->rx_opt.user_mss < out->advertised)
		out->advertised = tcp->rx_opt.user_mss;
	out->peer_scale = BPF_CORE_READ_BITFIELD(tcp, rx_opt.snd_wscale);
	out->own_scale = BPF_CORE_READ_BITFIELD(tcp, rx_opt.rcv_wscale);
}

FUNCTION int describe(struct __sk_buff *skb, struct splice_flow_slot *flow, __u32 side,
			       struct traits *out)
{
	struct bpf_sock *found;
	struct tcp_sock *tcp;

	if (!flow || !out)
		return 0;
	found = find_socket(skb, flow, &flow->leg[side & 1]);
	if (!found)
		return 0;
	tcp = bpf_skc_to_tcp_sock(found);
	if (tcp)
		read_traits(tcp, out);
	bpf_sk_release(found);
	return 0;
}

static __always_inline int has_ended_input(struct local_socket *local)
{
	return local->state == TCP_STATE_CLOSE_WAIT || local->state == TCP_STATE_LAST_ACK ||
	       local->state == TCP_STATE_CLOSING;
}

/* The smallest path MTU that a sender can be told of: Linux' ip_rt_min_pmtu, RFC 8200 section 5. */
#define MTU_LEAST_V4 552
#define MTU_LEAST_V6 1280

static __always_inline __u32 fill_leg(struct splice_flow_slot *flow, struct splice_leg *leg,
				      struct local_socket *local, struct traits *traits,
				      __u32 other_advertised)
{
	__u32 headers = flow->family == 4 ? 40 : 60;
	__u32 least = flow->family == 4 ? MTU_LEAST_V4 : MTU_LEAST_V6;
	__u32 limit = traits->mss;

	if (traits->pmtu > headers && traits->pmtu - headers < limit)
		limit = traits->pmtu - headers;
	if (limit + headers < least && limit < other_advertised)
		return SPLICE_ANSWER_SMALL_SEGMENTS;
	leg->limit = limit > 65535 ? 65535 : limit;
	leg->ifindex = traits->ifindex;
	leg->flags = traits->flags;
	leg->clock_offset = traits->clock_offset;
	leg->peer_scale = traits->peer_scale;
	leg->own_scale = traits->own_scale;
	leg->cut = leg->edge_ack = leg->segments = leg->edge_window = leg->fin_end = 0;
	leg->way = SPLICE_WAY_SLOW;
	leg->end = local->rcv_nxt;
	leg->ack = local->snd_una;
	leg->promised = local->snd_una + local->snd_window;
	leg->told = 0;
	leg->active = bpf_ktime_get_coarse_ns() >> SPLICE_TICK_SHIFT;
	leg->bytes += local->rcv_nxt - local->copied;
	/* A FIN that nobody has read yet is no byte. */
	if (has_ended_input(local) && local->rcv_nxt != local->copied)
		leg->bytes--;
	leg->state = SPLICE_SIDE_CLOSE;
	side_event(leg, SPLICE_ON_CONNECT);
	side_event(leg, SPLICE_ON_SPLICE);
	return 0;
}

/* FINs that went by the sockets, before or behind the hook's back. */
static __always_inline void track_socket_fins(struct splice_leg *x, struct splice_leg *y,
					      struct local_socket *lx, struct local_socket *ly)
{
	if (lx->busy)
		return;
	/* Bytes that passed the hook before the install, and reached the socket after it. Once the
	 * way is FAST the socket stands where it stands, and the stream goes around the numbers (S3).
	 */
	if (x->way != SPLICE_WAY_FAST && splice_after(lx->rcv_nxt, x->end)) {
		__sync_fetch_and_add(&x->bytes, lx->rcv_nxt - x->end - (has_ended_input(lx) ? 1 : 0));
		x->end = lx->rcv_nxt;
	}
	/* What the socket has taken is the true one, whatever was noted at the hook. */
	if (has_ended_input(lx) && (!(x->flags & SPLICE_LEG_FIN) || x->fin_end != lx->rcv_nxt)) {
		x->fin_end = lx->rcv_nxt;
		__sync_fetch_and_or(&x->flags, SPLICE_LEG_FIN);
		side_event(y, SPLICE_ON_FIN);
	}
	if ((x->flags & SPLICE_LEG_FIN) && ly->snd_una == splice_map_seq(x->fin_end, x->seq_delta))
		side_event(y, SPLICE_ON_FIN_ACKED);
}

static __always_inline __u32 insert_keys(struct splice_flow_slot *flow, __u32 slot)
{
	int error = insert_key(&flow->leg[SPLICE_CLIENT], SPLICE_LEG(slot, SPLICE_CLIENT));

	if (!error) {
		error = insert_key(&flow->leg[SPLICE_SERVER], SPLICE_LEG(slot, SPLICE_SERVER));
		if (error)
			forget_key(&flow->leg[SPLICE_CLIENT]);
	}
	if (!error)
		return SPLICE_ANSWER_DONE;
	return error == -17 /* EEXIST */ ? SPLICE_ANSWER_KEY_TAKEN : SPLICE_ANSWER_MAP_FULL;
}

/* Again while a segment is worked on, which takes a moment. What is read in the middle of one may count
 * a FIN as a byte; nothing else depends on it here.
 */
#define LOOKS_MOST 64

static __always_inline int look_steadily(struct __sk_buff *skb, struct splice_flow_slot *flow, __u32 side,
					 struct local_socket *out)
{
	int usable = 0, i;

	for (i = 0; i < LOOKS_MOST; i++) {
		usable = look(skb, flow, side, out);
		if (!usable || !out->busy)
			break;
	}
	return usable;
}

FUNCTION __u32 install(struct __sk_buff *skb, struct splice_flow_slot *flow,
				struct splice_packet_request *request)
{
	struct local_socket lc = {}, ls = {};
	struct traits tc = {}, ts = {};
	struct splice_leg *c, *s;
	__u32 refusal;

	if (!flow || !request)
		return SPLICE_ANSWER_BAD_REQUEST;
	c = &flow->leg[SPLICE_CLIENT];
	s = &flow->leg[SPLICE_SERVER];
	if (!look_steadily(skb, flow, SPLICE_CLIENT, &lc))
		return SPLICE_ANSWER_NO_CLIENT;
	if (!look_steadily(skb, flow, SPLICE_SERVER, &ls))
		return SPLICE_ANSWER_NO_SERVER;
	describe(skb, flow, SPLICE_CLIENT, &tc);
	describe(skb, flow, SPLICE_SERVER, &ts);
	if (tc.refusal || ts.refusal)
		return tc.refusal ? tc.refusal : ts.refusal;
	/* A receiver may drop what lacks the timestamps that it negotiated (RFC 7323 section 3.2). */
	if ((tc.flags ^ ts.flags) & SPLICE_LEG_TIMESTAMPS)
		return SPLICE_ANSWER_TIMESTAMPS;
	refusal = fill_leg(flow, c, &lc, &tc, ts.advertised);
	if (!refusal)
		refusal = fill_leg(flow, s, &ls, &ts, tc.advertised);
	if (refusal)
		return refusal;

	/* The invariant: the next byte that the engine reads on one side is the next that it
	 * writes on the other, behind what it has in its hands.
	 */
	c->seq_delta = splice_delta(lc.copied, ls.write_seq + request->pending[SPLICE_CLIENT]);
	s->seq_delta = splice_delta(ls.copied, lc.write_seq + request->pending[SPLICE_SERVER]);
	/* For directions that are cut without having relayed anything: not before what the
	 * receiver has seen, since X's clock has gone on since its latest timestamp.
	 */
	c->ts_delta = clock_of(s) - lc.ts_recent;
	s->ts_delta = clock_of(c) - ls.ts_recent;
	promise(s, splice_map_seq(lc.rcv_edge, c->seq_delta));
	promise(c, splice_map_seq(ls.rcv_edge, s->seq_delta));
	track_socket_fins(c, s, &lc, &ls);
	track_socket_fins(s, c, &ls, &lc);
	flow->installed_ns = bpf_ktime_get_ns();
	flow->ended = 0;
	flow->reason = 0;
	flow->phase = SPLICE_PHASE_TRANSIT;
	refusal = insert_keys(flow, request->slot);
	if (refusal)
		flow->phase = SPLICE_PHASE_FREE;
	return refusal;
}

/* The clean cut, with no segment to hang it on: nothing unread, nothing in user memory, nothing
 * unsent. A segment that is on its way to LX at this moment is pumped.
 */
static __always_inline void cut_at_rest(struct splice_leg *x, struct splice_leg *y, struct local_socket *lx,
					struct local_socket *ly)
{
	if (x->way != SPLICE_WAY_SLOW || !(x->flags & SPLICE_LEG_SEEN) || !(y->flags & SPLICE_LEG_SEEN) ||
	    !y->ifindex || lx->busy || lx->hole || lx->copied != lx->rcv_nxt ||
	    ly->snd_nxt != ly->write_seq ||
	    splice_map_seq(lx->rcv_nxt, x->seq_delta) != ly->write_seq)
		return;
	x->cut = lx->rcv_nxt;
	count_from(x, lx->rcv_nxt);
	promise(y, splice_map_seq(edge_for(x, y, lx), x->seq_delta));
	__sync_val_compare_and_swap(&x->way, SPLICE_WAY_SLOW, SPLICE_WAY_FAST);
}

/* Nothing to read, nothing to write, nothing unacknowledged, nothing in the engine's hands. */
static __always_inline int owns_nothing(struct splice_leg *x, struct local_socket *lx,
					struct local_socket *ly)
{
	return lx->copied == lx->rcv_nxt && lx->snd_una == lx->write_seq && !lx->hole && !lx->busy &&
	       splice_map_seq(lx->copied, x->seq_delta) == ly->write_seq;
}

FUNCTION __u32 advance(struct __sk_buff *skb, struct splice_flow_slot *flow, __u32 slot)
{
	struct local_socket lc = {}, ls = {};
	struct splice_leg *c, *s;

	if (!flow)
		return SPLICE_ANSWER_BAD_REQUEST;
	c = &flow->leg[SPLICE_CLIENT];
	s = &flow->leg[SPLICE_SERVER];
	if (flow->phase == SPLICE_PHASE_RELEASED)
		return SPLICE_ANSWER_DONE;
	if (flow->phase == SPLICE_PHASE_ENDED)
		return SPLICE_ANSWER_ENDED;
	if (flow->phase != SPLICE_PHASE_TRANSIT)
		return SPLICE_ANSWER_BAD_REQUEST;
	if (!look(skb, flow, SPLICE_CLIENT, &lc) || !look(skb, flow, SPLICE_SERVER, &ls))
		return SPLICE_ANSWER_NOT_YET;
	track_socket_fins(c, s, &lc, &ls);
	track_socket_fins(s, c, &ls, &lc);
	end_if_shut(flow, slot, c, s);
	cut_at_rest(c, s, &lc, &ls);
	cut_at_rest(s, c, &ls, &lc);
	if (c->way != SPLICE_WAY_FAST || s->way != SPLICE_WAY_FAST || !owns_nothing(c, &lc, &ls) ||
	    !owns_nothing(s, &ls, &lc))
		return SPLICE_ANSWER_NOT_YET;
	if (__sync_val_compare_and_swap(&flow->phase, SPLICE_PHASE_TRANSIT, SPLICE_PHASE_RELEASED) !=
	    SPLICE_PHASE_TRANSIT)
		return SPLICE_ANSWER_ENDED;
	release_sides(c, s);
	return SPLICE_ANSWER_DONE;
}

static __always_inline __u32 cancel(struct splice_flow_slot *flow)
{
	struct splice_leg *c = &flow->leg[SPLICE_CLIENT], *s = &flow->leg[SPLICE_SERVER];
	__u32 was;

	if (flow->phase != SPLICE_PHASE_TRANSIT)
		return SPLICE_ANSWER_FAST_ALREADY;
	was = __sync_val_compare_and_swap(&c->way, SPLICE_WAY_SLOW, SPLICE_WAY_HELD);
	if (was == SPLICE_WAY_FAST)
		return SPLICE_ANSWER_FAST_ALREADY;
	was = __sync_val_compare_and_swap(&s->way, SPLICE_WAY_SLOW, SPLICE_WAY_HELD);
	if (was != SPLICE_WAY_FAST)
		return SPLICE_ANSWER_DONE;
	__sync_val_compare_and_swap(&c->way, SPLICE_WAY_HELD, SPLICE_WAY_SLOW);
	return SPLICE_ANSWER_FAST_ALREADY;
}

static __always_inline void remove_key(struct splice_leg *leg, __u32 mine)
{
	__u32 *value = bpf_map_lookup_elem(&legs, &leg->key);

	/* A SYN may have ended the flow, and a new one have come in its place. */
	if (value && *value == mine)
		bpf_map_delete_elem(&legs, &leg->key);
}

static __always_inline __u32 forget(struct splice_flow_slot *flow, __u32 slot)
{
	int i;

	for (i = 0; i < 2; i++) {
		remove_key(&flow->leg[i], SPLICE_LEG(slot, i));
		side_event(&flow->leg[i], SPLICE_ON_EXPIRE);
	}
	flow->phase = SPLICE_PHASE_FREE;
	return SPLICE_ANSWER_DONE;
}

static __always_inline __u32 answer(struct __sk_buff *skb, struct splice_packet_request *request)
{
	struct splice_flow_slot *flow = bpf_map_lookup_elem(&flows, &request->slot);

	if (!flow)
		return SPLICE_ANSWER_BAD_REQUEST;
	switch (request->op) {
	case SPLICE_OP_INSTALL:
		return install(skb, flow, request);
	case SPLICE_OP_ADVANCE:
		return advance(skb, flow, request->slot);
	case SPLICE_OP_CANCEL:
		return cancel(flow);
	case SPLICE_OP_REMOVE:
		return forget(flow, request->slot);
	default:
		return SPLICE_ANSWER_BAD_REQUEST;
	}
}

#endif
