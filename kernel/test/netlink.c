// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The module's generic netlink family, without libraries. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <splice/packet.h>

#include "lab.h"

int netlink_socket(void)
{
	struct sockaddr_nl us = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0 || bind(fd, (void *)&us, sizeof(us)))
		die("netlink");
	return fd;
}

void begin(struct ask *ask, int type, int cmd, int version)
{
	memset(ask, 0, sizeof(*ask));
	ask->nl.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	ask->nl.nlmsg_type = type;
	ask->nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ask->genl.cmd = cmd;
	ask->genl.version = version;
}

void put(struct ask *ask, int type, const void *value, size_t size)
{
	struct nlattr *attr = (void *)((char *)ask + NLMSG_ALIGN(ask->nl.nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + size;
	memcpy((char *)attr + NLA_HDRLEN, value, size);
	ask->nl.nlmsg_len = NLMSG_ALIGN(ask->nl.nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

void put32(struct ask *ask, int type, uint32_t value)
{
	put(ask, type, &value, sizeof(value));
}

void each_attr(void *at, int left, on_attr *on, void *context)
{
	while (left >= NLA_HDRLEN) {
		struct nlattr *attr = at;

		on(attr->nla_type & NLA_TYPE_MASK, (char *)at + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN, context);
		at = (char *)at + NLA_ALIGN(attr->nla_len);
		left -= NLA_ALIGN(attr->nla_len);
	}
}

/* 0 or -errno. */
int talk(int fd, struct ask *ask, on_attr *on, void *context)
{
	char buffer[32768];

	if (send(fd, ask, ask->nl.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		int got = recv(fd, buffer, sizeof(buffer), 0);

		if (got < 0)
			return -errno;
		for (struct nlmsghdr *nl = (void *)buffer; NLMSG_OK(nl, (unsigned int)got); nl = NLMSG_NEXT(nl, got)) {
			if (nl->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(nl))->error;
			if (nl->nlmsg_type == NLMSG_DONE)
				return 0;
			if (on)
				each_attr((char *)NLMSG_DATA(nl) + GENL_HDRLEN,
					  nl->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN), on, context);
		}
	}
}

static void on_group(int type, void *value, int size, void *context)
{
	if (type == CTRL_ATTR_MCAST_GRP_ID)
		((struct family *)context)->group = *(uint32_t *)value;
}

static void on_groups(int type, void *value, int size, void *context)
{
	each_attr(value, size, on_group, context);
}

static void on_family(int type, void *value, int size, void *context)
{
	if (type == CTRL_ATTR_FAMILY_ID)
		((struct family *)context)->id = *(uint16_t *)value;
	if (type == CTRL_ATTR_MCAST_GROUPS)
		each_attr(value, size, on_groups, context);
}

struct family find_family(int fd)
{
	struct family family = {};
	struct ask ask;

	begin(&ask, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	put(&ask, CTRL_ATTR_FAMILY_NAME, SYMSPLICE_GENL_NAME, sizeof(SYMSPLICE_GENL_NAME));
	if (talk(fd, &ask, on_family, &family) || !family.id) {
		errno = ENOENT;
		die("no such netlink family");
	}
	return family;
}

struct answer {
	int32_t answer;
	uint64_t id;
};

static void on_answer(int type, void *value, int size, void *context)
{
	struct answer *answer = context;

	if (type == SYMSPLICE_A_ANSWER)
		answer->answer = *(uint32_t *)value;
	if (type == SYMSPLICE_A_ID)
		memcpy(&answer->id, value, 8);
}

/* INTEND or SPLICE: answer of the module, or -errno. */
int ask_pair(int nl, int family, int cmd, const struct pair *pair)
{
	struct answer answer = { -1, 0 };
	struct ask ask;
	int error;

	begin(&ask, family, cmd, 1);
	put32(&ask, SYMSPLICE_A_CLIENT, pair->client);
	put32(&ask, SYMSPLICE_A_SERVER, pair->server);
	if (cmd == SYMSPLICE_CMD_SPLICE) {
		put32(&ask, SYMSPLICE_A_LEN, pair->len);
		put32(&ask, SYMSPLICE_A_IDLE, pair->idle);
	} else if (pair->open) {
		put(&ask, SYMSPLICE_A_OPEN, "", 0);
	}
	error = talk(nl, &ask, on_answer, &answer);
	return error ? error : answer.answer;
}

int ask_init(int nl, int family, int listener)
{
	struct ask ask;

	begin(&ask, family, SYMSPLICE_CMD_INIT, 1);
	put32(&ask, SYMSPLICE_A_LISTENER, listener);
	return talk(nl, &ask, NULL, NULL);
}

int ask_abort(int nl, int family, uint64_t id)
{
	struct ask ask;

	begin(&ask, family, SYMSPLICE_CMD_ABORT, 1);
	if (id)
		put(&ask, SYMSPLICE_A_ID, &id, 8);
	return talk(nl, &ask, NULL, NULL);
}

static void on_phase(int type, void *value, int size, void *context)
{
	struct splice_flow_slot slot;
	int *phases = context;

	if (type != SYMSPLICE_A_FLOW)
		return;
	memcpy(&slot, value, sizeof(slot));
	phases[slot.phase & (PHASES - 1)]++;
}

int count_phases(int nl, int family, int phases[PHASES])
{
	struct ask ask;

	memset(phases, 0, PHASES * sizeof(*phases));
	begin(&ask, family, SYMSPLICE_CMD_GET_FLOW, 1);
	ask.nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	return talk(nl, &ask, on_phase, phases);
}
