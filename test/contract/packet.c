/* SPDX-License-Identifier: MIT */
/* include/splice/packet.h: one layout for the BPF programs, the addon and the tests. */
#include <stddef.h>
#include <string.h>

#include "splice/packet-counters.h"
#include "splice/packet.h"
#include "tap.h"

#define AT(type, member, offset)                                \
	TAP_OK(offsetof(struct splice_##type, member) == (offset), \
	       #type "." #member " at " #offset)

static void check_layout(void)
{
	TAP_OK(sizeof(struct splice_key) == 36, "a key has 36 bytes, none of them padding");
	AT(key, remote, 0);
	AT(key, local, 16);
	AT(key, remote_port, 32);
	AT(key, local_port, 34);

	TAP_OK(sizeof(struct splice_leg) == 128, "a leg has two cache lines");
	AT(leg, key, 0);
	AT(leg, ifindex, 36);
	AT(leg, seq_delta, 40);
	AT(leg, ts_delta, 44);
	AT(leg, flags, 48);
	AT(leg, limit, 52);
	AT(leg, peer_scale, 54);
	AT(leg, own_scale, 55);
	AT(leg, state, 56);
	AT(leg, end, 64);
	AT(leg, ack, 68);
	AT(leg, promised, 72);
	AT(leg, segments, 76);
	AT(leg, active, 80);
	AT(leg, cut, 84);
	AT(leg, bytes, 88);
	AT(leg, fin_end, 96);
	AT(leg, edge_ack, 100);
	AT(leg, clock_offset, 104);
	AT(leg, way, 108);
	AT(leg, edge_window, 112);
	AT(leg, told, 114);
	TAP_OK(offsetof(struct splice_leg, end) == 64, "what moves begins a cache line");

	TAP_OK(sizeof(struct splice_flow_slot) == 256, "a slot has 256 bytes");
	AT(flow_slot, leg, 0);
	AT(flow_slot, phase, 60);
	AT(flow_slot, ended, 116);
	AT(flow_slot, installed_ns, 120);
	AT(flow_slot, generation, 188);
	AT(flow_slot, family, 190);
	AT(flow_slot, reason, 191);
	AT(flow_slot, moved, 244);
	AT(flow_slot, counted, 248);
	TAP_OK(offsetof(struct splice_leg, still_gap) == 57 && offsetof(struct splice_leg, moving_gap) == 116,
	       "what is the flow's lies in the gaps of its legs");

	TAP_OK(sizeof(struct splice_packet_request) == 20, "a request has 20 bytes");
	AT(packet_request, op, 0);
	AT(packet_request, slot, 4);
	AT(packet_request, pending, 8);
	AT(packet_request, reserved, 16);

	TAP_OK(sizeof(struct splice_packet_event) == 32, "an event has 32 bytes");
	AT(packet_event, type, 0);
	AT(packet_event, slot, 4);
	AT(packet_event, generation, 8);
	AT(packet_event, reason, 12);
	AT(packet_event, bytes, 16);
}

/* Whether the values are 0, 1, 2 ... and the names differ: they index arrays, and TypeScript's names. */
struct named {
	const char *name;
	unsigned int value;
};

static int counts_up(const struct named *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].value != i)
			return 0;
		for (size_t j = 0; j < i; j++)
			if (strcmp(list[i].name, list[j].name) == 0)
				return 0;
	}
	return count > 0;
}

#define NAME_AND_VALUE(name, value) { #name, value },
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct named phases[] = { SPLICE_PACKET_PHASES(NAME_AND_VALUE) };
static const struct named ways[] = { SPLICE_WAYS(NAME_AND_VALUE) };
static const struct named ops[] = { SPLICE_PACKET_OPS(NAME_AND_VALUE) };
static const struct named answers[] = { SPLICE_PACKET_ANSWERS(NAME_AND_VALUE) };
static const struct named events[] = { SPLICE_PACKET_EVENTS(NAME_AND_VALUE) };
static const struct named counters[] = { SPLICE_PACKET_COUNTERS(NAME_AND_VALUE) };

static void check_lists(void)
{
	TAP_OK(counts_up(phases, COUNT(phases)), "phases");
	TAP_OK(counts_up(ways, COUNT(ways)), "ways");
	TAP_OK(counts_up(ops, COUNT(ops)), "operations");
	TAP_OK(counts_up(answers, COUNT(answers)), "answers");
	TAP_OK(counts_up(events, COUNT(events)), "events");
	TAP_OK(counts_up(counters, COUNT(counters)), "counters");
	TAP_OK(COUNT(counters) == SPLICE_PACKET_COUNTERS_MAX, "the array has a slot for each counter");
	TAP_OK(SPLICE_PHASE_FREE == 0 && SPLICE_WAY_SLOW == 0,
	       "a slot of zeros is free, and relays nothing");
	TAP_OK(SPLICE_ANSWER_DONE == 0, "0 means that all went well");
}

static void check_flags(void)
{
	static const unsigned int flags[] = {
		SPLICE_LEG_TIMESTAMPS, SPLICE_LEG_SACK, SPLICE_LEG_ECN, SPLICE_LEG_MICROSECONDS,
		SPLICE_LEG_SEEN, SPLICE_LEG_EDGE, SPLICE_LEG_FIN, SPLICE_INTENT_SCALE,
	};
	unsigned int all = 0;
	int single = 1;

	for (size_t i = 0; i < COUNT(flags); i++) {
		single &= flags[i] != 0 && (flags[i] & (flags[i] - 1)) == 0 && (all & flags[i]) == 0;
		all |= flags[i];
	}
	TAP_OK(single, "flags of a leg are single bits, each of its own");
	TAP_OK(SPLICE_MARK_WHOLE != SPLICE_MARK_BARE && SPLICE_MARK_WHOLE != SPLICE_MARK_RELAY &&
		       SPLICE_MARK_BARE != SPLICE_MARK_RELAY,
	       "the three marks differ");
	TAP_OK(SPLICE_LEG(0, SPLICE_CLIENT) == 0 && SPLICE_LEG(0, SPLICE_SERVER) == 1 &&
		       SPLICE_LEG(1, SPLICE_CLIENT) == 2 &&
		       SPLICE_LEG(0x7fffffff, SPLICE_SERVER) == 0xffffffff,
	       "value of a key: slot and side");
	TAP_OK(1000000000ull >> SPLICE_TICK_SHIFT == 953, "a second is 953 ticks");
}

/* A million idle flows are to cost no more than half a GiB: a slot, and two entries of a hash whose
 * kernel part is a header of 48 bytes for each, and 16 for each bucket, of which there are at most
 * twice as many as entries.
 */
static void check_memory(void)
{
	const size_t entry = 48 + (sizeof(struct splice_key) + 7) / 8 * 8 + 8 + 2 * 16;

	TAP_OK(sizeof(struct splice_flow_slot) + 2 * entry <= 512,
	       "a flow takes at most 512 bytes of map memory");
}

int main(void)
{
	check_layout();
	check_lists();
	check_flags();
	check_memory();
	return tap_end();
}
