// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab client: many connections at once, each with one request. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"

static struct {
	const char *host;
	int port, conns, skip, idle, pace, wait, from, mss, options, calm, urgent, wrap, vanish;
	uint32_t isn;
	char unread[32];
	struct request request;
} want;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int good, bad;

static void score(int well)
{
	pthread_mutex_lock(&mutex);
	good += well;
	bad += !well;
	pthread_mutex_unlock(&mutex);
}

static int retransmitted(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) ? -1 : (int)info.tcpi_total_retrans;
}

/* Connects and sends the request; the descriptor, or -1. */
static int begin_client(struct request *request)
{
	int fd = socket(family_of(want.host), SOCK_STREAM, 0);
	char skipped[4096];

	if (want.options)
		setsockopt(fd, IPPROTO_IP, IP_OPTIONS, "\1\1\1\1", 4);
	if (want.from)
		bind_port(fd, want.host, want.from);
	if (want.mss && setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &want.mss, sizeof(want.mss)))
		die("mss");
	if (want.isn)
		begin_at(fd, want.isn);
	if (connect_fd(fd, want.host, want.port)) {
		printf("client: connect: %s\n", strerror(errno));
		goto failed;
	}
	if (want.wait)
		usleep(want.wait * 1000);
	if (want.skip && read_all(fd, skipped, want.skip)) {
		printf("client: no reply: %s\n", strerror(errno));
		goto failed;
	}
	if (!write_all(fd, request, sizeof(*request)))
		return fd;
	printf("client: request: %s\n", strerror(errno));
failed:
	close(fd);
	return -1;
}

static void send_urgent(struct job *out)
{
	uint8_t byte;

	fill(&byte, out->done, 1, out->seed);
	if (send(out->fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL) != 1)
		out->error = errno;
	out->done++;
}

/* A quarter of the way, and half, and so on, to where timestamps wrap: each step is less than half the circle, which
 * would be backwards. The peer has heard of one before the next.
 */
static void wind_clock(int fd, uint32_t steps_left)
{
	uint32_t now, end = -200;
	int left;

	while (!ioctl(fd, SIOCOUTQ, &left) && left)
		usleep(1000);
	now = clock_of(fd);
	set_clock(fd, now + (end - now) / steps_left);
}

static void send_up_to(struct job *out, uint64_t bytes)
{
	out->bytes = bytes;
	sender(out);
}

/* Something, then silence, then the rest. */
static void *send_halves(void *arg)
{
	struct job *out = arg;
	uint64_t all = out->bytes;

	out->shut = 0;
	for (int i = 0; want.wrap && i < 3; i++) {
		wind_clock(out->fd, 4 - i);
		send_up_to(out, out->done + 1000);
	}
	send_up_to(out, all / 2);
	sleep(want.idle);
	wait_for(want.request.until);
	if (want.wrap)
		wind_clock(out->fd, 1);
	if (want.urgent)
		send_urgent(out);
	out->shut = 1;
	send_up_to(out, all);
	return NULL;
}

static void transfer(struct job *in, struct job *out)
{
	bool halves = want.idle || want.request.until[0];
	pthread_t thread;

	if (pthread_create(&thread, NULL, halves ? send_halves : sender, out))
		die("thread");
	wait_for(want.unread);
	receiver(in);
	pthread_join(thread, NULL);
}

static void *run_client(void *arg)
{
	struct request request = want.request;
	struct job in, out;
	int fd, end = 0, again;
	char byte;

	request.seed = 1000 * (intptr_t)arg + getpid();
	fd = begin_client(&request);
	if (fd < 0) {
		score(0);
		return NULL;
	}
	in = (struct job){ .fd = fd, .bytes = request.down, .seed = request.seed + 1 };
	out = (struct job){ .fd = fd, .bytes = request.up, .seed = request.seed, .shut = 1, .pace = want.pace };
	if (request.flags & RESET) {
		in.bytes /= 2;
		receiver(&in);
		wait_for(want.request.until);
		if (want.vanish)
			vanish(fd);
		else
			reset(fd);
		score(!in.error);
		return NULL;
	}
	transfer(&in, &out);
	if (!in.error)
		end = recv(fd, &byte, 1, 0);
	again = want.calm ? retransmitted(fd) : 0;
	close(fd);
	if (request.flags & SRESET) {
		/* Half of it, then a reset. */
		if (in.error != ECONNRESET || in.done > request.down / 2)
			printf("client: wanted a reset, got %d\n", in.error);
		score(in.error == ECONNRESET && in.done <= request.down / 2);
		return NULL;
	}
	if (in.error || out.error || end || again)
		printf("client: in %d after %llu, out %d after %llu, end %d, retransmitted %d\n", in.error,
		       (unsigned long long)in.done, out.error, (unsigned long long)out.done, end, again);
	score(!in.error && !out.error && !end && !again);
	return NULL;
}

static int reset_or_vanish(const char *option)
{
	return !strcmp(option, "reset") || !strcmp(option, "vanish");
}

int client(int argc, char **argv)
{
	pthread_t *threads;
	pthread_attr_t attr;
	double start;

	signal(SIGPIPE, SIG_IGN);
	want.host = argv[2];
	want.port = atoi(argv[3]);
	want.conns = 1;
	for (int i = 4; i < argc; i++) {
		sscanf(argv[i], "up=%lu", &want.request.up);
		sscanf(argv[i], "down=%lu", &want.request.down);
		sscanf(argv[i], "conns=%d", &want.conns);
		sscanf(argv[i], "skip=%d", &want.skip);
		sscanf(argv[i], "idle=%d", &want.idle);
		sscanf(argv[i], "pace=%d", &want.pace);
		sscanf(argv[i], "wait=%d", &want.wait);
		sscanf(argv[i], "port=%d", &want.from);
		sscanf(argv[i], "until=%31s", want.request.until);
		sscanf(argv[i], "unread=%31s", want.unread);
		sscanf(argv[i], "mss=%d", &want.mss);
		sscanf(argv[i], "isn=%u", &want.isn);
		want.urgent |= !strcmp(argv[i], "urgent");
		want.wrap |= !strcmp(argv[i], "wrap");
		want.vanish |= !strcmp(argv[i], "vanish");
		want.calm |= !strcmp(argv[i], "calm");
		want.options |= !strcmp(argv[i], "ipoptions");
		want.request.flags |= (!strcmp(argv[i], "half") ? HALF : 0) | (reset_or_vanish(argv[i]) ? RESET : 0) |
				      (!strcmp(argv[i], "sreset") ? SRESET : 0) | (!strcmp(argv[i], "slow") ? SLOW : 0) |
				      (!strcmp(argv[i], "meet") ? MEET : 0) | (!strcmp(argv[i], "urgent") ? URGENT : 0);
	}
	threads = calloc(want.conns, sizeof(*threads));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	start = now();
	for (int i = 0; i < want.conns; i++)
		if (pthread_create(&threads[i], &attr, run_client, (void *)(intptr_t)i))
			die("thread");
	for (int i = 0; i < want.conns; i++)
		pthread_join(threads[i], NULL);
	start = now() - start;
	printf("%s %d good %d bad, %.2f s, %.0f Mbit/s\n", bad ? "FAILED" : "ok", good, bad, start,
	       8e-6 * good * (want.request.up + want.request.down) / start);
	return bad != 0;
}
