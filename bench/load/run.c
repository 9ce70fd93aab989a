// SPDX-License-Identifier: MIT
//
// The driver: opens the connections, runs the loop, marks the two ends of the measured interval and
// stops in time whatever the other side does. Phases: opening (modes that keep their connections),
// warm-up, measuring, stopping (uploads wait for the server's summary, idle connections for one more
// answer), done. Every phase has an end on the clock.
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "body.h"
#include "client.h"
#include "cpu.h"
#include "link.h"
#include "report.h"

#define SECOND 1000000000.0
#define STOPPING_SECONDS 10.0
// A connection without any progress for this long when the measurement ends is reported as stalled.
#define STALL_SECONDS 1.0
// Connections whose handshake is under way at a time: thousands at once would only fill listen queues.
#define OPENING_MAX 256

struct driver {
  const struct load_options *options;
  struct client_context context;
  struct client_totals totals;
  struct client *clients;
  unsigned open, opened;
  uint64_t begin, deadline;  // of the whole run
  struct load_result result;
  pid_t roots[CPU_TREES];
  struct cpu_times cpu_from, cpu_to;
  struct link_counts link_from, link_to;
};

// One connection after the other in each place, rather than one for the whole run.
static int renews(const struct load_options *options) {
  return options->mode == MODE_CONNECT || options->mode == MODE_FETCH;
}

static uint64_t seconds_later(uint64_t from, double seconds) { return from + (uint64_t)(seconds * SECOND); }

static unsigned count_open(const struct driver *driver) {
  unsigned open = 0;
  for (unsigned i = 0; i < driver->options->connections; i++) open += driver->clients[i].stage != CLIENT_CLOSED;
  return open;
}

static void measure_from_here(struct driver *driver) {
  struct client_totals *totals = &driver->totals;
  totals->bytes = totals->operations = 0;
  memset(&totals->latency, 0, sizeof(totals->latency));
  memset(&totals->response, 0, sizeof(totals->response));
  if (renews(driver->options)) memset(&totals->handshake, 0, sizeof(totals->handshake));
  link_read(driver->options->interface, &driver->link_from);
  cpu_read(driver->roots, &driver->cpu_from);
  driver->result.measured_from = client_now();
}

static void measure_to_here(struct driver *driver) {
  uint64_t now = client_now();
  link_read(driver->options->interface, &driver->link_to);
  cpu_read(driver->roots, &driver->cpu_to);
  driver->result.seconds = (double)(now - driver->result.measured_from) / SECOND;
  driver->result.bytes = driver->totals.bytes;
  driver->result.operations = driver->totals.operations;
  driver->result.latency = driver->totals.latency;
  driver->result.handshake = driver->totals.handshake;
  driver->result.response = driver->totals.response;
  if (driver->options->mode == MODE_IDLE) return;
  for (unsigned i = 0; i < driver->options->connections; i++) {
    const struct client *client = &driver->clients[i];
    if (client->stage == CLIENT_CLOSED) continue;
    driver->result.stalled += now - client->progress_at > (uint64_t)(STALL_SECONDS * SECOND);
  }
}

// One turn of the loop, waiting at most until `until`. Connect and fetch replace each ended connection.
static void turn(struct driver *driver, uint64_t until) {
  struct epoll_event events[256];
  uint64_t now = client_now();
  int wait = now >= until ? 0 : (int)((until - now) / 1000000u) + 1;
  int count = epoll_wait(driver->context.epoll_fd, events, 256, wait);
  for (int i = 0; i < count; i++) {
    struct client *client = events[i].data.ptr;
    client_step(client, &driver->context);
    if (client->stage != CLIENT_CLOSED) continue;
    driver->open--;
    if (renews(driver->options) && !driver->context.stopping) {
      driver->open += client_open(client, &driver->context) == 0;
    }
  }
}

static int all_counted(const struct driver *driver) {
  const struct load_options *options = driver->options;
  if (options->count == 0) return 0;
  uint64_t failed = 0;
  for (int i = 0; i < ERROR_COUNT; i++) failed += driver->totals.errors[i];
  return driver->totals.operations + failed >= options->count;
}

static unsigned count_opening(const struct driver *driver) {
  unsigned opening = 0;
  for (unsigned i = 0; i < driver->opened; i++) {
    enum client_stage stage = driver->clients[i].stage;
    opening += stage == CLIENT_CONNECTING || stage == CLIENT_METHOD || stage == CLIENT_REPLY;
  }
  return opening;
}

