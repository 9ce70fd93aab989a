// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "body.h"
#include "exchange.h"
#include "mixture.h"

#define SECOND UINT64_C(1000000000)
#define STOPPING_SECONDS 10u
// A connection without any progress for this long when the measurement ends is reported as stalled, or in all of a
// shorter measurement.
#define STALL_SECONDS 1u
// Connections of all workers whose handshake is under way at a time: thousands at once would only fill
// listen queues.
#define OPENING_MAX 256u
_Static_assert(OPENING_MAX >= MAX_THREADS, "every worker may open one");

int worker_renews(const struct load_options *options) {
  return options->mode == MODE_CONNECT || options->mode == MODE_FETCH || options->mode == MODE_MIXED;
}

// The part of `all` that belongs to one of `parts`.
static uint64_t begin_of_part(uint64_t all, unsigned index, unsigned parts) {
  return all / parts * index + (index < all % parts ? index : all % parts);
}

struct worker *worker_create(const struct load_options *options, unsigned index) {
  const unsigned all = options->threads;
  struct worker *worker = calloc(1, sizeof(*worker));
  if (!worker) return NULL;
  const uint64_t first = begin_of_part(options->connections, index, all);
  worker->connections = (unsigned)(begin_of_part(options->connections, index + 1, all) - first);
  worker->share = begin_of_part(options->count, index + 1, all) - begin_of_part(options->count, index, all);
  worker->context.options = options;
  worker->context.totals = &worker->totals;
  worker->context.opening = 1;
  worker->context.number = index;
  worker->context.loops = all;
  requests_begin(&worker->context.requests, index, all);
  if (options->rate > 0) worker->context.gap = (uint64_t)((double)SECOND * all / options->rate);
  worker->context.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  worker->clients = calloc(worker->connections, sizeof(*worker->clients));
  if (worker->context.epoll_fd < 0 || !worker->clients) {
    const int error = errno;
    worker_free(worker);
    errno = error;
    return NULL;
  }
  for (unsigned i = 0; i < worker->connections; i++) {
    const uint64_t mixture = mixture_start((unsigned)first + i);
    worker->clients[i] = (struct client){.fd = -1, .stage = CLIENT_CLOSED, .mixture = mixture};
  }
  return worker;
}

void worker_free(struct worker *worker) {
  if (worker->context.epoll_fd >= 0) close(worker->context.epoll_fd);
  serials_free(&worker->context.serials);
  free(worker->clients);
  free(worker);
}

static unsigned is_opening(const struct client *client) { return client->stage < CLIENT_BODY; }

static void open_one(struct worker *worker, struct client *client) {
  if (client_open(client, &worker->context) < 0) return;
  worker->open++;
  worker->opening++;
}

// Whether an ended connection is replaced: in some modes each, in others those that the other side ended in order.
static int is_replaced(struct worker *worker, const struct client *client) {
  if (worker->context.stopping) return 0;
  worker->totals.reopened += (uint64_t)client->reopens;
  return client->reopens || worker_renews(worker->context.options);
}

