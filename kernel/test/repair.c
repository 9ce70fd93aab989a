// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What only TCP_REPAIR can do to a socket: numbers that begin where a test wants them, and an end without a word. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"

#define SEND_QUEUE 2
#define OFF_WITHOUT_PROBE -1

static void set(int fd, int option, int value, const char *what)
{
	if (setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)))
		die(what);
}

void begin_at(int fd, uint32_t isn)
{
	set(fd, TCP_REPAIR, 1, "repair");
	set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE, "repair: queue");
	set(fd, TCP_QUEUE_SEQ, isn, "repair: sequence number");
	set(fd, TCP_REPAIR, OFF_WITHOUT_PROBE, "repair off");
}

uint32_t clock_of(int fd)
{
	uint32_t value;
	socklen_t size = sizeof(value);

	if (getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &value, &size))
		die("clock");
	return value;
}

void set_clock(int fd, uint32_t value)
{
	set(fd, TCP_REPAIR, 1, "repair");
	set(fd, TCP_TIMESTAMP, value, "repair: clock");
	set(fd, TCP_REPAIR, OFF_WITHOUT_PROBE, "repair off");
}

void vanish(int fd)
{
	set(fd, TCP_REPAIR, 1, "repair");
	close(fd);
}