// Opens them all, and waits until every one could start or has failed. Modes with a connection after
// the other begin at once: whatever happens to a connection is what they measure.
static void open_all(struct driver *driver, uint64_t until) {
  const unsigned all = driver->options->connections;
  unsigned opening = 0;
  while (driver->opened < all || (opening > 0 && !renews(driver->options))) {
    while (driver->opened < all && (opening < OPENING_MAX || renews(driver->options))) {
      int failed = client_open(&driver->clients[driver->opened++], &driver->context) < 0;
      driver->open += !failed;
      opening += !failed;
    }
    if (renews(driver->options) || client_now() >= until) break;
    turn(driver, until);
    opening = count_opening(driver);
  }
  while (driver->opened < all)
    client_fail(&driver->clients[driver->opened++], &driver->context, ERROR_TIMEOUT, "no time was left to open it");
  driver->context.opening = 0;
  for (unsigned i = 0; i < all; i++) body_begin(&driver->clients[i], &driver->context);
}

static void loop_until(struct driver *driver, uint64_t until) {
  while (driver->open > 0 && !all_counted(driver) && client_now() < until) turn(driver, until);
}

// Ends what is still open. Timed downloads, pings and connects are cut off in the middle, as a user
// who presses a key would; timed uploads end with a FIN, and the server must have every byte.
static void stop(struct driver *driver) {
  const struct load_options *options = driver->options;
  driver->context.stopping = 1;
  int timed_out = options->seconds == 0 && !all_counted(driver) && driver->open > 0;
  for (unsigned i = 0; i < options->connections; i++) {
    struct client *client = &driver->clients[i];
    if (client->stage == CLIENT_CLOSED) continue;
    if (timed_out) {
      client_fail(client, &driver->context, ERROR_TIMEOUT, "not finished when the time was over");
    } else if (options->mode == MODE_UPLOAD && client->stage == CLIENT_BODY) {
      body_finish_upload(client, &driver->context);
    } else if (options->mode == MODE_IDLE) {
      body_ask_again(client, &driver->context);
    } else if (options->mode != MODE_UPLOAD) {
      client_close(client);
    }
  }
  driver->open = count_open(driver);
  uint64_t until = seconds_later(client_now(), STOPPING_SECONDS);
  while (driver->open > 0 && client_now() < until) turn(driver, until);
  for (unsigned i = 0; i < options->connections; i++) {
    struct client *client = &driver->clients[i];
    if (client->stage == CLIENT_CLOSED) continue;
    client_fail(client, &driver->context, ERROR_TIMEOUT, "no end of the stream, no summary, or no answer");
  }
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run(const struct load_options *options) {
  struct driver *driver = calloc(1, sizeof(*driver));
  struct client *clients = calloc(options->connections, sizeof(*clients));
  int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (!driver || !clients || epoll_fd < 0) {
    fprintf(stderr, "splice-load: cannot start: %s\n", strerror(errno));
    return 1;
  }
  for (unsigned i = 0; i < options->connections; i++)
    clients[i] = (struct client){.fd = -1, .stage = CLIENT_CLOSED};
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  driver->options = options;
  driver->clients = clients;
  driver->context = (struct client_context){
      .options = options, .totals = &driver->totals, .epoll_fd = epoll_fd, .opening = 1};
  driver->roots[LOAD_TREE_CLIENT] = getpid();
  driver->roots[LOAD_TREE_SERVER] = options->server_pid;
  driver->roots[LOAD_TREE_PROXY] = options->proxy_pid;

  driver->begin = client_now();
  measure_from_here(driver);
  open_all(driver, seconds_later(driver->begin, options->timeout));
  if (options->seconds > 0) {
    loop_until(driver, seconds_later(client_now(), options->warmup));
    measure_from_here(driver);
    if (options->announce) fputs("measuring\n", stderr);
    loop_until(driver, seconds_later(driver->result.measured_from, options->seconds));
  } else {
    loop_until(driver, seconds_later(driver->begin, options->timeout));
  }
  measure_to_here(driver);
  stop(driver);

  driver->result.cpu = cpu_delta(&driver->cpu_from, &driver->cpu_to);
  driver->result.link = link_delta(&driver->link_from, &driver->link_to);
  driver->result.totals = &driver->totals;
  int clean = report_print(options, &driver->result);
  free(clients);
  free(driver);
  return clean ? 0 : 3;
}
