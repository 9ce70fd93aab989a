// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* lab cycles MODULE PARAMETERS ROUNDS FLOWS: loads the module, makes flows, unloads the module; so many times. One thread
 * plays all three hosts (sockets belong to the namespace in which they were made, wherever the thread goes
 * later), so that it knows at each step what must be true:
 *
 *   while there are flows, unloading is refused, in whichever phase they are;
 *   bytes pass in both directions, before the release and behind it;
 *   flows end by ABORT, which both peers hear as a reset; or by a FIN of each peer;
 *   then the module goes.
 *
 * Rounds differ in how far their flows come. Ends at the first thing that is not so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <splice/packet.h>

#include "lab.h"

#define PORT 1081
#define SERVER_PORT 7001
#define OWN_PORTS 10000
#define BYTES 500

enum how {
	IN_TRANSIT,	/* aborted right behind splice() */
	RELEASED,	/* aborted when no socket is left of them */
	ORDERLY,	/* ended by their peers; what waits for late segments then is aborted */
	FORGOTTEN,	/* ... and waited for */
};

/* The peers' sockets of a flow. */
struct flow {
	int client, server;
};

static void enter(const char *host)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", host);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(host);
	close(fd);
}

static void load(const char *module, const char *parameters)
{
	int fd = open(module, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		die("loading");
	close(fd);
}

static int try_unload(void)
{
	return syscall(SYS_delete_module, "symsplice", O_NONBLOCK) ? errno : 0;
}

/* Flows that were ended are freed after a grace period. The limit bounds a failure. */
static void unload(void)
{
	double limit = now() + 60;

	while ((errno = try_unload())) {
		if (errno != EWOULDBLOCK || now() > limit)
			die("unloading");
		usleep(1000);
	}
}

static void send_known(int fd, uint32_t seed)
{
	struct job out = { .fd = fd, .bytes = BYTES, .seed = seed };

	sender(&out);
	errno = out.error;
	if (errno)
		die("sending");
}

static void read_known(int fd, uint32_t seed)
{
	struct job in = { .fd = fd, .bytes = BYTES, .seed = seed };

	receiver(&in);
	errno = in.error > 0 ? in.error : 0;
	if (in.error)
		die("receiving");
}

/* All send before anybody reads. */
static void exchange(const struct flow *flows, int count, uint32_t seed)
{
	for (int i = 0; i < count; i++) {
		send_known(flows[i].client, seed + i);
		send_known(flows[i].server, seed - i);
	}
	for (int i = 0; i < count; i++) {
		read_known(flows[i].server, seed + i);
		read_known(flows[i].client, seed - i);
	}
}

/* 0: a FIN. */
static void hears(int fd, int wanted, const char *what)
{
	struct timeval limit = { .tv_sec = 60 };
	char byte;
	int got;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	got = recv(fd, &byte, 1, 0);

	errno = got < 0 ? errno : 0;
	if (got > 0 || errno != wanted)
		die(what);
}

static void until(int nl, int family, int phase, int wanted)
{
	double limit = now() + 60;
	int phases[PHASES];

	for (;;) {
		errno = -count_phases(nl, family, phases);
		if (errno)
			die("GET_FLOW");
		if (phases[phase] == wanted)
			return;
		if (now() > limit)
			die("a phase does not come");
		usleep(2000);
	}
}

/* A released flow has no socket, and the kernel would give its port to the next connection: so none of its range. */
static void bind_own(int fd, int number)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(OWN_PORTS + number) };

	if (bind(fd, (void *)&own, sizeof(own)))
		die("bind");
}

static void open_flow(struct flow *flow, int number, int nl, int family, int listener, int server_listener)
{
	struct pair pair = {};
	int answer;

	enter("cli");
	flow->client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect_fd(flow->client, "10.99.1.2", PORT))
		die("connect to the proxy");
	enter("prx");
	pair.client = accept(listener, NULL, NULL);
	pair.server = socket(AF_INET, SOCK_STREAM, 0);
	bind_own(pair.server, number);
	if (connect_fd(pair.server, "10.99.2.3", SERVER_PORT))
		die("connect to the server");
	enter("srv");
	flow->server = accept(server_listener, NULL, NULL);
	if (pair.client < 0 || flow->server < 0)
		die("accept");
	answer = ask_pair(nl, family, SYMSPLICE_CMD_SPLICE, &pair);
	if (answer) {
		printf("answer %d\n", answer);
		die("SPLICE");
	}
	close(pair.client);
	close(pair.server);
}

static void end_flows(enum how how, const struct flow *flows, int count, int nl, int family)
{
	if (how == IN_TRANSIT || how == RELEASED) {
		errno = -ask_abort(nl, family, 0);
		if (errno)
			die("ABORT");
		for (int i = 0; i < count; i++) {
			hears(flows[i].client, ECONNRESET, "a reset at the client");
			hears(flows[i].server, ECONNRESET, "a reset at the server");
			close(flows[i].server);
		}
	} else {
		for (int i = 0; i < count; i++)
			shutdown(flows[i].client, SHUT_WR);
		for (int i = 0; i < count; i++) {
			hears(flows[i].server, 0, "the client's FIN");
			close(flows[i].server);
		}
		for (int i = 0; i < count; i++)
			hears(flows[i].client, 0, "the server's FIN");
		until(nl, family, SPLICE_PHASE_RELEASED, 0);
		if (how == FORGOTTEN)
			until(nl, family, SPLICE_PHASE_ENDED, 0);
		else
			errno = -ask_abort(nl, family, 0);
		if (errno)
			die("ABORT of what waits");
	}
	for (int i = 0; i < count; i++)
		close(flows[i].client);
}

static void round_of(enum how how, struct flow *flows, int count, int listener, int server_listener)
{
	struct family family;
	int nl;

	enter("prx");
	nl = netlink_socket();
	family = find_family(nl);
	errno = -ask_init(nl, family.id, listener);
	if (errno)
		die("INIT");
	for (int i = 0; i < count; i++)
		open_flow(&flows[i], i, nl, family.id, listener, server_listener);
	if (try_unload() != EWOULDBLOCK)
		die("unloading is not refused");
	if (how != IN_TRANSIT) {
		exchange(flows, count, 1);
		until(nl, family.id, SPLICE_PHASE_RELEASED, count);
		exchange(flows, count, 2);
		if (try_unload() != EWOULDBLOCK)
			die("unloading is not refused when flows are released");
	}
	end_flows(how, flows, count, nl, family.id);
	close(nl);
}

int cycles(int argc, char **argv)
{
	int rounds = atoi(argv[4]), count = atoi(argv[5]), listener, server_listener;
	struct flow *flows = calloc(count, sizeof(*flows));
	double start = now();

	enter("prx");
	listener = listen_on(PORT, NULL);
	enter("srv");
	server_listener = listen_on(SERVER_PORT, NULL);
	for (int i = 0; i < rounds; i++) {
		load(argv[2], argv[3]);
		round_of(i % 50 == 49 ? FORGOTTEN : i % 3, flows, count, listener, server_listener);
		unload();
	}
	printf("ok %d rounds of %d flows, %.2f s\n", rounds, count, now() - start);
	return 0;
}
