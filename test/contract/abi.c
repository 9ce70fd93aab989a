/* SPDX-License-Identifier: MIT */
/* include/splice/abi.h: numbers that logs, pins and metrics of other versions carry. */
#include "splice/abi.h"
#include "tap.h"

/* Whether the values are 0, 1, 2 ...: the TypeScript side indexes arrays of names by them. */
static int counts_up(const int *values, int count)
{
	for (int i = 0; i < count; i++)
		if (values[i] != i)
			return 0;
	return count > 0;
}

#define VALUE(name, value) value,

int main(void)
{
	static const int states[] = { SPLICE_FLOW_STATES(VALUE) };
	static const int reasons[] = { SPLICE_CLOSE_REASONS(VALUE) };
	static const int events[] = { SPLICE_REACTOR_EVENTS(VALUE) };

	TAP_OK(SPLICE_ABI_VERSION > 0, "version 0 is kept for objects without a version");
	TAP_OK(counts_up(states, sizeof(states) / sizeof(states[0])), "flow states");
	TAP_OK(counts_up(reasons, sizeof(reasons) / sizeof(reasons[0])), "close reasons");
	TAP_OK(counts_up(events, sizeof(events) / sizeof(events[0])), "reactor events");
	TAP_OK(SPLICE_FLOW_CLOSED == 4 && SPLICE_CLOSE_END == 0 && SPLICE_REACTOR_ACCEPTED == 0,
	       "the enums carry the values of the lists");
	return tap_end();
}
