// SPDX-License-Identifier: MIT
// One end of a TCP connection for what Node's sockets cannot do: urgent data, small buffers and segments, keepalive
// by the second, both ways at once to the byte. The bytes are a function of their position, so each end checks them.
//
//   peer
//
// Standard input, one line each, answered by one line of JSON, {"error": ...} when it failed:
//   connect HOST PORT [KEY=VALUE...]  listen HOST PORT [KEY=VALUE...]   rcvbuf, sndbuf, maxseg, port (the own one)
//   accept                   the next connection
//   socks HOST PORT          asks the SOCKS5 proxy at the other end for a connection
//   pump SEND RECEIVE        until so many bytes more were sent and received; ends early when the other side ends
//   urgent                   sends the next byte as urgent data
//   keepalive SECONDS        after so long without a word, and as often
//   fin  reset
//   info                     what the kernel counts
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* TCP repairs a loss by timers that double, and a repair may be lost as well: where every twentieth segment of each way
 * of each link is lost, more than 10 s of silence have been seen. This is only for a flow that will never move again.
 */
enum { BLOCK = 65536, ROW = 1 << 20, PATIENCE_MS = 150000 };

static int listener = -1, connection = -1;
static uint64_t sent, received;
static unsigned char *row; // the bytes from position 0 on; they repeat after ROW and a bit, by no power of two
static const uint64_t period = ROW - 17;

static void make_row(void)
{
	uint32_t x = 1;

	row = malloc(ROW + BLOCK);
	for (uint64_t i = 0; i < period; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		row[i] = x >> 8;
	}
	for (uint64_t i = period; i < ROW + BLOCK; i++)
		row[i] = row[i - period];
}

static int fail(const char *what)
{
	printf("{\"error\":\"%s: %s\"}\n", what, strerror(errno));
	return -1;
}

static int ok(void)
{
	printf("{}\n");
	return 0;
}

static socklen_t address_of(const char *host, const char *port, struct sockaddr_storage *storage)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;

	memset(storage, 0, sizeof *storage);
	if (strchr(host, ':') != NULL) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(atoi(port));
		inet_pton(AF_INET6, host, &v6->sin6_addr);
		return sizeof *v6;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(atoi(port));
	inet_pton(AF_INET, host, &v4->sin_addr);
	return sizeof *v4;
}

