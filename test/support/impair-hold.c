// SPDX-License-Identifier: MIT
// The detour of impair.bpf.c: a tap device whose frames come back late or damaged.
//
//   impair-hold NAME       makes the tap, prints its interface index
//
// Standard input: "hold MS" says how long from now on; its end ends the program.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ACTION_HOLD = 1, ACTION_CORRUPT = 2, FRAME = 2048, HELD = 16384 };

struct held {
	int64_t due;
	size_t length;
	unsigned char bytes[FRAME];
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int make_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	char path[128];
	const int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK), any = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	if (tap < 0 || any < 0 || ioctl(tap, TUNSETIFF, &request) < 0)
		return -1;
	// Nothing may speak on it but the segments on their detour.
	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	const int off = open(path, O_WRONLY);
	if (off >= 0 && write(off, "1", 1) == 1)
		close(off);
	request.ifr_flags = IFF_UP;
	// A burst of held segments must fit its queue.
	struct ifreq queue = { .ifr_qlen = HELD };
	snprintf(queue.ifr_name, sizeof queue.ifr_name, "%s", name);
	if (ioctl(any, SIOCSIFTXQLEN, &queue) < 0 || ioctl(any, SIOCSIFFLAGS, &request) < 0)
		return -1;
	close(any);
	return tap;
}

int main(int argc, char **argv)
{
	static struct held ring[HELD];
	size_t first = 0, count = 0;
	int64_t hold_ns = 3000000;
	const int tap = argc == 2 ? make_tap(argv[1]) : -1;

	if (tap < 0) {
		fprintf(stderr, "impair-hold: no tap device: %s\n", strerror(errno));
		return 1;
	}
	printf("%u\n", if_nametoindex(argv[1]));
	fflush(stdout);
	for (;;) {
		struct pollfd polled[] = { { .fd = tap, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		struct timespec wait = { 0 };
		if (count > 0) {
			const int64_t left = ring[first].due - now_ns();
			wait.tv_sec = left > 0 ? left / 1000000000 : 0;
			wait.tv_nsec = left > 0 ? left % 1000000000 : 0;
		}
		if (ppoll(polled, 2, count > 0 ? &wait : NULL, NULL) < 0 && errno != EINTR)
			return 1;
		if (polled[1].revents != 0) {
			char line[64];
			const ssize_t n = read(0, line, sizeof line - 1);
			double ms;
			if (n <= 0)
				return 0;
			line[n] = 0;
			if (sscanf(line, "hold %lf", &ms) == 1)
				hold_ns = ms * 1e6;
			printf("ok\n");
			fflush(stdout);
		}
		while (count > 0 && ring[first].due <= now_ns()) {
			if (write(tap, ring[first].bytes, ring[first].length) < 0 && errno == EAGAIN)
				break;
			first = (first + 1) % HELD;
			count--;
		}
		// Full: the frames wait in the device's own queue, or are lost there as on any wire.
		while (count < HELD) {
			struct held *slot = &ring[(first + count) % HELD];
			const ssize_t n = read(tap, slot->bytes, FRAME);
			if (n < 14)
				break;
			if (slot->bytes[6] != 0x02 || slot->bytes[7] != 0x5e)
				continue;
			if (slot->bytes[9] == ACTION_CORRUPT) {
				slot->bytes[n - 1] ^= 0x20;
				if (write(tap, slot->bytes, n) < 0)
					break;
				continue;
			}
			slot->length = n;
			slot->due = now_ns() + hold_ns;
			count++;
		}
	}
}
