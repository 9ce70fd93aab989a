/* SPDX-License-Identifier: MIT */
/* TAP for ring 1, C11 and C++17. The plan stands at the end: tests count themselves. */
#ifndef SPLICE_TEST_TAP_H
#define SPLICE_TEST_TAP_H

#include <stdio.h>

static int tap_tests;
static int tap_failures;

static inline int tap_check(int passed, const char *text, const char *file, int line)
{
	tap_tests++;
	if (passed) {
		printf("ok %d - %s\n", tap_tests, text);
	} else {
		tap_failures++;
		printf("not ok %d - %s\n# at %s:%d\n", tap_tests, text, file, line);
	}
	/* A later crash must not swallow what was found before it. */
	fflush(stdout);
	return passed;
}

/* One test: `text` says what must hold. */
#define TAP_OK(condition, text) tap_check(!!(condition), (text), __FILE__, __LINE__)

/* Ends main(). No test at all is a failure: it means that nothing was checked. */
static inline int tap_end(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failures == 0 && tap_tests > 0 ? 0 : 1;
}

#endif