// Options that must be there before the handshake.
static int make_socket(int family)
{
	const int made = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(made, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
	setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	for (char *word; (word = strtok(NULL, " \n")) != NULL;) {
		char *value = strchr(word, '=');
		if (value == NULL)
			continue;
		*value++ = 0;
		const int number = atoi(value);
		if (strcmp(word, "rcvbuf") == 0)
			setsockopt(made, SOL_SOCKET, SO_RCVBUF, &number, sizeof number);
		else if (strcmp(word, "sndbuf") == 0)
			setsockopt(made, SOL_SOCKET, SO_SNDBUF, &number, sizeof number);
		else if (strcmp(word, "maxseg") == 0)
			setsockopt(made, IPPROTO_TCP, TCP_MAXSEG, &number, sizeof number);
		else if (strcmp(word, "port") == 0) {
			struct sockaddr_storage own;
			const socklen_t length = address_of(family == AF_INET6 ? "::" : "0.0.0.0", value, &own);
			if (bind(made, (struct sockaddr *)&own, length) < 0)
				fprintf(stderr, "peer: port %d: %s\n", number, strerror(errno));
		}
	}
	return made;
}

static int open_connection(const char *host, const char *port, int passive)
{
	struct sockaddr_storage address;
	const socklen_t length = address_of(host, port, &address);
	const int made = make_socket(address.ss_family);

	if (passive) {
		listener = made;
		if (bind(made, (struct sockaddr *)&address, length) < 0 || listen(made, 64) < 0)
			return fail("listen");
		return ok();
	}
	if (connection >= 0)
		close(connection);
	connection = made;
	sent = received = 0;
	if (connect(made, (struct sockaddr *)&address, length) < 0)
		return fail("connect");
	struct sockaddr_storage own;
	socklen_t own_length = sizeof own;
	getsockname(made, (struct sockaddr *)&own, &own_length);
	printf("{\"port\":%u}\n", ntohs(((struct sockaddr_in *)&own)->sin_port));
	return 0;
}

static int read_exactly(unsigned char *into, size_t length)
{
	return recv(connection, into, length, MSG_WAITALL) == (ssize_t)length ? 0 : -1;
}

static int ask_socks(const char *host, const char *port)
{
	unsigned char request[32] = { 5, 1, 0 }, reply[32];
	const int six = strchr(host, ':') != NULL;
	const size_t length = six ? 16 : 4;

	if (send(connection, request, 3, MSG_NOSIGNAL) != 3 || read_exactly(reply, 2) < 0)
		return fail("greeting");
	memcpy(request, six ? "\5\1\0\4" : "\5\1\0\1", 4);
	inet_pton(six ? AF_INET6 : AF_INET, host, request + 4);
	request[4 + length] = atoi(port) >> 8;
	request[5 + length] = atoi(port);
	if (send(connection, request, 6 + length, MSG_NOSIGNAL) < 0 || read_exactly(reply, 4) < 0 ||
	    read_exactly(reply + 4, reply[3] == 4 ? 18 : 6) < 0)
		return fail("request");
	printf("{\"code\":%u}\n", reply[1]);
	return 0;
}

static int pump(uint64_t to_send, uint64_t to_receive)
{
	static unsigned char block[BLOCK];
	const uint64_t send_end = sent + to_send, receive_end = received + to_receive;
	long long wrong = -1;
	const char *ended = "no";

	while (sent < send_end || received < receive_end) {
		struct pollfd polled = { .fd = connection };
		polled.events = (sent < send_end ? POLLOUT : 0) | (received < receive_end ? POLLIN : 0);
		const int woken = poll(&polled, 1, PATIENCE_MS);
		if (woken == 0) {
			ended = "stall";
			break;
		}
		if (received < receive_end && polled.revents & (POLLIN | POLLERR | POLLHUP)) {
			const uint64_t left = receive_end - received;
			const ssize_t n = recv(connection, block, left < BLOCK ? left : BLOCK, MSG_DONTWAIT);
			if (n == 0 || (n < 0 && errno != EAGAIN)) {
				ended = n == 0 ? "fin" : errno == ECONNRESET ? "reset" : strerror(errno);
				break;
			}
			if (n > 0 && wrong < 0 && memcmp(block, row + received % period, n) != 0)
				wrong = received;
			received += n > 0 ? n : 0;
		}
		if (sent < send_end && polled.revents & (POLLOUT | POLLERR | POLLHUP)) {
			const uint64_t left = send_end - sent;
			const ssize_t n = send(connection, row + sent % period, left < BLOCK ? left : BLOCK,
					       MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN) {
				ended = errno == ECONNRESET || errno == EPIPE ? "reset" : strerror(errno);
				break;
			}
			sent += n > 0 ? n : 0;
		}
	}
	printf("{\"sent\":%llu,\"received\":%llu,\"wrong\":%lld,\"ended\":\"%s\"}\n", (unsigned long long)sent,
	       (unsigned long long)received, wrong, ended);
	return 0;
}

static int info(void)
{
	struct tcp_info told = { 0 };
	socklen_t length = sizeof told;

	if (getsockopt(connection, IPPROTO_TCP, TCP_INFO, &told, &length) < 0)
		return fail("TCP_INFO");
	printf("{\"state\":%u,\"options\":%u,\"sendMss\":%u,\"retransmits\":%u,\"sendScale\":%u,\"receiveScale\":%u,"
	       "\"unacked\":%u,\"notSent\":%u,\"deliveredCe\":%u,\"dsack\":%u,\"reordered\":%u}\n",
	       told.tcpi_state, told.tcpi_options, told.tcpi_snd_mss, told.tcpi_total_retrans, told.tcpi_snd_wscale,
	       told.tcpi_rcv_wscale, told.tcpi_unacked, told.tcpi_notsent_bytes, told.tcpi_delivered_ce,
	       told.tcpi_dsack_dups, told.tcpi_reord_seen);
	return 0;
}

static int keepalive(int seconds)
{
	const int on = 1;

	if (setsockopt(connection, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds) < 0 ||
	    setsockopt(connection, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds) < 0 ||
	    setsockopt(connection, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0)
		return fail("keepalive");
	return ok();
}

static int obey(char *line)
{
	const char *verb = strtok(line, " \n");

	if (verb == NULL)
		return fail("empty line");
	if (strcmp(verb, "connect") == 0 || strcmp(verb, "listen") == 0) {
		const char *host = strtok(NULL, " \n"), *port = strtok(NULL, " \n");
		return open_connection(host, port, verb[0] == 'l');
	}
	if (strcmp(verb, "socks") == 0) {
		const char *host = strtok(NULL, " \n"), *port = strtok(NULL, " \n");
		return ask_socks(host, port);
	}
	if (strcmp(verb, "pump") == 0) {
		const char *out = strtok(NULL, " \n"), *in = strtok(NULL, " \n");
		return pump(strtoull(out, NULL, 10), strtoull(in, NULL, 10));
	}
	if (strcmp(verb, "accept") == 0) {
		if (connection >= 0)
			close(connection);
		connection = accept(listener, NULL, NULL);
		sent = received = 0;
		return connection < 0 ? fail("accept") : ok();
	}
	if (strcmp(verb, "urgent") == 0) {
		if (send(connection, row + sent % period, 1, MSG_OOB | MSG_NOSIGNAL) != 1)
			return fail("urgent");
		sent++;
		return ok();
	}
	if (strcmp(verb, "keepalive") == 0)
		return keepalive(atoi(strtok(NULL, " \n")));
	if (strcmp(verb, "fin") == 0)
		return shutdown(connection, SHUT_WR) < 0 ? fail("fin") : ok();
	if (strcmp(verb, "reset") == 0) {
		const struct linger abort = { .l_onoff = 1 };
		setsockopt(connection, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
		close(connection);
		connection = -1;
		return ok();
	}
	if (strcmp(verb, "info") == 0)
		return info();
	errno = EINVAL;
	return fail(verb);
}

int main(void)
{
	char line[256];

	make_row();
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin) != NULL)
		obey(line);
	return 0;
}
