/* SPDX-License-Identifier: MIT */
/* Ring 2: sockets in any state of their sequence space, without a peer.
 *
 * TCP_REPAIR makes a connection that never exchanged a segment, so that a test says what the
 * socket has read, written, promised and acknowledged. Reads one command a line and answers each
 * with "ok" and numbers, or with the name of the call that failed:
 *
 *   open ID LOCAL PORT REMOTE PORT WRITE_SEQ READ_SEQ OPTIONS SCALES MSS SND_WND RCV_WND
 *        OPTIONS: 1 timestamps, 2 SACK; SCALES: the peer's + 16 * ours
 *   queue ID COUNT    so many bytes have arrived and wait to be read
 *   read ID COUNT     reads so many bytes
 *   write ID COUNT    writes so many bytes: they leave through the device
 *   hold ID           begins to read a byte, and stops in the middle: the socket stays locked
 *   let ID            lets that read go on to its end
 *   shut ID           sends FIN
 *   sign ID           TCP-MD5
 *   wire ID DEVICE HEX   puts a frame on the other end of a wire, and waits until the socket has it
 *   close ID          without a word on the wire
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/tcp.h>
#include <linux/userfaultfd.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOCKETS 64
#define BLOCK 65536
#define WAIT_MS 5000

static int sockets[SOCKETS];
static char block[BLOCK];

static int set(int fd, int option, const void *value, socklen_t length)
{
	return setsockopt(fd, IPPROTO_TCP, option, value, length);
}

static int set_number(int fd, int option, int value)
{
	return set(fd, option, &value, sizeof(value));
}

/* Without the window probe that the other way of leaving sends. The kernel forgets SO_REUSEADDR with
 * it, which the next socket on the same port needs.
 */
static int leave_repair(int fd)
{
	int on = 1;

	return set_number(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP) ||
	       setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

static socklen_t address(const char *text, unsigned int port, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		return 0;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

static const char *set_queue(int fd, int queue, unsigned int seq)
{
	if (set_number(fd, TCP_REPAIR_QUEUE, queue) || set(fd, TCP_QUEUE_SEQ, &seq, sizeof(seq)))
		return "queue";
	return NULL;
}

static const char *set_options(int fd, unsigned int options, unsigned int scales, unsigned int mss,
			       unsigned int snd_wnd, unsigned int rcv_wnd, unsigned int read_seq)
{
	struct tcp_repair_opt list[4] = {
		{ .opt_code = 2, .opt_val = mss },
		{ .opt_code = 3, .opt_val = (scales & 15) | (scales >> 4) << 16 },
	};
	struct tcp_repair_window window = {
		.snd_wl1 = read_seq,
		.snd_wnd = snd_wnd,
		.max_window = snd_wnd,
		.rcv_wnd = rcv_wnd,
		.rcv_wup = read_seq,
	};
	int count = 2;

	if (options & 2)
		list[count++].opt_code = 4;
	if (options & 1)
		list[count++].opt_code = 8;
	if (set(fd, TCP_REPAIR_OPTIONS, list, count * sizeof(list[0])))
		return "options";
	if (set(fd, TCP_REPAIR_WINDOW, &window, sizeof(window)))
		return "window";
	return NULL;
}

static const char *open_socket(const char *line)
{
	unsigned int id, port, remote_port, write_seq, read_seq, options, scales, mss, snd_wnd, rcv_wnd;
	struct sockaddr_storage local, remote;
	char from[64], to[64];
	const char *failed;
	socklen_t length;
	int fd, on = 1;

	if (sscanf(line, "%u %63s %u %63s %u %u %u %u %u %u %u %u", &id, from, &port, to, &remote_port,
		   &write_seq, &read_seq, &options, &scales, &mss, &snd_wnd, &rcv_wnd) != 12 ||
	    id >= SOCKETS)
		return "arguments";
	length = address(from, port, &local);
	if (!length || address(to, remote_port, &remote) != length)
		return "address";
	fd = socket(local.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || set_number(fd, TCP_REPAIR, TCP_REPAIR_ON))
		return "repair";
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	failed = set_queue(fd, TCP_SEND_QUEUE, write_seq);
	if (!failed)
		failed = set_queue(fd, TCP_RECV_QUEUE, read_seq);
	if (failed)
		return failed;
	if (bind(fd, (struct sockaddr *)&local, length))
		return "bind";
	if (connect(fd, (struct sockaddr *)&remote, length))
		return "connect";
	failed = set_options(fd, options, scales, mss, snd_wnd, rcv_wnd, read_seq);
	if (failed)
		return failed;
	if (leave_repair(fd))
		return "repair";
	set_number(fd, TCP_NODELAY, 1);
	sockets[id] = fd;
	return NULL;
}

static const char *queue_bytes(int fd, size_t count)
{
	const char *failed = NULL;

	if (set_number(fd, TCP_REPAIR, TCP_REPAIR_ON) ||
	    set_number(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE))
		return "repair";
	if (send(fd, block, count, 0) != (ssize_t)count)
		failed = "queue";
	return leave_repair(fd) ? "repair" : failed;
}

/* A page that is not there yet. Who copies into it waits, with all locks that it holds, until we
 * give the page: so the kernel's copy out of a receive queue can be stopped half way.
 */
static struct {
	int faults;
	void *page;
	pthread_t reader;
} held;

static void *read_into_page(void *socket)
{
	return recv(*(int *)socket, held.page, 1, 0) == 1 ? held.page : NULL;
}

static const char *hold(int *socket)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg fault;

	held.faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	held.page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (unsigned long)held.page;
	range.range.len = getpagesize();
	if (held.faults < 0 || held.page == MAP_FAILED || ioctl(held.faults, UFFDIO_API, &api) ||
	    ioctl(held.faults, UFFDIO_REGISTER, &range))
		return "userfaultfd";
	if (pthread_create(&held.reader, NULL, read_into_page, socket))
		return "thread";
	return read(held.faults, &fault, sizeof(fault)) == sizeof(fault) ? NULL : "fault";
}

static const char *let_go(void)
{
	struct uffdio_zeropage give = { .range = { .start = (unsigned long)held.page,
						   .len = getpagesize() } };
	void *done;

	if (ioctl(held.faults, UFFDIO_ZEROPAGE, &give) || pthread_join(held.reader, &done) || !done)
		return "read";
	close(held.faults);
	munmap(held.page, getpagesize());
	return NULL;
}

static const char *sign(int fd)
{
	struct tcp_md5sig key = { .tcpm_keylen = 3, .tcpm_key = "key" };
	socklen_t length = sizeof(key.tcpm_addr);

	if (getpeername(fd, (struct sockaddr *)&key.tcpm_addr, &length))
		return "getpeername";
	return set(fd, TCP_MD5SIG, &key, sizeof(key)) ? "md5" : NULL;
}

static unsigned int segments_in(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	return info.tcpi_segs_in;
}

static const char *send_frame(const char *device, const unsigned char *frame, size_t length)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(device) };
	const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	const ssize_t sent = sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof(to));

	close(fd);
	return sent == (ssize_t)length ? NULL : "wire";
}

