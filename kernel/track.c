// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Relay and teardown stages: what a segment tells about the state of its flow.
 *
 * Called with the flow's lock held for every segment that is relayed. FIN and RST are hints that
 * anybody can forge who guesses the 4-tuple; the end hosts judge them (RFC 5961), and here nothing
 * ends before an acknowledgement, or an exact sequence number, confirms it.
 */
#include <net/tcp.h>

#include "symsplice.h"

/* A window may have shrunk behind what was sent into it. */
#define OVERRUN_MOST (1u << 20)

/* The only way in which a side changes its state. */
void ss_track_side_event(struct ss_flow *flow, int side, enum splice_side_event event)
{
	struct splice_leg *leg = &flow->slot.leg[side];
	u32 next = splice_side_next(leg->state, event);

	if (next == leg->state)
		return;
	this_cpu_inc(flow->ssn->counts->edges[SPLICE_EDGE(leg->state, event)]);
	leg->state = next;
}

/* The other peer may send so far: y's peer has said so, or the local socket in its place. */
void ss_track_promise(struct splice_leg *y, u32 edge)
{
	if (splice_after(edge, y->promised))
		y->promised = edge;
}

/* Whether the peer of `x` can have sent up to `end`: the other peer allows it, or has allowed it. */
static bool is_promised(const struct splice_leg *x, const struct splice_leg *y, u32 end)
{
	return !splice_after(splice_map_seq(end, x->seq_delta), y->promised + OVERRUN_MOST);
}

void ss_track_note(struct ss_flow *flow, u32 type, struct ss_event *event)
{
	event->due = true;
	event->type = type;
	event->reason = flow->slot.reason;
	event->id = flow->id;
	event->bytes[SPLICE_CLIENT] = flow->slot.leg[SPLICE_CLIENT].bytes;
	event->bytes[SPLICE_SERVER] = flow->slot.leg[SPLICE_SERVER].bytes;
}

void ss_track_tell(struct ss_net *ssn, const struct ss_event *event)
{
	if (event->due)
		ss_genl_event(ssn->net, event);
}

/* To ENDED, once, whoever comes first. */
void ss_track_end(struct ss_flow *flow, u32 reason, struct ss_event *event)
{
	if (flow->slot.phase == SPLICE_PHASE_ENDED)
		return;
	flow->slot.reason = reason;
	flow->slot.ended = ss_tick();
	flow->slot.phase = SPLICE_PHASE_ENDED;
	ss_track_note(flow, SPLICE_PACKET_ENDED, event);
}

/* The peer of side `x` acknowledges what the other peer sent: was it the FIN? */
static void track_ack(struct ss_flow *flow, int side, const struct ss_segment *seg)
{
	struct splice_leg *x = &flow->slot.leg[side], *y = &flow->slot.leg[side ^ 1];
	u32 mapped = splice_map_ack(seg->ack, y->seq_delta);

	/* Nobody can acknowledge what has not passed here. */
	if (splice_after(mapped, y->end))
		return;
	if (!splice_before(seg->ack, x->ack))
		x->ack = seg->ack;
	ss_track_promise(x, seg->ack + splice_window_bytes(seg->window, x->peer_scale));
	if (!(y->flags & SPLICE_LEG_FIN))
		return;
	if (mapped == y->fin_end) {
		ss_track_side_event(flow, side, SPLICE_ON_FIN_ACKED);
	} else if (splice_after(mapped, y->fin_end) && x->state == SPLICE_SIDE_FIN_RELAYED) {
		y->flags &= ~SPLICE_LEG_FIN;
		ss_track_side_event(flow, side, SPLICE_ON_FIN_VOID);
	}
}

static void track_fin(struct ss_flow *flow, const struct ss_segment *seg)
{
	struct splice_leg *x = &flow->slot.leg[seg->side], *y = &flow->slot.leg[seg->side ^ 1];
	/* What y's peer has acknowledged of x's stream: a FIN before that is no FIN. */
	u32 known = splice_map_ack(y->ack, x->seq_delta);

	if (!splice_after(seg->end, known) || !is_promised(x, y, seg->end))
		return;
	/* Until one is acknowledged the latest counts: the true one comes last, and again. */
	if ((x->flags & SPLICE_LEG_FIN) && y->state >= SPLICE_SIDE_SHUTDOWN)
		return;
	x->fin_end = seg->end;
	x->flags |= SPLICE_LEG_FIN;
	ss_track_side_event(flow, seg->side ^ 1, SPLICE_ON_FIN);
}

/* A reset is credible where its receiver would take it at once: at the next byte that it expects,
 * which is behind all that went there, or what it acknowledged last (RFC 5961 section 3.2). Linux
 * takes it also at the place of a FIN that it has acknowledged.
 */
static bool credible_reset(const struct splice_leg *x, const struct splice_leg *y, u32 seq)
{
	u32 acked = splice_map_ack(y->ack, x->seq_delta);

	return seq == x->end || seq == acked ||
	       ((x->flags & SPLICE_LEG_FIN) && acked == x->fin_end && seq == acked - 1);
}

void ss_track_segment(struct ss_flow *flow, const struct ss_segment *seg, struct ss_event *event)
{
	struct splice_leg *x = &flow->slot.leg[seg->side], *y = &flow->slot.leg[seg->side ^ 1];
	u32 advance = seg->end - x->end;

	x->active = ss_tick();
	if (seg->flags & TCPHDR_ACK)
		track_ack(flow, seg->side, seg);
	if (seg->flags & TCPHDR_SYN)
		return;
	if (seg->flags & TCPHDR_RST) {
		if (!credible_reset(x, y, seg->seq))
			return;
		ss_track_side_event(flow, seg->side, SPLICE_ON_RESET);
		ss_track_side_event(flow, seg->side ^ 1, SPLICE_ON_RESET);
		ss_track_end(flow, seg->side == SPLICE_CLIENT ? SPLICE_CLOSE_CLIENT_RESET :
								SPLICE_CLOSE_UPSTREAM_RESET, event);
		return;
	}
	if (seg->flags & TCPHDR_FIN)
		track_fin(flow, seg);
	if ((s32)advance > 0 && is_promised(x, y, seg->end)) {
		x->end = seg->end;
		advance -= seg->flags & TCPHDR_FIN ? 1 : 0;
		x->bytes += advance;
		if (advance) {
			flow->slot.moved = x->active;
			flow->slot.counted += advance;
		}
	}
	if (x->state == SPLICE_SIDE_SHUTDOWN && y->state == SPLICE_SIDE_SHUTDOWN) {
		ss_track_side_event(flow, SPLICE_CLIENT, SPLICE_ON_BOTH_SHUT);
		ss_track_side_event(flow, SPLICE_SERVER, SPLICE_ON_BOTH_SHUT);
		ss_track_end(flow, SPLICE_CLOSE_END, event);
	}
}
