/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Shared by the parts of the program that the module's tests run in the guest; lab.c says what it does. */
#pragma once

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../uapi/symsplice.h"

/* ---- streams: byte p is a function of p and the seed ---- */

#define CHUNK (64 << 10)
#define HALF 1	/* the server waits for the end of the client's stream before it sends */
#define RESET 2 /* the client resets when it has half of what it wants */
#define SRESET 4 /* the server resets when it has sent half */
#define SLOW 8	/* the server sends everything before it reads */
#define MEET 16 /* the server sends nothing until the file is there that the client waits for */
#define URGENT 32 /* the server says when it hears of urgent data */

struct request {
	uint64_t up, down;
	uint32_t flags, seed;
	char until[32];
};

struct job {
	int fd;
	uint64_t bytes;
	uint32_t seed;
	int error;	/* errno, or -1: a wrong byte, -2: the end too early */
	uint64_t done;
	int shut;
	int pace;
	const char *until; /* a file that is waited for first, or null */
};

void die(const char *what) __attribute__((noreturn));
/* Until the file is there. No name: at once. */
void wait_for(const char *file);
double now(void);

/* The bytes from `at` on. */
void fill(uint8_t *to, uint64_t at, size_t n, uint32_t seed);

/* Bodies of threads, for a struct job. */
void *sender(void *arg);
void *receiver(void *arg);

/* 0, or -1. */
int read_all(int fd, void *to, size_t n);
int write_all(int fd, const void *from, size_t n);
/* Closes by RST. */
void reset(int fd);
/* Bound to a device, or not. */
int listen_on(int port, const char *device);
void bind_port(int fd, const char *host, int port);
int family_of(const char *host);
int connect_fd(int fd, const char *host, int port);

/* ---- by TCP_REPAIR ---- */

/* The first sequence number of a socket that is about to connect. */
void begin_at(int fd, uint32_t isn);
/* What the timestamps of a connection show now. */
uint32_t clock_of(int fd);
void set_clock(int fd, uint32_t value);
/* Closes, and says nothing. */
void vanish(int fd);

/* ---- generic netlink ---- */

struct ask {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char room[512];
};

struct family {
	uint16_t id;
	uint32_t group;
};

int netlink_socket(void);
void begin(struct ask *ask, int type, int cmd, int version);
void put(struct ask *ask, int type, const void *value, size_t size);
void put32(struct ask *ask, int type, uint32_t value);

typedef void on_attr(int type, void *value, int size, void *context);

void each_attr(void *at, int left, on_attr *on, void *context);
/* 0 or -errno. */
int talk(int fd, struct ask *ask, on_attr *on, void *context);
struct family find_family(int fd);

/* What INTEND and SPLICE are about. */
struct pair {
	int client, server;
	uint32_t len, idle;
	int open; /* INTEND: the gate is left open */
};

/* Each: 0, or -errno; ask_pair() also an answer, which is positive. */
int ask_init(int nl, int family, int listener);
int ask_pair(int nl, int family, int cmd, const struct pair *pair);
int ask_abort(int nl, int family, uint64_t id);

/* Flows by their phase, a power of two. */
#define PHASES 8
int count_phases(int nl, int family, int phases[PHASES]);

/* ---- the commands ---- */

void proxy(int argc, char **argv);
void server(int port);
int client(int argc, char **argv);
int ctl(int argc, char **argv);
int cycles(int argc, char **argv);
int forge(int argc, char **argv);
