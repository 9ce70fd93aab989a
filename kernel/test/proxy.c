// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab proxy: carries what it is told to, splices, and goes; or does what a process must not. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"

static struct {
	const char *server;
	int server_port;
	uint64_t after;
	uint32_t reply, late, idle, insist, mark, isn;
	char device[16], listen[16], until[32];
	int fin, intend, open, stall, retry, twice, again, keep, shutread, early, read, linger, die;
} options;

static int stalled;

static struct family family;

/* A request of one thread. */
struct request_of {
	int nl;
	struct pair pair;
};

static int ask(const struct request_of *request, int cmd)
{
	return ask_pair(request->nl, family.id, cmd, &request->pair);
}

static void *ask_splice(void *arg)
{
	return (void *)(intptr_t)ask(arg, SYMSPLICE_CMD_SPLICE);
}

/* Both at the same time: one must be told yes. */
static int splice_twice(const struct request_of *request)
{
	struct request_of other = *request;
	pthread_t thread;
	void *second;
	int first;

	other.nl = netlink_socket();
	if (pthread_create(&thread, NULL, ask_splice, &other))
		die("thread");
	first = ask(request, SYMSPLICE_CMD_SPLICE);
	pthread_join(thread, &second);
	close(other.nl);
	if (!first == !(intptr_t)second)
		printf("splice: twice, %d and %d\n", first, (int)(intptr_t)second);
	return first && (intptr_t)second ? first : 0;
}

/* Carries until so many bytes have passed, or `ends` streams have ended: 0, or 1 on an error. */
static int carry(const struct pair *pair, uint64_t most, int ends)
{
	static __thread char buffer[16384];
	int fds[2] = { pair->client, pair->server }, from[2] = { fds[0], fds[1] }, ended = 0;
	uint64_t done = 0;

	while (done < most && ended < ends) {
		struct pollfd both[2] = { { from[0], POLLIN, 0 }, { from[1], POLLIN, 0 } };

		poll(both, 2, -1);
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (!both[i].revents)
				continue;
			n = recv(both[i].fd, buffer, sizeof(buffer), MSG_DONTWAIT);
			if (n < 0 && errno == EAGAIN)
				continue;
			if (n == 0) {
				/* The other stream goes on. */
				shutdown(fds[i ^ 1], SHUT_WR);
				from[i] = -1;
				ended++;
				continue;
			}
			if (n < 0 || write_all(fds[i ^ 1], buffer, n))
				return 1;
			done += n;
		}
	}
	return 0;
}

/* It must not; what is wanted of the module is that nothing worse comes of it. */
static void misuse(const struct pair *pair)
{
	char byte;
	int got;

	while (options.read && recv(pair->client, &byte, 1, 0) > 0)
		;
	while ((got = recv(pair->client, &byte, 1, MSG_PEEK)) > 0)
		usleep(10000);
	printf("kept descriptor: %s\n", got ? strerror(errno) : "end");
}

static int connect_server(int fd)
{
	/* Nobody listens at port 9. */
	if (options.retry && (!connect_fd(fd, options.server, 9) || errno != ECONNREFUSED))
		die("retry");
	/* The kernel may choose the port of a released flow, of which it knows nothing; the module has it told at once
	 * (docs/module.md). The engine's ports are out of its reach; here another one is tried.
	 */
	for (int tries = 0; tries < 3; tries++) {
		if (!connect_fd(fd, options.server, options.server_port))
			return 0;
		if (errno != ECONNREFUSED)
			return -1;
	}
	return connect_fd(fd, options.server, options.server_port);
}

static void prepare(const struct pair *pair)
{
	struct linger hour = { 1, 3600 };

	if (options.linger) {
		setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour));
		setsockopt(pair->server, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour));
	}
	if (options.isn)
		begin_at(pair->server, options.isn);
	if (options.mark && setsockopt(pair->server, SOL_SOCKET, SO_MARK, &options.mark, sizeof(options.mark)))
		die("mark");
	if (options.device[0] &&
	    setsockopt(pair->server, SOL_SOCKET, SO_BINDTODEVICE, options.device, strlen(options.device)))
		die("device");
}

/* Of what is spliced already, or has been; and the other way round. */
static void splice_again(const struct request_of *request)
{
	struct request_of other = *request;

	other.pair.client = request->pair.server;
	other.pair.server = request->pair.client;
	for (int i = 0; i < 25; i++) {
		int same = ask(request, SYMSPLICE_CMD_SPLICE), swapped = ask(&other, SYMSPLICE_CMD_SPLICE);

		if (same <= 0 || swapped <= 0)
			printf("splice: again, %d and %d\n", same, swapped);
		usleep(2000);
	}
}

