// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What the module's tests in the VM run: a proxy that splices, a server, a client, and a control tool,
 * in one static program without libraries.
 *
 *   lab proxy PORT SERVER SERVER-PORT [OPTION...]
 *	after=N    carry N bytes in user space first, then splice in the middle of it
 *	reply=N    N bytes are written to the client, LEN of them behind splice()
 *	late=N     ... of which N behind it
 *	intend     intend_splice() before connect
 *	keep       keep the descriptors; else they are closed at once
 *	die        SIGKILL right behind splice()
 *	once       do not splice again what was refused: print the answer and close
 *   lab server PORT
 *   lab client HOST PORT up=N down=N [conns=N] [half] [reset] [skip=N] [slow] [idle=SECONDS] [pace=MS]
 *	[wait=MS] [sreset] [ipoptions]
 *   lab ctl stats | flows | count | abort [ID] | events N	with LAB_NOBODY set: as user 65534
 *
 * A client begins with a request: how many bytes will come, how many it wants, and how. Byte p of a
 * stream is a function of p and the stream's seed, and both ends check every one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <splice/packet.h>
#include <splice/packet-counters.h>

#include "../uapi/symsplice.h"

#define CHUNK (64 << 10)
#define HALF 1	/* the server waits for the end of the client's stream before it sends */
#define RESET 2 /* the client resets when it has half of what it wants */
#define SRESET 4 /* the server resets when it has sent half */
#define SLOW 8	/* the server sends everything before it reads */

struct request {
	uint64_t up, down;
	uint32_t flags, seed;
};

static void die(const char *what)
{
	printf("FAILED %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* ---- streams ---- */

static uint8_t byte_at(uint64_t p, uint32_t seed)
{
	uint64_t word = (p >> 3) * 0x9e3779b97f4a7c15ull + seed;

	return (word ^ word >> 29) >> (8 * (p & 7));
}

static void fill(uint8_t *to, uint64_t p, size_t n, uint32_t seed)
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

struct job {
	int fd;
	uint64_t bytes, most;
	uint32_t seed;
	int error;	/* errno, or -1: a wrong byte, -2: the end too early */
	uint64_t done;
	int shut;
	int pace;
};

static void *sender(void *arg)
{
	struct job *job = arg;
	uint8_t *buffer = malloc(CHUNK);

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

static void *receiver(void *arg)
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

static int read_all(int fd, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = recv(fd, (char *)to + done, n - done, 0);

		if (got <= 0)
			return -1;
		done += got;
	}
	return 0;
}

static int write_all(int fd, const void *from, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(fd, (const char *)from + done, n - done, MSG_NOSIGNAL);

		if (sent <= 0)
			return -1;
		done += sent;
	}
	return 0;
}

static void reset(int fd)
{
	struct linger none = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

static int listen_on(int port)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1, off = 0;
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &off, sizeof(off));
	if (bind(fd, (void *)&any, sizeof(any)) || listen(fd, 4096))
		die("listen");
	return fd;
}

static int family_of(const char *host)
{
	return strchr(host, ':') ? AF_INET6 : AF_INET;
}

static int connect_fd(int fd, const char *host, int port)
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

/* ---- generic netlink ---- */

struct ask {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char room[512];
};

static int netlink_socket(void)
{
	struct sockaddr_nl us = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0 || bind(fd, (void *)&us, sizeof(us)))
		die("netlink");
	return fd;
}

static void begin(struct ask *ask, int type, int cmd, int version)
{
	memset(ask, 0, sizeof(*ask));
	ask->nl.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	ask->nl.nlmsg_type = type;
	ask->nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ask->genl.cmd = cmd;
	ask->genl.version = version;
}

