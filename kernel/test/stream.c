// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Streams whose bytes are known, and the sockets that carry them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"

void die(const char *what)
{
	printf("FAILED %s: %s\n", what, strerror(errno));
	exit(1);
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint8_t byte_at(uint64_t p, uint32_t seed)
{
	uint64_t word = (p >> 3) * 0x9e3779b97f4a7c15ull + seed;

	return (word ^ word >> 29) >> (8 * (p & 7));
}

void fill(uint8_t *to, uint64_t p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		to[i] = byte_at(p + i, seed);
}

static int64_t wrong(const uint8_t *from, uint64_t p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		if (from[i] != byte_at(p + i, seed))
			return p + i;
	}
	return -1;
}

void *sender(void *arg)
{
	struct job *job = arg;
	uint8_t *buffer = malloc(CHUNK);

	if (job->until)
		wait_for(job->until);
	while (job->done < job->bytes) {
		size_t n = job->bytes - job->done < CHUNK ? job->bytes - job->done : CHUNK;
		ssize_t sent;

		fill(buffer, job->done, n, job->seed);
		sent = send(job->fd, buffer, n, MSG_NOSIGNAL);
		if (sent <= 0) {
			job->error = errno;
			break;
		}
		job->done += sent;
		if (job->pace)
			usleep(job->pace * 1000);
	}
	if (!job->error && job->shut)
		shutdown(job->fd, SHUT_WR);
	free(buffer);
	return NULL;
}

void *receiver(void *arg)
{
	struct job *job = arg;
	uint8_t *buffer = malloc(CHUNK);

	while (job->done < job->bytes) {
		size_t n = job->bytes - job->done < CHUNK ? job->bytes - job->done : CHUNK;
		ssize_t got = recv(job->fd, buffer, n, 0);
		int64_t at;

		if (got <= 0) {
			job->error = got < 0 ? errno : -2;
			break;
		}
		at = wrong(buffer, job->done, got, job->seed);
		if (at >= 0) {
			printf("WRONG BYTE at %lld\n", (long long)at);
			job->error = -1;
			break;
		}
		job->done += got;
	}
	free(buffer);
	return NULL;
}

int read_all(int fd, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = recv(fd, (char *)to + done, n - done, 0);

		if (got <= 0)
			return -1;
		done += got;
	}
	return 0;
}

int write_all(int fd, const void *from, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(fd, (const char *)from + done, n - done, MSG_NOSIGNAL);

		if (sent <= 0)
			return -1;
		done += sent;
	}
	return 0;
}

void wait_for(const char *file)
{
	while (file[0] && access(file, F_OK))
		usleep(20000);
}

void reset(int fd)
{
	struct linger none = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

int listen_on(int port, const char *device)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1, off = 0;
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &off, sizeof(off));
	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device)))
		die("listen: device");
	if (bind(fd, (void *)&any, sizeof(any)) || listen(fd, 4096))
		die("listen");
	return fd;
}

int family_of(const char *host)
{
	return strchr(host, ':') ? AF_INET6 : AF_INET;
}

int connect_fd(int fd, const char *host, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (family_of(host) == AF_INET6) {
		inet_pton(AF_INET6, host, &six.sin6_addr);
		return connect(fd, (void *)&six, sizeof(six));
	}
	inet_pton(AF_INET, host, &four.sin_addr);
	return connect(fd, (void *)&four, sizeof(four));
}

/* For a connection to `host`. */
void bind_port(int fd, const char *host, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, err;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	err = family_of(host) == AF_INET6 ? bind(fd, (void *)&six, sizeof(six)) : bind(fd, (void *)&four, sizeof(four));
	if (err)
		die("bind");
}
