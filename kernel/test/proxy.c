// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab proxy: carries what it is told to, splices, and goes. */
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
	uint32_t reply, late, idle;
	int intend, keep, once, die;
} options;

static struct family family;
static int listener;

/* Carries bytes until so many have passed; 0, or 1 when a stream ended. */
static int carry(int a, int b, uint64_t most)
{
	static __thread char buffer[16384];
	uint64_t done = 0;
	int ended = 0, fds[2] = { a, b };

	while (done < most && ended < 2) {
		struct pollfd both[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
		int to[2] = { fds[1], fds[0] };

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
				shutdown(to[i], SHUT_WR);
				*(i ? &b : &a) = -1;
				ended++;
				continue;
			}
			if (n < 0 || write_all(to[i], buffer, n))
				return 1;
			done += n;
		}
	}
	return 0;
}

static void *serve_proxy(void *arg)
{
	int client = (int)(intptr_t)arg, nl = netlink_socket(), answer;
	int server = socket(family_of(options.server), SOCK_STREAM, 0);
	struct pair pair = { client, server, options.late, options.idle };
	char reply[4096];

	memset(reply, 'r', sizeof(reply));
	if (options.intend) {
		answer = ask_pair(nl, family.id, SYMSPLICE_CMD_INTEND, &pair);
		if (answer)
			printf("intend: %d\n", answer);
	}
	if (connect_fd(server, options.server, options.server_port)) {
		printf("connect: %s\n", strerror(errno));
		goto out;
	}
	if (options.after && carry(client, server, options.after))
		goto out;
	if (options.reply)
		write_all(client, reply, options.reply - options.late);
	answer = ask_pair(nl, family.id, SYMSPLICE_CMD_SPLICE, &pair);
	if (answer)
		printf("splice: %d\n", answer);
	if (options.die)
		kill(getpid(), SIGKILL);
	if (options.late) {
		usleep(20000);
		write_all(client, reply, options.late);
	}
	if (options.keep && !answer) {
		char byte;
		int got;

		while ((got = recv(client, &byte, 1, MSG_PEEK)) >= 0 && got != 0)
			usleep(10000);
		printf("kept descriptor: %s\n", got ? strerror(errno) : "end");
	}
out:
	close(client);
	close(server);
	close(nl);
	return NULL;
}

void proxy(int argc, char **argv)
{
	pthread_attr_t attr;
	int nl;

	signal(SIGPIPE, SIG_IGN);
	options.server = argv[3];
	options.server_port = atoi(argv[4]);
	for (int i = 5; i < argc; i++) {
		sscanf(argv[i], "after=%lu", &options.after);
		sscanf(argv[i], "reply=%u", &options.reply);
		sscanf(argv[i], "late=%u", &options.late);
		sscanf(argv[i], "idle=%u", &options.idle);
		options.intend |= !strcmp(argv[i], "intend");
		options.keep |= !strcmp(argv[i], "keep");
		options.die |= !strcmp(argv[i], "die");
		options.once |= !strcmp(argv[i], "once");
	}
	nl = netlink_socket();
	family = find_family(nl);
	listener = listen_on(atoi(argv[2]));
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
