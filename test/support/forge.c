// SPDX-License-Identifier: MIT
// Watches the TCP segments on a device of a lab host, and forges some: what an adversary in the right place could do.
//
//   forge DEVICE
//
// Standard input, one line each, answered by one line of JSON:
//   state SRC SPORT DST DPORT               what both directions of a connection have shown so far
//   totals                                  of everything seen
//   send SRC SPORT DST DPORT KEY=VALUE...   one segment, or its fragments, as if SRC had sent it
//     flags=SAFRPUEC seq=N ack=N window=N tsval=N tsecr=N data=BYTES ttl=N
//     fragment=BYTES (of the first one)  options=1 (IPv4: 4 NOPs; IPv6: a destination options header)  bad=1 (checksum)
// The connection must have been seen: its frames name the Ethernet addresses.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOWS = 1 << 14, HEADERS = 256, FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32, ECE = 64, CWR = 128 };

// One direction of a connection.
struct flow {
	unsigned char source[16], target[16];
	uint16_t source_port, target_port;
	unsigned char ethernet[14];
	unsigned segments, syn, fin, rst, ece, ce, ect, keepalives, zero_windows, urgent, fragments;
	uint64_t bytes;
	uint32_t first, end, ack, tsval, tsecr;
	unsigned window, biggest, sack_blocks, mss, scale;
	int seen, acks, has_scale, sack_permitted, timestamps, syn_ece, least_ttl;
};

static struct flow flows[FLOWS];
static unsigned long long total_segments, total_rst, total_icmp, total_fragments;

static uint32_t get32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static uint16_t get16(const unsigned char *at)
{
	return at[0] << 8 | at[1];
}