static void put(struct ask *ask, int type, const void *value, size_t size)
{
	struct nlattr *attr = (void *)((char *)ask + NLMSG_ALIGN(ask->nl.nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + size;
	memcpy((char *)attr + NLA_HDRLEN, value, size);
	ask->nl.nlmsg_len = NLMSG_ALIGN(ask->nl.nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

static void put32(struct ask *ask, int type, uint32_t value)
{
	put(ask, type, &value, sizeof(value));
}

typedef void on_attr(int type, void *value, int size, void *context);

static void each_attr(void *at, int left, on_attr *on, void *context)
{
	while (left >= NLA_HDRLEN) {
		struct nlattr *attr = at;

		on(attr->nla_type & NLA_TYPE_MASK, (char *)at + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN, context);
		at = (char *)at + NLA_ALIGN(attr->nla_len);
		left -= NLA_ALIGN(attr->nla_len);
	}
}

/* 0 or -errno. */
static int talk(int fd, struct ask *ask, on_attr *on, void *context)
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

struct family {
	uint16_t id;
	uint32_t group;
};

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

static struct family find_family(int fd)
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

/* ---- proxy ---- */

static struct {
	const char *server;
	int server_port;
	uint64_t after;
	uint32_t reply, late, idle;
	int intend, keep, once, die;
} options;

static struct family family;
static int listener;

/* Answer of the module, or -errno. */
static int ask_pair(int nl, int cmd, int client, int server, uint32_t len)
{
	struct answer answer = { -1, 0 };
	struct ask ask;
	int error;

	begin(&ask, family.id, cmd, 1);
	put32(&ask, SYMSPLICE_A_CLIENT, client);
	put32(&ask, SYMSPLICE_A_SERVER, server);
	if (cmd == SYMSPLICE_CMD_SPLICE) {
		put32(&ask, SYMSPLICE_A_LEN, len);
		put32(&ask, SYMSPLICE_A_IDLE, options.idle);
	}
	error = talk(nl, &ask, on_answer, &answer);
	return error ? error : answer.answer;
}

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
	char reply[4096];

	memset(reply, 'r', sizeof(reply));
	if (options.intend) {
		answer = ask_pair(nl, SYMSPLICE_CMD_INTEND, client, server, 0);
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
	answer = ask_pair(nl, SYMSPLICE_CMD_SPLICE, client, server, options.late);
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

static void proxy(int argc, char **argv)
{
	pthread_attr_t attr;
	struct ask ask;
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
	begin(&ask, family.id, SYMSPLICE_CMD_INIT, 1);
	put32(&ask, SYMSPLICE_A_LISTENER, listener);
	if ((errno = -talk(nl, &ask, NULL, NULL)))
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

/* ---- server ---- */

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

static void server(int port)
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

/* ---- client ---- */

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

static int client(int argc, char **argv)
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

/* ---- control ---- */

static void on_stats(int type, void *value, int size, void *context)
{
	static const char *const packet[] = {
#define NAME(name, value) [value] = #name,
		SPLICE_PACKET_COUNTERS(NAME)
	};
	static const char *const more[] = { SYMSPLICE_COUNTERS(NAME) };
	static const char *const states[] = { SPLICE_SIDE_STATES(NAME) };
	static const char *const events[] = { SPLICE_SIDE_EVENTS(NAME) };
	uint64_t n;

	for (int i = 0; i < size / 8; i++) {
		memcpy(&n, (char *)value + 8 * i, 8);
		if (!n)
			continue;
		if (type == SYMSPLICE_A_COUNTERS)
			printf("%s=%llu ", packet[i], (unsigned long long)n);
		if (type == SYMSPLICE_A_MORE)
			printf("%s=%llu ", more[i], (unsigned long long)n);
		if (type == SYMSPLICE_A_EDGES)
			printf("%s/%s=%llu ", states[i / SPLICE_SIDE_EVENTS_MAX], events[i % SPLICE_SIDE_EVENTS_MAX],
			       (unsigned long long)n);
	}
	if (type == SYMSPLICE_A_FLOWS)
		printf("flows=%u ", *(uint32_t *)value);
}

static int phases[8];

static void on_flow(int type, void *value, int size, void *context)
{
	struct splice_flow_slot slot;

	if (type != SYMSPLICE_A_FLOW)
		return;
	memcpy(&slot, value, sizeof(slot));
	phases[slot.phase & 7]++;
	if (context)
		printf("phase %u reason %u family %u states %u %u bytes %llu %llu segments %u %u flags %x %x\n", slot.phase,
		       slot.reason, slot.family, slot.leg[0].state, slot.leg[1].state, (unsigned long long)slot.leg[0].bytes,
		       (unsigned long long)slot.leg[1].bytes, slot.leg[0].segments, slot.leg[1].segments,
		       slot.leg[0].flags, slot.leg[1].flags);
}

static void on_event(int type, void *value, int size, void *context)
{
	uint64_t wide = 0;

	memcpy(&wide, value, size < 8 ? size : 8);
	if (type == SYMSPLICE_A_EVENT)
		printf("event %u", (unsigned int)wide);
	if (type == SYMSPLICE_A_REASON)
		printf(" reason %u", (unsigned int)wide);
	if (type == SYMSPLICE_A_BYTES_UP)
		printf(" up %llu", (unsigned long long)wide);
	if (type == SYMSPLICE_A_BYTES_DOWN)
		printf(" down %llu\n", (unsigned long long)wide);
}

static int ctl(int argc, char **argv)
{
	int fd, error = 0;
	const char *what = argc > 2 ? argv[2] : "";
	struct ask ask;

	if (getenv("LAB_NOBODY") && setuid(65534))
		die("setuid");
	fd = netlink_socket();
	family = find_family(fd);
	if (!strcmp(what, "stats")) {
		begin(&ask, family.id, SYMSPLICE_CMD_GET_STATS, 1);
		error = talk(fd, &ask, on_stats, NULL);
		printf("\n");
	} else if (!strcmp(what, "flows") || !strcmp(what, "count")) {
		begin(&ask, family.id, SYMSPLICE_CMD_GET_FLOW, 1);
		ask.nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		error = talk(fd, &ask, on_flow, !strcmp(what, "flows") ? "" : NULL);
		printf("intents %d transit %d released %d ended %d\n", phases[0], phases[1], phases[2], phases[3]);
	} else if (!strcmp(what, "abort")) {
		uint64_t id = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

		begin(&ask, family.id, SYMSPLICE_CMD_ABORT, 1);
		if (id)
			put(&ask, SYMSPLICE_A_ID, &id, 8);
		error = talk(fd, &ask, NULL, NULL);
	} else if (!strcmp(what, "events")) {
		char buffer[32768];

		setsockopt(fd, 270 /* SOL_NETLINK */, NETLINK_ADD_MEMBERSHIP, &family.group, 4);
		for (int left = argc > 3 ? atoi(argv[3]) : 1; left > 0; left--) {
			struct nlmsghdr *nl = (void *)buffer;

			if (recv(fd, buffer, sizeof(buffer), 0) > 0)
				each_attr((char *)NLMSG_DATA(nl) + GENL_HDRLEN,
					  nl->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN), on_event, NULL);
			fflush(stdout);
		}
	}
	if (error)
		printf("ctl %s: %s\n", what, strerror(-error));
	return error != 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "proxy"))
		proxy(argc, argv);
	if (argc >= 3 && !strcmp(argv[1], "server"))
		server(atoi(argv[2]));
	if (argc >= 5 && !strcmp(argv[1], "client"))
		return client(argc, argv);
	if (argc >= 3 && !strcmp(argv[1], "ctl"))
		return ctl(argc, argv);
	fprintf(stderr, "usage: lab proxy|server|client|ctl ...\n");
	return 2;
}
