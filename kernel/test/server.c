// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab server: does what the request at the beginning of a connection asks for. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct request request;
	struct job in = { .fd = fd }, out = { .fd = fd };
	pthread_t thread;
	char byte;

	if (read_all(fd, &request, sizeof(request))) {
		close(fd);
		return NULL;
	}
	in.bytes = request.up;
	in.seed = request.seed;
	out.bytes = request.flags & SRESET ? request.down / 2 : request.down;
	out.seed = request.seed + 1;
	out.shut = !(request.flags & SRESET);
	if (request.flags & HALF) {
		receiver(&in);
		if (!in.error && recv(fd, &byte, 1, 0) != 0)
			in.error = -3;
		if (!in.error)
			sender(&out);
	} else if (request.flags & SLOW) {
		sender(&out);
		receiver(&in);
	} else {
		pthread_create(&thread, NULL, sender, &out);
		receiver(&in);
		pthread_join(thread, NULL);
	}
	if (request.flags & SRESET) {
		usleep(100000);
		reset(fd);
		return NULL;
	}
	if ((in.error || out.error) && !(request.flags & RESET))
		printf("server: in %d after %llu, out %d after %llu\n", in.error, (unsigned long long)in.done, out.error,
		       (unsigned long long)out.done);
	if (request.flags & RESET)
		printf("server saw: in %d out %d\n", in.error, out.error);
	/* The client's end, too. */
	if (!(request.flags & (HALF | RESET)))
		recv(fd, &byte, 1, 0);
	close(fd);
	return NULL;
}

void server(int port)
{
	int fd = listen_on(port);
	pthread_attr_t attr;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (;;) {
		pthread_t thread;
		int conn = accept(fd, NULL, NULL);

		if (conn >= 0 && pthread_create(&thread, &attr, serve, (void *)(intptr_t)conn))
			die("thread");
	}
}