static void put16(unsigned char *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put32(unsigned char *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static struct flow *flow_of(const unsigned char *source, uint16_t source_port, const unsigned char *target,
			    uint16_t target_port, int make)
{
	unsigned at = source_port * 31u + target_port * 17u + source[15] * 7u + target[15];

	for (unsigned tries = 0; tries < FLOWS; tries++) {
		struct flow *flow = &flows[(at + tries) % FLOWS];
		if (!flow->seen) {
			if (!make)
				return NULL;
			memcpy(flow->source, source, 16);
			memcpy(flow->target, target, 16);
			flow->source_port = source_port;
			flow->target_port = target_port;
			flow->seen = 1;
			flow->least_ttl = 255;
			return flow;
		}
		if (flow->source_port == source_port && flow->target_port == target_port &&
		    memcmp(flow->source, source, 16) == 0 && memcmp(flow->target, target, 16) == 0)
			return flow;
	}
	return NULL;
}

static void see_options(struct flow *flow, const unsigned char *at, const unsigned char *end, int flags)
{
	while (at < end && *at != 0) {
		const int size = *at == 1 ? 1 : at + 1 < end ? at[1] : 0;
		if (size < 1 || at + size > end || (*at != 1 && size < 2))
			return;
		if (*at == 8 && size == 10) {
			flow->timestamps = 1;
			flow->tsval = get32(at + 2);
			flow->tsecr = get32(at + 6);
		} else if (*at == 5 && (unsigned)(size - 2) / 8 > flow->sack_blocks) {
			flow->sack_blocks = (size - 2) / 8;
		} else if (flags & SYN && *at == 2 && size == 4) {
			flow->mss = get16(at + 2);
		} else if (flags & SYN && *at == 3 && size == 3) {
			flow->has_scale = 1;
			flow->scale = at[2];
		} else if (flags & SYN && *at == 4) {
			flow->sack_permitted = 1;
		}
		at += size;
	}
}

static void see(const unsigned char *frame, size_t captured)
{
	unsigned char source[16] = { [10] = 0xff, [11] = 0xff }, target[16] = { [10] = 0xff, [11] = 0xff };
	const unsigned char *ip = frame + 14, *tcp;
	size_t total, ttl, ecn;

	if (captured < 14 + 40)
		return;
	if (get16(frame + 12) == ETHERTYPE_IP) {
		if (ip[9] == 1)
			total_icmp++;
		if (get16(ip + 6) & 0x3fff)
			total_fragments++;
		if (ip[9] != 6 || get16(ip + 6) & 0x1fff)
			return;
		memcpy(source + 12, ip + 12, 4);
		memcpy(target + 12, ip + 16, 4);
		tcp = ip + (ip[0] & 15) * 4;
		// A GSO segment of 64 KiB or more says 0.
		total = get16(ip + 2) - (ip[0] & 15) * 4;
		ttl = ip[8];
		ecn = ip[1] & 3;
	} else if (get16(frame + 12) == ETHERTYPE_IPV6) {
		if (ip[6] == 58 && captured > 14 + 40 && ip[40] < 128)
			total_icmp++;
		if (ip[6] != 6)
			return;
		memcpy(source, ip + 8, 16);
		memcpy(target, ip + 24, 16);
		tcp = ip + 40;
		total = get16(ip + 4);
		ttl = ip[7];
		ecn = (get16(ip) >> 4) & 3;
	} else {
		return;
	}
	if (tcp + 20 > frame + captured || tcp + (tcp[12] >> 4) * 4 > frame + captured)
		return;
	struct flow *flow = flow_of(source, get16(tcp), target, get16(tcp + 2), 1);
	if (flow == NULL)
		return;
	const int flags = tcp[13];
	const size_t header = (tcp[12] >> 4) * 4, data = total > header ? total - header : 0;
	const uint32_t seq = get32(tcp + 4), end = seq + data + !!(flags & SYN) + !!(flags & FIN);

	memcpy(flow->ethernet, frame, 14);
	total_segments++;
	total_rst += !!(flags & RST);
	if (flags & SYN) {
		// A new connection on an old tuple.
		if (flow->syn > 0 && flow->first != seq) {
			struct flow fresh = { .seen = 1, .source_port = flow->source_port, .target_port = flow->target_port };
			memcpy(fresh.source, flow->source, 16);
			memcpy(fresh.target, flow->target, 16);
			memcpy(fresh.ethernet, flow->ethernet, 14);
			fresh.least_ttl = 255;
			*flow = fresh;
		}
		flow->first = seq;
		flow->end = end;
		flow->syn_ece = !!(flags & ECE);
	}
	if (flow->segments == 0)
		flow->end = end;
	if (data <= 1 && !(flags & (SYN | FIN | RST)) && seq == flow->end - 1)
		flow->keepalives++;
	if ((int32_t)(end - flow->end) > 0 && !(flags & RST))
		flow->end = end;
	flow->segments++;
	flow->bytes += data;
	if (data > flow->biggest)
		flow->biggest = data;
	flow->syn += !!(flags & SYN);
	flow->fin += !!(flags & FIN);
	flow->rst += !!(flags & RST);
	flow->ece += (flags & (ECE | SYN)) == ECE;
	flow->urgent += !!(flags & URG);
	flow->ce += ecn == 3;
	flow->ect += ecn == 1 || ecn == 2;
	if ((int)ttl < flow->least_ttl)
		flow->least_ttl = ttl;
	if (!(flags & RST)) {
		flow->window = get16(tcp + 14);
		flow->zero_windows += flow->window == 0;
		// The highest: segments overtake each other.
		if (flags & ACK && (!flow->acks || (int32_t)(get32(tcp + 8) - flow->ack) > 0)) {
			flow->acks = 1;
			flow->ack = get32(tcp + 8);
		}
	}
	see_options(flow, tcp + 20, tcp + header, flags);
}

static int parse_address(const char *text, unsigned char *address)
{
	memset(address, 0, 16);
	if (strchr(text, ':') != NULL)
		return inet_pton(AF_INET6, text, address) == 1 ? 6 : 0;
	address[10] = address[11] = 0xff;
	return inet_pton(AF_INET, text, address + 12) == 1 ? 4 : 0;
}

static void show(const struct flow *flow)
{
	if (flow == NULL) {
		printf("null");
		return;
	}
	printf("{\"segments\":%u,\"bytes\":%llu,\"syn\":%u,\"fin\":%u,\"rst\":%u,\"ece\":%u,\"ce\":%u,\"ect\":%u,"
	       "\"keepalives\":%u,\"zeroWindows\":%u,\"urgent\":%u,\"first\":%u,\"end\":%u,\"ack\":%u,\"tsval\":%u,"
	       "\"tsecr\":%u,\"window\":%u,\"biggest\":%u,\"sackBlocks\":%u,\"mss\":%u,\"scale\":%d,\"sackPermitted\":%s,"
	       "\"timestamps\":%s,\"synEce\":%s,\"leastTtl\":%d}",
	       flow->segments, (unsigned long long)flow->bytes, flow->syn, flow->fin, flow->rst, flow->ece, flow->ce,
	       flow->ect, flow->keepalives, flow->zero_windows, flow->urgent, flow->first, flow->end, flow->ack,
	       flow->tsval, flow->tsecr, flow->window, flow->biggest, flow->sack_blocks, flow->mss,
	       flow->has_scale ? (int)flow->scale : -1, flow->sack_permitted ? "true" : "false",
	       flow->timestamps ? "true" : "false", flow->syn_ece ? "true" : "false", flow->least_ttl);
}

static uint32_t sum(const unsigned char *at, size_t length, uint32_t total)
{
	for (; length > 1; at += 2, length -= 2)
		total += get16(at);
	return length > 0 ? total + (at[0] << 8) : total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return ~total;
}

struct segment {
	unsigned flags, window, data, ttl, fragment, options, bad;
	uint32_t seq, ack, tsval, tsecr;
	int timestamps;
};

static void parse_segment(struct segment *segment)
{
	for (char *word; (word = strtok(NULL, " \n")) != NULL;) {
		char *value = strchr(word, '=');
		if (value == NULL)
			continue;
		*value++ = 0;
		const uint32_t number = strtoul(value, NULL, 10);
		if (strcmp(word, "flags") == 0) {
			const char *letters = "FSRPAUEC";
			for (; *value != 0; value++)
				if (strchr(letters, *value) != NULL)
					segment->flags |= 1u << (strchr(letters, *value) - letters);
		} else if (strcmp(word, "seq") == 0) {
			segment->seq = number;
		} else if (strcmp(word, "ack") == 0) {
			segment->ack = number;
		} else if (strcmp(word, "window") == 0) {
			segment->window = number;
		} else if (strcmp(word, "data") == 0) {
			segment->data = number > 1400 ? 1400 : number;
		} else if (strcmp(word, "ttl") == 0) {
			segment->ttl = number;
		} else if (strcmp(word, "fragment") == 0) {
			segment->fragment = number & ~7u;
		} else if (strcmp(word, "options") == 0) {
			segment->options = number;
		} else if (strcmp(word, "bad") == 0) {
			segment->bad = number;
		} else if (strcmp(word, "tsval") == 0) {
			segment->tsval = number;
			segment->timestamps = 1;
		} else if (strcmp(word, "tsecr") == 0) {
			segment->tsecr = number;
			segment->timestamps = 1;
		}
	}
}

static size_t build_tcp(const struct flow *flow, const struct segment *segment, unsigned char *tcp, int family)
{
	const size_t header = segment->timestamps ? 32 : 20, length = header + segment->data;

	memset(tcp, 0, header);
	put16(tcp, flow->source_port);
	put16(tcp + 2, flow->target_port);
	put32(tcp + 4, segment->seq);
	put32(tcp + 8, segment->ack);
	tcp[12] = header / 4 << 4;
	tcp[13] = segment->flags;
	put16(tcp + 14, segment->window);
	if (segment->timestamps) {
		memcpy(tcp + 20, "\1\1\10\12", 4);
		put32(tcp + 24, segment->tsval);
		put32(tcp + 28, segment->tsecr);
	}
	memset(tcp + header, '!', segment->data);
	uint32_t total = length + 6;
	if (family == 4) {
		total = sum(flow->source + 12, 4, total);
		total = sum(flow->target + 12, 4, total);
	} else {
		total = sum(flow->source, 16, total);
		total = sum(flow->target, 16, total);
	}
	put16(tcp + 16, fold(sum(tcp, length, total)) ^ (segment->bad ? 0x5555 : 0));
	return length;
}

// `piece` bytes of the TCP segment from `offset` on, behind an IP header; more: another fragment follows.
static int send_piece(int raw, const struct flow *flow, const struct segment *segment, const unsigned char *tcp,
		      size_t offset, size_t piece, int family, int fragmented, int more)
{
	unsigned char frame[2048] = { 0 }, *ip = frame + 14, *next;

	memcpy(frame, flow->ethernet, 14);
	if (family == 4) {
		const size_t header = segment->options ? 24 : 20;
		ip[0] = 0x40 | header / 4;
		put16(ip + 2, header + piece);
		put16(ip + 4, 0x5eed);
		put16(ip + 6, (fragmented ? 0 : 0x4000) | (more ? 0x2000 : 0) | offset / 8);
		ip[8] = segment->ttl;
		ip[9] = 6;
		memcpy(ip + 12, flow->source + 12, 4);
		memcpy(ip + 16, flow->target + 12, 4);
		if (segment->options)
			memset(ip + 20, 1, 4);
		put16(ip + 10, fold(sum(ip, header, 0)));
		next = ip + header;
	} else {
		ip[0] = 0x60;
		ip[6] = 6;
		ip[7] = segment->ttl;
		memcpy(ip + 8, flow->source, 16);
		memcpy(ip + 24, flow->target, 16);
		next = ip + 40;
		if (segment->options) {
			ip[6] = 60;
			next[0] = fragmented ? 44 : 6;
			memcpy(next + 2, "\1\4", 2);
			next += 8;
		}
		if (fragmented) {
			if (!segment->options)
				ip[6] = 44;
			next[0] = 6;
			put16(next + 2, offset | (more ? 1 : 0));
			put32(next + 4, 0x5eed5eed);
			next += 8;
		}
		put16(ip + 4, next + piece - (ip + 40));
	}
	memcpy(next, tcp + offset, piece);
	return send(raw, frame, next + piece - frame, 0) < 0 ? -1 : 0;
}

static int forge(int raw, const struct flow *flow, const struct segment *segment, int family)
{
	unsigned char tcp[2048];
	const size_t length = build_tcp(flow, segment, tcp, family);
	const size_t first = segment->fragment > 0 && segment->fragment < length ? segment->fragment : length;

	if (send_piece(raw, flow, segment, tcp, 0, first, family, first < length, first < length) < 0)
		return -1;
	return first < length ? send_piece(raw, flow, segment, tcp, first, length - first, family, 1, 0) : 0;
}

static void answer(int raw, char *line)
{
	const char *verb = strtok(line, " \n");

	if (verb != NULL && strcmp(verb, "totals") == 0) {
		printf("{\"segments\":%llu,\"rst\":%llu,\"icmp\":%llu,\"fragments\":%llu}\n", total_segments, total_rst,
		       total_icmp, total_fragments);
		return;
	}
	const char *words[4];
	for (int i = 0; i < 4; i++)
		words[i] = strtok(NULL, " \n");
	unsigned char source[16], target[16];
	const int family = verb != NULL && words[3] != NULL ? parse_address(words[0], source) : 0;
	if (family == 0 || parse_address(words[2], target) != family) {
		printf("{\"error\":\"not understood\"}\n");
		return;
	}
	const uint16_t source_port = atoi(words[1]), target_port = atoi(words[3]);
	const struct flow *flow = flow_of(source, source_port, target, target_port, 0);
	if (strcmp(verb, "state") == 0) {
		printf("{\"from\":");
		show(flow);
		printf(",\"to\":");
		show(flow_of(target, target_port, source, source_port, 0));
		printf("}\n");
		return;
	}
	struct segment segment = { .window = 512, .ttl = 64 };
	parse_segment(&segment);
	if (flow == NULL || forge(raw, flow, &segment, family) < 0)
		printf("{\"error\":\"%s\"}\n", flow == NULL ? "no such connection was seen" : strerror(errno));
	else
		printf("{}\n");
}

static void see_all(int raw)
{
	unsigned char frame[HEADERS];

	for (ssize_t n; (n = recv(raw, frame, sizeof frame, MSG_DONTWAIT)) > 0;)
		see(frame, n);
}

int main(int argc, char **argv)
{
	char line[1024];
	const int raw = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), buffer = 64 << 20;
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	address.sll_ifindex = argc == 2 ? (int)if_nametoindex(argv[1]) : 0;
	if (raw < 0 || address.sll_ifindex == 0 || bind(raw, (struct sockaddr *)&address, sizeof address) < 0) {
		fprintf(stderr, "forge: no such device: %s\n", strerror(errno));
		return 1;
	}
	setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	puts("ready");
	for (;;) {
		struct pollfd polled[] = { { .fd = raw, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			return 1;
		see_all(raw);
		if (polled[1].revents != 0) {
			if (fgets(line, sizeof line, stdin) == NULL)
				return 0;
			// What went by before the question belongs to the answer.
			see_all(raw);
			answer(raw, line);
		}
	}
}
