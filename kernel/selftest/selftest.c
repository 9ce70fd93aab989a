// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The arithmetic and the table of transitions, at their edges, each time the module is loaded: it takes
 * microseconds. A failure refuses to load. Called by module init.
 */
#include <linux/init.h>
#include <net/tcp.h>

#include "compat.h"
#include "symsplice.h"

#define T(condition)                                                                \
	do {                                                                        \
		tests++;                                                            \
		if (!(condition)) {                                                 \
			pr_err("self-test %s:%d: %s\n", __func__, __LINE__, #condition); \
			failures++;                                                 \
		}                                                                   \
	} while (0)

static int tests __initdata, failures __initdata;

static const u32 edges[] __initconst = { 0, 1, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff };

static void __init test_mapping(void)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		for (j = 0; j < ARRAY_SIZE(edges); j++) {
			u32 delta = splice_delta(edges[i], edges[j]);

			T(splice_map_seq(edges[i], delta) == edges[j]);
			T(splice_map_ack(edges[j], delta) == edges[i]);
			T(splice_map_ack(splice_map_seq(edges[j], delta), delta) == edges[j]);
		}
		T(!splice_before(edges[i], edges[i]));
		T(splice_before(edges[i], edges[i] + 1));
		T(splice_after(edges[i], edges[i] - 1));
		T(splice_before(edges[i], edges[i] + 0x7fffffff));
		T(!splice_before(edges[i], edges[i] - 0x7fffffff));
		T(splice_max_seq(edges[i], edges[i] + 1) == edges[i] + 1);
		T(splice_max_seq(edges[i], edges[i] - 1) == edges[i]);
	}
	T(splice_map_window(65535, 0) == 65535);
	T(splice_map_window(65536, 0) == 65535);
	T(splice_map_window(65535u << 14, 14) == 65535);
	T(splice_map_window(127, 7) == 0);
	T(splice_map_window(128, 7) == 1);
	T(splice_window_bytes(65535, 14) == 65535u << 14);
	T(splice_keep_edge(1000, 500, 1000) == 500);
	T(splice_keep_edge(2000, 500, 1000) == 0);
	T(splice_ratchet(0, SPLICE_CUT_DISTANCE) == 0);
	T(splice_ratchet(0, SPLICE_CUT_DISTANCE + 1) == 1);
}

struct transition {
	u32 from;
	u32 event;
	u32 to;
};

static const struct transition listed[] __initconst = {
#define LISTED(from, on, to) { SPLICE_SIDE_##from, SPLICE_ON_##on, SPLICE_SIDE_##to },
	SPLICE_SIDE_TRANSITIONS(LISTED)
#undef LISTED
};

/* A transition is taken where the table has it, and nowhere else. */
static void __init test_states(void)
{
	u32 state, event, i, taken = 0;

	for (state = 0; state < SPLICE_SIDE_STATES_MAX; state++) {
		for (event = 0; event < SPLICE_SIDE_EVENTS_MAX; event++) {
			T(splice_side_next(state, event) < SPLICE_SIDE_STATES_MAX);
			taken += splice_side_next(state, event) != state;
		}
	}
	for (i = 0; i < ARRAY_SIZE(listed); i++)
		T(splice_side_next(listed[i].from, listed[i].event) == listed[i].to);
	T(ARRAY_SIZE(listed) == taken);
	T(splice_side_next(SPLICE_SIDE_CLOSE, SPLICE_ON_RESET) == SPLICE_SIDE_CLOSE);
}

static void __init put_stamp(u8 *at, u32 value, u32 echo)
{
	at[0] = TCPOPT_TIMESTAMP;
	at[1] = TCPOLEN_TIMESTAMP;
	put_unaligned_be32(value, at + 2);
	put_unaligned_be32(echo, at + 6);
}

