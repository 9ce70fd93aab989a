/* SPDX-License-Identifier: MIT */
/* include/splice/mapping.h at its edges: wrap-around at 2^31 and 2^32, windows of every scale.
 *
 * With the argument "cases" it prints instead, one call a line, what the functions give here: ring 2
 * asks the same calls of their BPF build and compares.
 */
#include <string.h>

#include "mapping-calls.h"
#include "tap.h"

/* Signed arguments and answers are written as the word they are. */
#define NEG(value) ((splice_u32) - (value))

static const struct {
	const char *text;
	enum mapping_call call;
	splice_u32 a, b, c;
	splice_u32 expected;
} cases[] = {
	{ "before: next", CALL_before, 0, 1, 0, 1 },
	{ "before: same", CALL_before, 7, 7, 0, 0 },
	{ "before: one back", CALL_before, 1, 0, 0, 0 },
	{ "before: over 2^31", CALL_before, 0x7fffffff, 0x80000000, 0, 1 },
	{ "before: over 2^32", CALL_before, 0xffffffff, 0, 0, 1 },
	{ "before: back over 2^32", CALL_before, 0, 0xffffffff, 0, 0 },
	{ "before: 2^31 - 1 ahead is ahead", CALL_before, 0, 0x7fffffff, 0, 1 },
	{ "before: 2^31 - 1 ahead over 2^32", CALL_before, 0x80000001, 0, 0, 1 },
	{ "before: 2^31 + 1 ahead is behind", CALL_before, 0, 0x80000001, 0, 0 },
	/* Exactly half way round each is before the other, as in the kernel: nobody may rely on it. */
	{ "before: half way round", CALL_before, 0, 0x80000000, 0, 1 },
	{ "before: half way round, asked the other way", CALL_before, 0x80000000, 0, 0, 1 },

	{ "after: next", CALL_after, 1, 0, 0, 1 },
	{ "after: same", CALL_after, 7, 7, 0, 0 },
	{ "after: one back", CALL_after, 0, 1, 0, 0 },
	{ "after: over 2^31", CALL_after, 0x80000000, 0x7fffffff, 0, 1 },
	{ "after: over 2^32", CALL_after, 0, 0xffffffff, 0, 1 },
	{ "after: back over 2^32", CALL_after, 0xffffffff, 0, 0, 0 },
	{ "after: 2^31 - 1 behind is behind", CALL_after, 0x7fffffff, 0, 0, 1 },
	{ "after: 2^31 + 1 behind is ahead", CALL_after, 0x80000001, 0, 0, 0 },

	{ "max: second", CALL_max_seq, 5, 6, 0, 6 },
	{ "max: first", CALL_max_seq, 6, 5, 0, 6 },
	{ "max: same", CALL_max_seq, 6, 6, 0, 6 },
	{ "max: over 2^32", CALL_max_seq, 0xfffffff0, 0x10, 0, 0x10 },
	{ "max: over 2^32, asked the other way", CALL_max_seq, 0x10, 0xfffffff0, 0, 0x10 },

	{ "delta: up", CALL_delta, 1000, 5000, 0, 4000 },
	{ "delta: down wraps", CALL_delta, 5000, 1000, 0, NEG(4000) },
	{ "delta: none", CALL_delta, 0xffffffff, 0xffffffff, 0, 0 },
	{ "delta: from the last number to the first", CALL_delta, 0xffffffff, 0, 0, 1 },
	{ "delta: from the first number to the last", CALL_delta, 0, 0xffffffff, 0, NEG(1) },
	{ "delta: half way round", CALL_delta, 0x80000000, 0, 0, 0x80000000 },

	{ "seq: plus delta", CALL_map_seq, 1000, 4000, 0, 5000 },
	{ "seq: minus", CALL_map_seq, 5000, NEG(4000), 0, 1000 },
	{ "seq: wraps on the way out only", CALL_map_seq, 0xffffff00, 0x200, 0, 0x100 },
	{ "seq: unwraps on the way out", CALL_map_seq, 0x100, NEG(0x200), 0, 0xffffff00 },
	{ "seq: last number, delta one", CALL_map_seq, 0xffffffff, 1, 0, 0 },
	{ "seq: half way round", CALL_map_seq, 0x80000000, 0x80000000, 0, 0 },

	{ "ack: minus delta", CALL_map_ack, 5000, 4000, 0, 1000 },
	{ "ack: of a negative delta", CALL_map_ack, 1000, NEG(4000), 0, 5000 },
	{ "ack: wraps back", CALL_map_ack, 0x100, 0x200, 0, 0xffffff00 },
	{ "ack: of number 0, delta one", CALL_map_ack, 0, 1, 0, 0xffffffff },
	{ "ack: half way round", CALL_map_ack, 0, 0x80000000, 0, 0x80000000 },

	{ "window: unscaled", CALL_map_window, 1000, 0, 0, 1000 },
	{ "window: none", CALL_map_window, 0, 7, 0, 0 },
	{ "window: most that 16 bits say", CALL_map_window, 65535, 0, 0, 65535 },
	{ "window: one more is clamped", CALL_map_window, 65536, 0, 0, 65535 },
	{ "window: rounds down, never up", CALL_map_window, 255, 7, 0, 1 },
	{ "window: less than a unit is none", CALL_map_window, 127, 7, 0, 0 },
	{ "window: just a unit", CALL_map_window, 128, 7, 0, 1 },
	{ "window: largest there is", CALL_map_window, 65535u << 14, 14, 0, 65535 },
	{ "window: largest, by a leg with scale 13", CALL_map_window, 65535u << 14, 13, 0, 65535 },
	{ "window: largest, by a leg without scaling", CALL_map_window, 65535u << 14, 0, 0, 65535 },
	{ "window: scale 14 of one byte", CALL_map_window, 1, 14, 0, 0 },

	{ "bytes: unscaled", CALL_window_bytes, 1000, 0, 0, 1000 },
	{ "bytes: scale 7", CALL_window_bytes, 502, 7, 0, 64256 },
	{ "bytes: none", CALL_window_bytes, 0, 14, 0, 0 },
	{ "bytes: largest there is", CALL_window_bytes, 65535, 14, 0, 0x3fffc000 },

	{ "edge: same ack, same window", CALL_keep_edge, 1000, 1000, 500, 500 },
	{ "edge: held back by 300", CALL_keep_edge, 700, 1000, 500, 800 },
	{ "edge: put forward by 300", CALL_keep_edge, 1300, 1000, 500, 200 },
	{ "edge: forward just to the edge", CALL_keep_edge, 1500, 1000, 500, 0 },
	{ "edge: behind the edge the window is none, not huge", CALL_keep_edge, 1501, 1000, 500, 0 },
	{ "edge: held back over 2^32", CALL_keep_edge, 0xffffff00, 0x100, 0x1000, 0x1200 },
	{ "edge: put forward over 2^32", CALL_keep_edge, 0x100, 0xffffff00, 0x1000, 0xe00 },
	{ "edge: itself over 2^32", CALL_keep_edge, 0xffffff00, 0xffffff00, 0x1000, 0x1000 },
	{ "edge: zero window held back", CALL_keep_edge, 999, 1000, 0, 1 },
	{ "edge: largest window", CALL_keep_edge, 0, 0, 0x3fffc000, 0x3fffc000 },

	{ "room: just fits", CALL_has_room, 1600, 1600, 0, 1 },
	{ "room: within a sixteenth", CALL_has_room, 1500, 1600, 0, 1 },
	{ "room: one byte beyond the sixteenth", CALL_has_room, 1499, 1600, 0, 0 },
	{ "room: no slack below 16 bytes", CALL_has_room, 14, 15, 0, 0 },
	{ "room: two fresh sockets", CALL_has_room, 65160, 65536, 0, 1 },
	{ "room: nothing promised", CALL_has_room, 0, 0, 0, 1 },
	{ "room: none left, but promised", CALL_has_room, 0, 1, 0, 0 },
	{ "room: overdrawn, nothing promised", CALL_has_room, NEG(1), 0, 0, 0 },
	{ "room: the promise is used up and more", CALL_has_room, 0, NEG(1), 0, 1 },
	{ "room: both overdrawn alike", CALL_has_room, NEG(1600), NEG(1600), 0, 0 },
	{ "room: largest promise", CALL_has_room, 0x7fffffff, 0x7fffffff, 0, 1 },
	{ "room: smallest numbers there are", CALL_has_room, 0x80000000, 0x80000000, 0, 0 },

	{ "ratchet: at the cut", CALL_ratchet, 1000, 1000, 0, 1000 },
	{ "ratchet: near it", CALL_ratchet, 1000, 2000, 0, 1000 },
	{ "ratchet: before it", CALL_ratchet, 1000, 999, 0, 1000 },
	{ "ratchet: just at the distance", CALL_ratchet, 1000, 1000 + (1u << 30), 0, 1000 },
	{ "ratchet: one beyond pulls it one on", CALL_ratchet, 1000, 1001 + (1u << 30), 0, 1001 },
	{ "ratchet: far beyond", CALL_ratchet, 0, 0x7fffffff, 0, 0x3fffffff },
	{ "ratchet: over 2^32", CALL_ratchet, 0xfffffff0, 0x40000000, 0, 0 },
	{ "ratchet: 2^31 behind is no progress", CALL_ratchet, 0, 0x80000000, 0, 0 },
	{ "ratchet: a stray from before the cut, over 2^32", CALL_ratchet, 0x10, 0xfffffff0, 0, 0x10 },
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

/* The same numbers in every run and every build. */
static splice_u32 next_random(void)
{
	static splice_u32 word = 0x9e3779b9;

	word ^= word << 13;
	word ^= word >> 17;
	word ^= word << 5;
	return word;
}

static void print_call(int call, splice_u32 a, splice_u32 b, splice_u32 c)
{
	printf("%d %u %u %u %u\n", call, a, b, c, mapping_call((splice_u32)call, a, b, c));
}

#define RANDOM_CALLS 200

static int print_cases(void)
{
	for (int i = 0; i < CASES; i++)
		print_call(cases[i].call, cases[i].a, cases[i].b, cases[i].c);
	for (int state = 0; state <= SPLICE_SIDE_STATES_MAX; state++)
		for (int event = 0; event <= SPLICE_SIDE_EVENTS_MAX; event++)
			print_call(CALL_side_next, (splice_u32)state, (splice_u32)event, 0);
	for (int call = 0; call < CALLS_MAX; call++) {
		for (int i = 0; i < RANDOM_CALLS; i++) {
			splice_u32 a = next_random(), b = next_random(), c = next_random();

			/* Near each other as often as far apart: the edges are where they are near. */
			if (i & 1)
				b = a + (b & 0xffff) - 0x8000;
			print_call(call, a, b, c >> (i & 31));
		}
	}
	return 0;
}

#define PROPERTY_ROUNDS 100000

static void check_properties(void)
{
	int inverse = 1, order = 1, never_more = 1, within_unit = 1, edge_kept = 1, follows = 1;

	for (int i = 0; i < PROPERTY_ROUNDS; i++) {
		splice_u32 seq = next_random(), delta = next_random();
		splice_u32 near = seq + (next_random() >> 1) - 0x3fffffff;
		splice_u32 bytes = next_random() >> 2, scale = next_random() % 15;
		splice_u32 field = splice_map_window(bytes, scale);
		splice_u32 ack = seq - (next_random() & 0xffffff);
		splice_u32 cut = splice_ratchet(seq, near);

		inverse &= splice_map_ack(splice_map_seq(seq, delta), delta) == seq;
		order &= splice_before(seq, near) == splice_before(splice_map_seq(seq, delta),
								   splice_map_seq(near, delta));
		never_more &= splice_window_bytes(field, scale) <= bytes;
		within_unit &= field == 65535 ||
			       bytes - splice_window_bytes(field, scale) < 1u << scale;
		edge_kept &= ack + splice_keep_edge(ack, seq, bytes) == seq + bytes;
		follows &= !splice_after(cut, splice_max_seq(seq, near)) && !splice_before(cut, seq);
	}
	TAP_OK(inverse, "an acknowledgement of a mapped byte is the acknowledgement of that byte");
	TAP_OK(order, "mapping keeps the order of sequence numbers");
	TAP_OK(never_more, "a mapped window never promises more than was promised");
	TAP_OK(within_unit, "and less only by what the scale cannot say");
	TAP_OK(edge_kept, "an acknowledgement held back keeps the right edge");
	TAP_OK(follows, "the cut moves forward only, and never beyond the stream");
}

int main(int argc, char **argv)
{
	int asked[CALLS_MAX] = { 0 };
	int all_asked = 1;

	if (argc > 1 && strcmp(argv[1], "cases") == 0)
		return print_cases();

	for (int i = 0; i < CASES; i++) {
		splice_u32 got = mapping_call(cases[i].call, cases[i].a, cases[i].b, cases[i].c);

		asked[cases[i].call] = 1;
		if (!TAP_OK(got == cases[i].expected, cases[i].text))
			printf("# %u instead of %u\n", got, cases[i].expected);
	}
	/* The state machine has its own table, in states.c. */
	for (int call = 0; call < CALLS_MAX; call++)
		all_asked &= asked[call] || call == CALL_side_next;
	TAP_OK(all_asked, "no function without a case");
	check_properties();
	return tap_end();
}
