// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab client: many connections at once, each with one request. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
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
	const char *host;
	int port, conns, skip, idle, pace, wait, options;
	struct request request;
} want;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int good, bad;

static void *run_client(void *arg)
{
	struct request request = want.request;
	struct job in = {}, out = {};
	int fd = socket(family_of(want.host), SOCK_STREAM, 0), end = 0;
	pthread_t thread;
	char byte, skipped[4096];

	request.seed = 1000 * (intptr_t)arg + getpid();
	if (want.options)
		setsockopt(fd, IPPROTO_IP, IP_OPTIONS, "\1\1\1\1", 4);
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
	if (write_all(fd, &request, sizeof(request))) {
		printf("client: request: %s\n", strerror(errno));
		goto failed;
	}
	in = (struct job){ .fd = fd, .bytes = request.down, .seed = request.seed + 1 };
	out = (struct job){ .fd = fd, .bytes = request.up, .seed = request.seed, .shut = 1, .pace = want.pace };
	if (request.flags & RESET) {
		in.bytes /= 2;
		receiver(&in);
		reset(fd);
		pthread_mutex_lock(&mutex);
		good += !in.error;
		bad += !!in.error;
		pthread_mutex_unlock(&mutex);
		return NULL;
	}
	if (want.idle) {
		uint64_t all = out.bytes;

		/* Something, then silence, then the rest. */
		out.bytes = all / 2;
		out.shut = 0;
		sender(&out);
		sleep(want.idle);
		out.bytes = all;
		out.shut = 1;
	}
	if (request.flags & SLOW) {
		pthread_create(&thread, NULL, sender, &out);
		receiver(&in);
		pthread_join(thread, NULL);
	} else {
		pthread_create(&thread, NULL, sender, &out);
		receiver(&in);
		pthread_join(thread, NULL);
	}
	if (!in.error)
		end = recv(fd, &byte, 1, 0);
	if (request.flags & SRESET) {
		/* Half of it, then a reset. */
		pthread_mutex_lock(&mutex);
		if (in.error == ECONNRESET && in.done <= request.down / 2)
			good++;
		else
			bad++, printf("client: wanted a reset, got %d\n", in.error);
		pthread_mutex_unlock(&mutex);
		close(fd);
		return NULL;
	}
	if (in.error || out.error || end) {
		printf("client: in %d after %llu, out %d after %llu, end %d\n", in.error, (unsigned long long)in.done,
		       out.error, (unsigned long long)out.done, end);
		goto failed;
	}
	close(fd);
	pthread_mutex_lock(&mutex);
	good++;
	pthread_mutex_unlock(&mutex);
	return NULL;
failed:
	close(fd);
	pthread_mutex_lock(&mutex);
	bad++;
	pthread_mutex_unlock(&mutex);
	return NULL;
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
		want.options |= !strcmp(argv[i], "ipoptions");
		want.request.flags |= (!strcmp(argv[i], "half") ? HALF : 0) | (!strcmp(argv[i], "reset") ? RESET : 0) |
				      (!strcmp(argv[i], "sreset") ? SRESET : 0) | (!strcmp(argv[i], "slow") ? SLOW : 0);
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