static void __init test_timestamps(const struct splice_leg *x, const struct splice_leg *y)
{
	u8 header[60] = {};

	/* As they usually stand. */
	header[20] = TCPOPT_NOP;
	header[21] = TCPOPT_NOP;
	put_stamp(header + 22, 0xfffffff0, 10);
	ss_rewrite_options(header, 32, x, y, true);
	T(get_unaligned_be32(header + 24) == 0x0ffffff0);
	T(get_unaligned_be32(header + 28) == 0xfffffff0 + 10);
	put_stamp(header + 22, 1, 10);
	ss_rewrite_options(header, 32, x, y, false);
	T(get_unaligned_be32(header + 28) == 10);

	/* Anywhere, at an odd place, behind an option that nobody knows. */
	memset(header, TCPOPT_NOP, sizeof(header));
	header[21] = 253;
	header[22] = 3;
	put_stamp(header + 24, 5, 32);
	header[34] = TCPOPT_EOL;
	ss_rewrite_options(header, 36, x, y, true);
	T(get_unaligned_be32(header + 26) == 0x10000005);
	T(get_unaligned_be32(header + 30) == 16);
}

static void __init test_sack(const struct splice_leg *x, struct splice_leg *y)
{
	struct ss_options options;
	u8 header[60];
	u32 i;

	memset(header, TCPOPT_NOP, sizeof(header));
	header[22] = TCPOPT_SACK;
	header[23] = 34;
	for (i = 0; i < 8; i++)
		put_unaligned_be32(i * 100, header + 24 + 4 * i);
	ss_rewrite_options(header, 56, x, y, true);
	for (i = 0; i < 8; i++)
		T(get_unaligned_be32(header + 24 + 4 * i) == i * 100 - y->seq_delta);
	y->flags &= ~SPLICE_LEG_SACK;
	ss_rewrite_options(header, 56, x, y, true);
	for (i = 20; i < 56; i++)
		T(header[i] == TCPOPT_NOP);

	/* Longer than the header, shorter than an option is: stops. */
	header[20] = TCPOPT_SACK;
	header[21] = 41;
	ss_rewrite_find_options(header, 60, &options);
	T(!options.sack);
	header[21] = 1;
	header[22] = TCPOPT_SACK;
	header[23] = 10;
	ss_rewrite_find_options(header, 60, &options);
	T(!options.sack);
	header[59] = TCPOPT_SACK;
	memset(header + 20, TCPOPT_NOP, 39);
	ss_rewrite_find_options(header, 60, &options);
	T(!options.sack && !options.timestamps);
}

static void __init test_syn(void)
{
	u8 header[40] = {};

	header[20] = TCPOPT_MSS;
	header[21] = TCPOLEN_MSS;
	header[24] = TCPOPT_SACK_PERM;
	header[25] = TCPOLEN_SACK_PERM;
	put_stamp(header + 26, 1, 0);
	header[36] = TCPOPT_NOP;
	header[37] = TCPOPT_WINDOW;
	header[38] = TCPOLEN_WINDOW;
	header[39] = 7;
	T(ss_rewrite_strip_syn(header, 40, 0) == 0);
	T(ss_rewrite_strip_syn(header, 40, SPLICE_INTENT_SCALE) == 3);
	T(header[37] == TCPOPT_NOP && header[39] == TCPOPT_NOP && header[24] == TCPOPT_SACK_PERM);
	T(ss_rewrite_strip_syn(header, 40, SPLICE_LEG_SACK | SPLICE_LEG_TIMESTAMPS) == 12);
	T(header[20] == TCPOPT_MSS && header[24] == TCPOPT_NOP && header[35] == TCPOPT_NOP);
}

bool __init ss_selftest(void)
{
	struct splice_leg x = {
		.flags = SPLICE_LEG_TIMESTAMPS | SPLICE_LEG_SACK,
		.seq_delta = 1000,
		.ts_delta = 0x10000000,
	};
	struct splice_leg y = {
		.flags = SPLICE_LEG_TIMESTAMPS | SPLICE_LEG_SACK,
		.seq_delta = 0xfffffff0,
		.ts_delta = 16,
	};

	test_mapping();
	test_states();
	test_timestamps(&x, &y);
	test_sack(&x, &y);
	test_syn();
	pr_debug("%d self-tests, %d failed\n", tests, failures);
	return !failures;
}
