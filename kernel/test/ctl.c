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

static void show_leg(const char *name, const struct splice_leg *leg)
{
	printf(" %s port %u state %u bytes %llu segments %u flags %x end %u ack %u", name,
	       (leg->key.remote_port >> 8 | leg->key.remote_port << 8) & 0xffff, leg->state, (unsigned long long)leg->bytes,
	       leg->segments, leg->flags, leg->end, leg->ack);
}

static void on_flow(int type, void *value, int size, void *context)
{
	struct splice_flow_slot slot;
	uint64_t id = 0;

	memcpy(&id, value, size < 8 ? size : 8);
	if (type == SYMSPLICE_A_ID)
		printf("id %llu", (unsigned long long)id);
	if (type != SYMSPLICE_A_FLOW)
		return;
	memcpy(&slot, value, sizeof(slot));
	printf(" phase %u reason %u family %u", slot.phase, slot.reason, slot.family);
	show_leg("client", &slot.leg[0]);
	show_leg("server", &slot.leg[1]);
	printf("\n");
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

static struct family family;

static struct ask *start(int cmd)
{
	static struct ask ask;

	begin(&ask, family.id, cmd, 1);
	return &ask;
}

static int listen_for(int fd, int left)
{
	char buffer[32768];
	struct nlmsghdr *nl = (void *)buffer;

	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &family.group, sizeof(family.group)))
		return -errno;
	printf("listening\n");
	fflush(stdout);
	for (; left > 0; left--) {
		if (recv(fd, buffer, sizeof(buffer), 0) <= 0)
			return -errno;
		each_attr((char *)NLMSG_DATA(nl) + GENL_HDRLEN, nl->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN), on_event,
			  NULL);
		fflush(stdout);
	}
	return 0;
}

/* One that makes no sense: what is answered, or 1 when that is not what it should be. */
static int nonsense(int fd, const char *what, int wanted, struct ask *ask)
{
	int error = talk(fd, ask, NULL, NULL);

	if (error == wanted)
		return 0;
	printf("%s: %s\n", what, strerror(-error));
	return 1;
}

static struct ask *pair(int cmd, int client, int server)
{
	struct ask *ask = start(cmd);

	put32(ask, SYMSPLICE_A_CLIENT, client);
	put32(ask, SYMSPLICE_A_SERVER, server);
	return ask;
}

static struct ask *with32(struct ask *ask, int type, uint32_t value)
{
	put32(ask, type, value);
	return ask;
}

static struct ask *with64(struct ask *ask, int type, uint64_t value)
{
	put(ask, type, &value, sizeof(value));
	return ask;
}

static int bad(int fd)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0), wrong = 0;
	int udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0), pipes[2];
	struct ask *ask;

	if (pipe(pipes))
		die("pipe");
	for (int cmd = SYMSPLICE_CMD_INIT; cmd <= SYMSPLICE_CMD_SPLICE; cmd++)
		wrong += nonsense(fd, "nothing given", -EINVAL, start(cmd));
	wrong += nonsense(fd, "no descriptor", -EBADF, pair(SYMSPLICE_CMD_SPLICE, 999, tcp));
	wrong += nonsense(fd, "a negative one", -ERANGE, pair(SYMSPLICE_CMD_SPLICE, -1, tcp));
	wrong += nonsense(fd, "no socket", -ENOTSOCK, pair(SYMSPLICE_CMD_SPLICE, tcp, pipes[0]));
	wrong += nonsense(fd, "UDP", -EPROTOTYPE, pair(SYMSPLICE_CMD_SPLICE, tcp, udp));
	wrong += nonsense(fd, "AF_UNIX", -EPROTOTYPE, pair(SYMSPLICE_CMD_INTEND, local, tcp));
	wrong += nonsense(fd, "the same twice", -EINVAL, pair(SYMSPLICE_CMD_SPLICE, tcp, tcp));
	wrong += nonsense(fd, "LEN too big", -ERANGE,
			  with32(pair(SYMSPLICE_CMD_SPLICE, tcp, other), SYMSPLICE_A_LEN, (1 << 30) + 1));
	wrong += nonsense(fd, "IDLE too long", -ERANGE,
			  with32(pair(SYMSPLICE_CMD_SPLICE, tcp, other), SYMSPLICE_A_IDLE, 1u << 31));
	wrong += nonsense(fd, "an attribute of answers", -EINVAL,
			  with32(pair(SYMSPLICE_CMD_SPLICE, tcp, other), SYMSPLICE_A_ANSWER, 0));
	wrong += nonsense(fd, "an attribute that nobody knows", -EINVAL, with32(start(SYMSPLICE_CMD_GET_STATS), 99, 0));
	ask = start(SYMSPLICE_CMD_GET_FLOW);
	put(ask, SYMSPLICE_A_ID, "\1", 1);
	wrong += nonsense(fd, "a short attribute", -EINVAL, ask);
	wrong += nonsense(fd, "a command that nobody knows", -EOPNOTSUPP, start(99));
	wrong += nonsense(fd, "no such intent", -ENOENT, with32(start(SYMSPLICE_CMD_CANCEL), SYMSPLICE_A_CLIENT, tcp));
	for (uint64_t id = 0, i = 0; i < 3; id = id ? id << 60 : 7777777, i++) {
		wrong += nonsense(fd, "no such flow, asked for", -ENOENT,
				  with64(start(SYMSPLICE_CMD_GET_FLOW), SYMSPLICE_A_ID, id));
		wrong += nonsense(fd, "no such flow, aborted", -ENOENT,
				  with64(start(SYMSPLICE_CMD_ABORT), SYMSPLICE_A_ID, id));
	}
	return wrong ? -EPROTO : 0;
}

int ctl(int argc, char **argv)
{
	int fd, error = 0, phases[PHASES];
	const char *what = argc > 2 ? argv[2] : "";
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
		error = listen_for(fd, argc > 3 ? atoi(argv[3]) : 1);
	} else if (!strcmp(what, "bad")) {
		error = bad(fd);
	}
	if (error)
		printf("ctl %s: %s\n", what, strerror(-error));
	return error != 0;
}