static const char *put_on_wire(const char *line)
{
	unsigned char frame[2048];
	unsigned int id, before, byte;
	char device[IFNAMSIZ];
	const char *failed;
	size_t length = 0;
	int at;

	if (sscanf(line, "%u %15s%n", &id, device, &at) != 2 || id >= SOCKETS)
		return "arguments";
	for (line += at + 1; length < sizeof(frame) && sscanf(line, "%2x", &byte) == 1; line += 2)
		frame[length++] = byte;
	before = segments_in(sockets[id]);
	failed = send_frame(device, frame, length);
	for (int i = 0; !failed && segments_in(sockets[id]) == before; i++) {
		if (i == WAIT_MS)
			return "arrival";
		usleep(1000);
	}
	return failed;
}

static const char *run(const char *command, const char *line)
{
	unsigned int id, count = 0;
	int fd;

	if (strcmp(command, "open") == 0)
		return open_socket(line);
	if (strcmp(command, "wire") == 0)
		return put_on_wire(line);
	if (sscanf(line, "%u %u", &id, &count) < 1 || id >= SOCKETS || count > BLOCK)
		return "arguments";
	fd = sockets[id];
	if (strcmp(command, "queue") == 0)
		return queue_bytes(fd, count);
	if (strcmp(command, "read") == 0)
		return recv(fd, block, count, MSG_WAITALL) == (ssize_t)count ? NULL : "read";
	if (strcmp(command, "write") == 0)
		return send(fd, block, count, MSG_NOSIGNAL) == (ssize_t)count ? NULL : "write";
	if (strcmp(command, "hold") == 0)
		return hold(&sockets[id]);
	if (strcmp(command, "let") == 0)
		return let_go();
	if (strcmp(command, "shut") == 0)
		return shutdown(fd, SHUT_WR) ? "shutdown" : NULL;
	if (strcmp(command, "sign") == 0)
		return sign(fd);
	if (strcmp(command, "close") == 0) {
		set_number(fd, TCP_REPAIR, TCP_REPAIR_ON);
		return close(fd) ? "close" : NULL;
	}
	return "command";
}

int main(void)
{
	char line[5000], command[16];
	int taken;

	while (fgets(line, sizeof(line), stdin)) {
		const char *failed = "command";

		if (sscanf(line, "%15s%n", command, &taken) == 1)
			failed = run(command, line + taken);
		if (failed)
			printf("%s: %s\n", failed, strerror(errno));
		else
			printf("ok\n");
		fflush(stdout);
	}
	return 0;
}
