// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The packet backend's data plane: Symmetric TCP Splice (thesis chapters 4 and 5).
 *
 * Read in this order:
 *   packet_maps.h      what is known, who counts
 *   packet_parse.h     from a packet to a segment
 *   packet_checksum.h  its header, and whether that may be believed
 *   packet_relay.h     steady state: rewrite (packet_usual.h, packet_rewrite.h) and redirect
 *   packet_next_hop.h  out of the other leg
 *   packet_track.h     FIN, RST, acknowledgements: the state machine's events
 *   packet_socket.h    what the local sockets stand at
 *   packet_transit.h   while they still own bytes: cut, copy, correct
 *   packet_syn.h       egress: what our SYN may offer
 *   packet_guard.h     egress: what local sockets may still say
 *   packet_control.h   asked by the engine: install, advance, cancel
 *   packet_icmp.h      the router's other duties: errors that come back, IPv4 options
 *   packet_too_big.h   and errors of our own
 *
 * relay_* at tc ingress and guard_* at tc egress of every device that carries a leg; `control` is
 * never attached. What is not ours passes with TC_ACT_UNSPEC, so that other filters still run.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "vmlinux-min.h"
#include "abi.bpf.h"
#include "packet_maps.h"
#include "packet_parse.h"
#include "packet_checksum.h"
#include "packet_icmp.h"
#include "packet_too_big.h"
#include "packet_socket.h"
#include "packet_next_hop.h"
#include "packet_rewrite.h"
#include "packet_track.h"
#include "packet_relay.h"
#include "packet_usual.h"
#include "packet_transit.h"
#include "packet_syn.h"
#include "packet_guard.h"
#include "packet_control.h"

static __always_inline int relay(struct __sk_buff *skb, __u32 l2)
{
	struct splice_flow_slot *flow;
	struct segment seg = {};
	struct splice_key key;
	__u32 *leg;
	int action;

	switch (parse(skb, l2, 0, &seg, &key)) {
	case PARSED_SEGMENT:
		break;
	case PARSED_ICMP:
		return translate_icmp(skb, l2);
	case PARSED_NOT_IP:
		return leave(SPLICE_COUNT_NOT_IP, TC_ACT_UNSPEC);
	case PARSED_NOT_TCP:
		return leave(SPLICE_COUNT_NOT_TCP, TC_ACT_UNSPEC);
	default:
		return leave(SPLICE_COUNT_SHORT, TC_ACT_UNSPEC);
	}
	leg = bpf_map_lookup_elem(&legs, &key);
	if (!leg)
		return leave(SPLICE_COUNT_NO_FLOW, TC_ACT_UNSPEC);
	seg.side = *leg & 1;
	seg.slot = *leg >> 1;
	flow = bpf_map_lookup_elem(&flows, &seg.slot);
	if (!flow || flow->phase == SPLICE_PHASE_FREE)
		return leave(SPLICE_COUNT_NO_FLOW, TC_ACT_UNSPEC);
	if (flow->phase == SPLICE_PHASE_TRANSIT) {
		action = relay_transit(skb, flow, &seg);
		if (action != ACT_RELAY)
			return action;
	}
	if (is_copy(skb))
		return leave(SPLICE_COUNT_DROP_LATE_COPY, TC_ACT_SHOT);
	if (flow->phase == SPLICE_PHASE_ENDED && (seg.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		/* The tuple is used again (S9). The answer to a SYN of ours finds no flow: the
		 * guard has forgotten it. One that comes late must not reach the host (S10).
		 */
		forget_keys(flow);
		return leave(SPLICE_COUNT_LOCAL_REUSE, TC_ACT_UNSPEC);
	}
	action = relay_usual(skb, flow, &seg);
	return action != ACT_UNUSUAL ? action : relay_released(skb, flow, &seg);
}

SEC("tc")
int relay_eth(struct __sk_buff *skb)
{
	return relay(skb, ETH_HLEN);
}

SEC("tc")
int relay_raw(struct __sk_buff *skb)
{
	return relay(skb, 0);
}

SEC("tc")
int guard_eth(struct __sk_buff *skb)
{
	return guard(skb, ETH_HLEN);
}

SEC("tc")
int guard_raw(struct __sk_buff *skb)
{
	return guard(skb, 0);
}

SEC("tc")
int control(struct __sk_buff *skb)
{
	struct splice_packet_request request;
	__u32 result;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &request, sizeof(request)))
		return leave(SPLICE_COUNT_CONTROL_REFUSED, SPLICE_ANSWER_BAD_REQUEST);
	result = answer(skb, &request);
	return leave(result == SPLICE_ANSWER_DONE    ? SPLICE_COUNT_CONTROL_DONE :
		     result == SPLICE_ANSWER_NOT_YET ? SPLICE_COUNT_CONTROL_NOT_YET :
						       SPLICE_COUNT_CONTROL_REFUSED,
		     result);
}
