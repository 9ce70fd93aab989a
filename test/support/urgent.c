// SPDX-License-Identifier: MIT
// Connects to 127.0.0.1:PORT, sends ROUNDS blocks of SIZE bytes 'a' with one urgent byte '!' behind
// each, then "end" and FIN, and waits until the peer has closed. Node cannot send urgent data.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int send_all(int fd, const char *bytes, size_t left)
{
	while (left > 0) {
		ssize_t n = send(fd, bytes, left, MSG_NOSIGNAL);
		if (n < 0)
			return -1;
		bytes += n;
		left -= n;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	const size_t size = strtoul(argv[3], NULL, 10);
	char *block = malloc(size + 1);
	const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(block, 'a', size + 1);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	for (int i = atoi(argv[2]); i > 0; i--)
		if (send_all(fd, block, size) < 0 || send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL) != 1)
			return 1;
	if (send_all(fd, "end", 3) < 0 || shutdown(fd, SHUT_WR) < 0)
		return 1;
	while (recv(fd, block, 1, 0) > 0)
		;
	return 0;
}
