/* SPDX-License-Identifier: MIT */
/* Every function of the contract that computes, under one number and one signature.
 *
 * Ring 1 calls them in C and C++, ring 2 the same ones as BPF (test/bpf/mapping.bpf.c): a function
 * that one of the three compilers, or the kernel's JIT, understands differently is found there.
 */
#ifndef SPLICE_TEST_MAPPING_CALLS_H
#define SPLICE_TEST_MAPPING_CALLS_H

#include "splice/mapping.h"
#include "splice/states.h"

/* name, expression over the 32-bit words a, b and c */
#define MAPPING_CALLS(X)                                                    \
	X(before, splice_before(a, b))                                      \
	X(after, splice_after(a, b))                                        \
	X(max_seq, splice_max_seq(a, b))                                    \
	X(delta, splice_delta(a, b))                                        \
	X(map_seq, splice_map_seq(a, b))                                    \
	X(map_ack, splice_map_ack(a, b))                                    \
	X(map_window, splice_map_window(a, b))                              \
	X(window_bytes, splice_window_bytes(a, b))                          \
	X(keep_edge, splice_keep_edge(a, b, c))                             \
	X(has_room, splice_has_room((splice_s32)a, (splice_s32)b))          \
	X(ratchet, splice_ratchet(a, b))                                    \
	X(side_next, splice_side_next(a, b))

enum mapping_call {
#define MAPPING_CALL_NUMBER(name, expression) CALL_##name,
	MAPPING_CALLS(MAPPING_CALL_NUMBER)
#undef MAPPING_CALL_NUMBER
	CALLS_MAX,
};

static inline splice_u32 mapping_call(splice_u32 call, splice_u32 a, splice_u32 b, splice_u32 c)
{
#define MAPPING_CALL_CASE(name, expression)   \
	if (call == CALL_##name)              \
		return (splice_u32)(expression);
	MAPPING_CALLS(MAPPING_CALL_CASE)
#undef MAPPING_CALL_CASE
	(void)c;
	return 0;
}

#endif
