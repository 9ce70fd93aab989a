/* SPDX-License-Identifier: MIT */
/* include/splice/sockmap.h: one layout for the BPF program, the addon and the tests. */
#include <stddef.h>
#include <string.h>

#include "splice/sockmap.h"
#include "tap.h"

static const struct {
	const char *name;
	int value;
} counters[] = {
#define NAME_AND_VALUE(name, value) { #name, value },
	SPLICE_SOCKMAP_COUNTERS(NAME_AND_VALUE)
#undef NAME_AND_VALUE
};

int main(void)
{
	const int count = (int)(sizeof(counters) / sizeof(counters[0]));
	int in_order = 1;
	int different = 1;

	TAP_OK(sizeof(struct splice_sockmap_half) == 48, "a half has 48 bytes");
	TAP_OK(offsetof(struct splice_sockmap_half, redirected) == 0, "redirected at 0");
	TAP_OK(offsetof(struct splice_sockmap_half, passed) == 8, "passed at 8");
	TAP_OK(offsetof(struct splice_sockmap_half, lost) == 16, "lost at 16");
	TAP_OK(offsetof(struct splice_sockmap_half, base) == 24, "base at 24");
	TAP_OK(offsetof(struct splice_sockmap_half, limit) == 32, "limit at 32");
	TAP_OK(offsetof(struct splice_sockmap_half, next_seq) == 40, "next_seq at 40");
	TAP_OK(offsetof(struct splice_sockmap_half, next_known) == 44, "next_known at 44");

	for (int i = 0; i < count; i++) {
		in_order &= counters[i].value == i;
		for (int j = 0; j < i; j++)
			different &= strcmp(counters[i].name, counters[j].name) != 0;
	}
	TAP_OK(in_order, "counters are numbered from 0 without gaps: they are slots of an array");
	TAP_OK(different, "no two counters share a name");
	TAP_OK(count == SPLICE_SOCKMAP_COUNTERS_MAX, "the array has a slot for each counter");
	return tap_end();
}
