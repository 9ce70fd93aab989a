// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab ctl: what the module says, and the end of flows. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <splice/packet.h>
#include <splice/packet-counters.h>

#include "lab.h"

static void on_stats(int type, void *value, int size, void *context)
{
	static const char *const packet[] = {
#define NAME(name, value) [value] = #name,
		SPLICE_PACKET_COUNTERS(NAME)
	};
	static const char *const more[] = { SYMSPLICE_COUNTERS(NAME) };
	static const char *const states[] = { SPLICE_SIDE_STATES(NAME) };
	static const char *const events[] = { SPLICE_SIDE_EVENTS(NAME) };
	uint64_t n;

	for (int i = 0; i < size / 8; i++) {
		memcpy(&n, (char *)value + 8 * i, 8);
		if (!n)
			continue;
		if (type == SYMSPLICE_A_COUNTERS)
			printf("%s=%llu ", packet[i], (unsigned long long)n);
		if (type == SYMSPLICE_A_MORE)
			printf("%s=%llu ", more[i], (unsigned long long)n);
		if (type == SYMSPLICE_A_EDGES)
			printf("%s/%s=%llu ", states[i / SPLICE_SIDE_EVENTS_MAX], events[i % SPLICE_SIDE_EVENTS_MAX],
			       (unsigned long long)n);
	}
	if (type == SYMSPLICE_A_FLOWS)
		printf("flows=%u ", *(uint32_t *)value);
}

static void on_flow(int type, void *value, int size, void *context)
{
	struct splice_flow_slot slot;

	if (type != SYMSPLICE_A_FLOW)
		return;
	memcpy(&slot, value, sizeof(slot));
	printf("phase %u reason %u family %u states %u %u bytes %llu %llu segments %u %u flags %x %x\n", slot.phase,
	       slot.reason, slot.family, slot.leg[0].state, slot.leg[1].state, (unsigned long long)slot.leg[0].bytes,
	       (unsigned long long)slot.leg[1].bytes, slot.leg[0].segments, slot.leg[1].segments, slot.leg[0].flags,
	       slot.leg[1].flags);
}

static void on_event(int type, void *value, int size, void *context)
{
	uint64_t wide = 0;

	memcpy(&wide, value, size < 8 ? size : 8);
	if (type == SYMSPLICE_A_EVENT)
		printf("event %u", (unsigned int)wide);
	if (type == SYMSPLICE_A_REASON)
		printf(" reason %u", (unsigned int)wide);
	if (type == SYMSPLICE_A_BYTES_UP)
		printf(" up %llu", (unsigned long long)wide);
	if (type == SYMSPLICE_A_BYTES_DOWN)
		printf(" down %llu\n", (unsigned long long)wide);
}

int ctl(int argc, char **argv)
{
	int fd, error = 0, phases[PHASES];
	const char *what = argc > 2 ? argv[2] : "";
	struct family family;
	struct ask ask;

	if (getenv("LAB_NOBODY") && setuid(65534))
		die("setuid");
	fd = netlink_socket();
	family = find_family(fd);
	if (!strcmp(what, "stats")) {
		begin(&ask, family.id, SYMSPLICE_CMD_GET_STATS, 1);
		error = talk(fd, &ask, on_stats, NULL);
		printf("\n");
	} else if (!strcmp(what, "flows")) {
		begin(&ask, family.id, SYMSPLICE_CMD_GET_FLOW, 1);
		ask.nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		error = talk(fd, &ask, on_flow, NULL);
	} else if (!strcmp(what, "count")) {
		error = count_phases(fd, family.id, phases);
		printf("intents %d transit %d released %d ended %d\n", phases[0], phases[1], phases[2], phases[3]);
	} else if (!strcmp(what, "abort")) {
		error = ask_abort(fd, family.id, argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
	} else if (!strcmp(what, "events")) {
		char buffer[32768];

		setsockopt(fd, 270 /* SOL_NETLINK */, NETLINK_ADD_MEMBERSHIP, &family.group, 4);
		for (int left = argc > 3 ? atoi(argv[3]) : 1; left > 0; left--) {
			struct nlmsghdr *nl = (void *)buffer;

			if (recv(fd, buffer, sizeof(buffer), 0) > 0)
				each_attr((char *)NLMSG_DATA(nl) + GENL_HDRLEN,
					  nl->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN), on_event, NULL);
			fflush(stdout);
		}
	}
	if (error)
		printf("ctl %s: %s\n", what, strerror(-error));
	return error != 0;
}
