// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab server: does what the request at the beginning of a connection asks for. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"

static void on_urgent(int signal)
{
	static const char said[] = "server: urgent\n";

	if (write(STDOUT_FILENO, said, sizeof(said) - 1) < 0)
		_exit(1);
}

/* Urgent bytes stay where they are in the stream. */
static void hear_urgent(int fd)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) || fcntl(fd, F_SETOWN, getpid()))
		die("urgent");
}

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
	if (request.flags & URGENT)
		hear_urgent(fd);
	in.bytes = request.up;
	in.seed = request.seed;
	out.bytes = request.flags & SRESET ? request.down / 2 : request.down;
	out.seed = request.seed + 1;
	out.shut = !(request.flags & SRESET);
	out.until = request.flags & MEET ? request.until : NULL;
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
		wait_for(request.until);
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
	int fd = listen_on(port, NULL);
	pthread_attr_t attr;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGURG, on_urgent);
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