// To the nanosecond: with --rate the next request may be due in a moment.
static int wait_for_events(const struct worker *worker, struct epoll_event *events, int most, uint64_t until) {
  const uint64_t due = exchange_due(&worker->context), now = client_now();
  const uint64_t end = due < until ? due : until;
  const uint64_t wait = now < end ? end - now : 0;
  const struct timespec time = {.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
  return epoll_pwait2(worker->context.epoll_fd, events, most, &time, NULL);
}

// One turn of the loop, waiting at most until `until`.
static void turn(struct worker *worker, uint64_t until) {
  struct epoll_event events[256];
  int count = wait_for_events(worker, events, 256, until);
  for (int i = 0; i < count; i++) {
    struct client *client = events[i].data.ptr;
    const unsigned was_opening = is_opening(client);
    client_step(client, &worker->context);
    worker->opening -= was_opening - is_opening(client);
    if (client->stage != CLIENT_CLOSED) continue;
    worker->open--;
    if (is_replaced(worker, client)) open_one(worker, client);
  }
  if (worker->context.gap > 0) exchange_send_due(&worker->context, client_now());
}

static void fail_late(struct worker *worker, struct client *client, const char *detail) {
  if (client->stage != CLIENT_CLOSED) worker->open--;
  client_fail(client, &worker->context, ERROR_TIMEOUT, detail);
}

void worker_open(struct worker *worker, uint64_t until) {
  const unsigned all = worker->connections;
  const int renews = worker_renews(worker->context.options);
  const unsigned most = OPENING_MAX / worker->context.loops;
  while (worker->opened < all || (worker->opening > 0 && !renews)) {
    while (worker->opened < all && (worker->opening < most || renews))
      open_one(worker, &worker->clients[worker->opened++]);
    if (renews || client_now() >= until) break;
    turn(worker, until);
  }
  if (renews) return;
  for (unsigned i = 0; i < worker->opened; i++) {
    struct client *client = &worker->clients[i];
    if (is_opening(client)) fail_late(worker, client, "no answer until the time was over");
  }
  worker->opening = 0;
  while (worker->opened < all)
    fail_late(worker, &worker->clients[worker->opened++], "no time was left to open it");
}

void worker_begin(struct worker *worker) {
  worker->context.opening = 0;
  // The loops take turns.
  const struct client_context *context = &worker->context;
  worker->context.next_due = client_now() + context->gap / context->loops * context->requests.index;
  for (unsigned i = 0; i < worker->connections; i++) body_begin(&worker->clients[i], &worker->context);
}

static int all_counted(const struct worker *worker) {
  return worker->context.options->count > 0 &&
         worker->totals.operations + totals_errors(&worker->totals) >= worker->share;
}

void worker_loop(struct worker *worker, uint64_t until) {
  while (worker->open > 0 && !all_counted(worker) && client_now() < until) turn(worker, until);
}

void worker_measure_from(struct worker *worker, uint64_t now) {
  worker->context.measured_from = now;
  exchange_skip_to(&worker->context, now);
  totals_clear_measured(&worker->totals, worker_renews(worker->context.options));
}

static int stands_still(const struct worker *worker, const struct client *client) {
  return client->progress_at < worker->still_before && !client->resting;
}

void worker_measure_to_here(struct worker *worker) {
  const uint64_t second_ago = client_now() - STALL_SECONDS * SECOND;
  const uint64_t from = worker->context.measured_from;
  worker->measured = worker->totals;
  if (worker->context.options->mode == MODE_IDLE) return;
  worker->still_before = from > second_ago ? from : second_ago;
  for (unsigned i = 0; i < worker->connections; i++) {
    const struct client *client = &worker->clients[i];
    worker->stalled += client->stage != CLIENT_CLOSED && stands_still(worker, client);
  }
}

// Whether a connection in the middle of its traffic is closed there, now or as soon as it moves.
static int is_cut_off(const struct worker *worker) {
  const enum load_mode mode = worker->context.options->mode;
  return mode != MODE_UPLOAD && mode != MODE_IDLE;
}

static void cut_off(struct worker *worker) {
  for (unsigned i = 0; i < worker->connections; i++) {
    struct client *client = &worker->clients[i];
    if (client->stage != CLIENT_CLOSED && !stands_still(worker, client)) client_close(client);
  }
}

static void count_open(struct worker *worker) {
  worker->open = 0;
  for (unsigned i = 0; i < worker->connections; i++) worker->open += worker->clients[i].stage != CLIENT_CLOSED;
}

// Timed downloads, pings and connects are cut off in the middle, as a user who presses a key would, but for those
// that stand still: a relay that has lost a flow would look like one that is slow. They have to move once more.
// Timed uploads end with a FIN, and the server must have every byte.
void worker_stop(struct worker *worker) {
  const struct load_options *options = worker->context.options;
  worker->context.stopping = 1;
  const int timed_out = options->seconds == 0 && !all_counted(worker) && worker->open > 0;
  for (unsigned i = 0; i < worker->connections; i++) {
    struct client *client = &worker->clients[i];
    if (client->stage == CLIENT_CLOSED) continue;
    if (timed_out) {
      client_fail(client, &worker->context, ERROR_TIMEOUT, "not finished when the time was over");
    } else if (options->mode == MODE_UPLOAD && client->stage == CLIENT_BODY) {
      body_finish_upload(client, &worker->context);
    } else if (options->mode == MODE_IDLE) {
      body_ask_again(client, &worker->context);
    }
  }
  const uint64_t until = client_now() + STOPPING_SECONDS * SECOND;
  for (;;) {
    if (is_cut_off(worker)) cut_off(worker);
    count_open(worker);
    if (worker->open == 0 || client_now() >= until) break;
    turn(worker, until);
  }
  for (unsigned i = 0; i < worker->connections; i++) {
    struct client *client = &worker->clients[i];
    if (client->stage == CLIENT_CLOSED) continue;
    client_fail(client, &worker->context, ERROR_TIMEOUT, "no sign of life, no summary, or no answer");
  }
}