static int splice(const struct request_of *request)
{
	int answer = 0;

	if (options.twice)
		return splice_twice(request);
	for (uint32_t i = 0; i < (options.insist ? options.insist : 1); i++) {
		answer = ask(request, SYMSPLICE_CMD_SPLICE);
		if (!answer)
			break;
	}
	return answer;
}

static void *serve_proxy(void *arg)
{
	struct request_of request = {
		.nl = netlink_socket(),
		.pair = {
			.client = (int)(intptr_t)arg,
			.server = socket(family_of(options.server), SOCK_STREAM, 0),
			.len = options.late,
			.idle = options.idle,
			.open = options.open,
		},
	};
	const struct pair *pair = &request.pair;
	char reply[4096];
	int answer;

	memset(reply, 'r', sizeof(reply));
	prepare(pair);
	if (options.intend) {
		answer = ask(&request, SYMSPLICE_CMD_INTEND);
		if (answer)
			printf("intend: %d\n", answer);
	}
	if (options.stall && !__atomic_fetch_add(&stalled, 1, __ATOMIC_SEQ_CST)) {
		ask(&request, SYMSPLICE_CMD_INTEND);
		for (;;)
			pause();
	}
	if (connect_server(pair->server)) {
		printf("connect: %s\n", strerror(errno));
		goto out;
	}
	if ((options.after || options.fin) && carry(pair, options.after ? options.after : ~0ull, options.fin ? 1 : 2))
		goto out;
	if (options.reply)
		write_all(pair->client, reply, options.reply - options.late);
	if (options.shutread && options.early)
		shutdown(pair->client, SHUT_RD);
	answer = splice(&request);
	if (options.shutread && !options.early)
		shutdown(pair->client, SHUT_RD);
	if (answer)
		printf("splice: %d\n", answer);
	if (options.again && !answer)
		splice_again(&request);
	if (options.die)
		kill(getpid(), SIGKILL);
	if (options.late) {
		usleep(20000);
		wait_for(options.until);
		write_all(pair->client, reply, options.late);
	}
	if (options.insist && answer)
		carry(pair, ~0ull, 2);
	if (options.keep && !answer)
		misuse(pair);
out:
	close(pair->client);
	close(pair->server);
	close(request.nl);
	return NULL;
}

void proxy(int argc, char **argv)
{
	pthread_attr_t attr;
	int nl, listener;

	signal(SIGPIPE, SIG_IGN);
	options.server = argv[3];
	options.server_port = atoi(argv[4]);
	for (int i = 5; i < argc; i++) {
		sscanf(argv[i], "after=%lu", &options.after);
		sscanf(argv[i], "reply=%u", &options.reply);
		sscanf(argv[i], "late=%u", &options.late);
		sscanf(argv[i], "idle=%u", &options.idle);
		sscanf(argv[i], "insist=%u", &options.insist);
		sscanf(argv[i], "mark=%u", &options.mark);
		sscanf(argv[i], "isn=%u", &options.isn);
		sscanf(argv[i], "until=%31s", options.until);
		sscanf(argv[i], "device=%15s", options.device);
		sscanf(argv[i], "listen=%15s", options.listen);
		options.fin |= !strcmp(argv[i], "fin");
		options.intend |= !strcmp(argv[i], "intend");
		options.open |= !strcmp(argv[i], "open");
		options.stall |= !strcmp(argv[i], "stall");
		options.retry |= !strcmp(argv[i], "retry");
		options.twice |= !strcmp(argv[i], "twice");
		options.again |= !strcmp(argv[i], "again");
		options.keep |= !strcmp(argv[i], "keep");
		options.shutread |= !strcmp(argv[i], "shutread");
		options.early |= !strcmp(argv[i], "early");
		options.read |= !strcmp(argv[i], "read");
		options.linger |= !strcmp(argv[i], "linger");
		options.die |= !strcmp(argv[i], "die");
	}
	nl = netlink_socket();
	family = find_family(nl);
	listener = listen_on(atoi(argv[2]), options.listen[0] ? options.listen : NULL);
	errno = -ask_init(nl, family.id, listener);
	if (errno)
		die("init_splice");
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		pthread_t thread;
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0 && pthread_create(&thread, &attr, serve_proxy, (void *)(intptr_t)fd))
			die("thread");
	}
}
