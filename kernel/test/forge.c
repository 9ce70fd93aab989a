// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Segments that no TCP would send, IPv4, by a raw socket.
 *
 *   lab forge FROM PORT TO PORT FLAGS SEQ ACK [count=N] [bytes=N] [fragments] [badsum] [device=D]
 *
 * FLAGS: letters of SFRPAU, or several such words with commas: one after another. With `count` each has the next sequence number. With `badsum` TCP's checksum is wrong. With `fragments` each goes in two
 * IP fragments, the first of which has the ports.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lab.h"

static uint32_t add(uint32_t sum, const void *from, size_t n)
{
	const uint8_t *p = from;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t payload[1024];
} __attribute__((packed));

static void seal(struct packet *packet, size_t length)
{
	uint32_t sum = add(IPPROTO_TCP + length, &packet->ip.saddr, 8);

	packet->tcp.check = 0;
	packet->tcp.check = fold(add(sum, &packet->tcp, length));
}

/* The kernel fills in the header's sum and the total length. */
static void send_part(int fd, const struct packet *packet, size_t from, size_t to, int more)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr.s_addr = packet->ip.daddr };
	uint8_t part[sizeof(*packet)];
	struct iphdr *ip = (struct iphdr *)part;

	*ip = packet->ip;
	ip->frag_off = htons(from / 8 | (more ? 0x2000 : 0));
	memcpy(part + sizeof(*ip), (const uint8_t *)&packet->tcp + from, to - from);
	if (sendto(fd, part, sizeof(*ip) + to - from, 0, (void *)&peer, sizeof(peer)) < 0)
		die("forge");
}

static void set_flags(struct packet *packet, const char *flags)
{
	packet->tcp.syn = !!strchr(flags, 'S');
	packet->tcp.fin = !!strchr(flags, 'F');
	packet->tcp.rst = !!strchr(flags, 'R');
	packet->tcp.psh = !!strchr(flags, 'P');
	packet->tcp.ack = !!strchr(flags, 'A');
	packet->tcp.urg = !!strchr(flags, 'U');
}

int forge(int argc, char **argv)
{
	struct packet packet = { .ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .id = htons(4711) } };
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), count = 1, bytes = 0, fragments = 0, badsum = 0;
	char device[16] = "";
	uint32_t seq;
	size_t length;

	if (argc < 9 || fd < 0)
		die("forge");
	inet_pton(AF_INET, argv[2], &packet.ip.saddr);
	inet_pton(AF_INET, argv[4], &packet.ip.daddr);
	packet.tcp.source = htons(atoi(argv[3]));
	packet.tcp.dest = htons(atoi(argv[5]));
	packet.tcp.doff = sizeof(packet.tcp) / 4;
	packet.tcp.window = htons(1000);
	seq = strtoul(argv[7], NULL, 10);
	packet.tcp.ack_seq = htonl(strtoul(argv[8], NULL, 10));
	for (int i = 9; i < argc; i++) {
		sscanf(argv[i], "count=%d", &count);
		sscanf(argv[i], "bytes=%d", &bytes);
		sscanf(argv[i], "device=%15s", device);
		badsum |= !strcmp(argv[i], "badsum");
		fragments |= !strcmp(argv[i], "fragments");
	}
	if (device[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device)))
		die("device");
	if (bytes < 0 || bytes > (int)sizeof(packet.payload))
		die("bytes");
	length = sizeof(packet.tcp) + bytes;
	for (char *flags = strtok(argv[6], ","); flags; flags = strtok(NULL, ",")) {
		set_flags(&packet, flags);
		for (int i = 0; i < count; i++) {
			packet.tcp.seq = htonl(seq + i);
			seal(&packet, length);
			packet.tcp.check ^= badsum;
			send_part(fd, &packet, 0, fragments ? 24 : length, fragments);
			if (fragments)
				send_part(fd, &packet, 24, length, 0);
		}
	}
	return 0;
}
