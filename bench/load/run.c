// SPDX-License-Identifier: MIT
//
// The driver: threads with a loop each (worker.c), the two ends of the measured interval, and an end in
// time whatever the other side does. Phases: opening (modes that keep their connections), warm-up,
// measuring, stopping (uploads wait for the server's summary, idle connections for one more answer).
// Every phase has an end on the clock. The workers go from one phase to the next together; between two
// meetings nothing is sent, and the first worker reads the counters of the machine.
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cpu.h"
#include "descriptors.h"
#include "link.h"
#include "report.h"
#include "worker.h"

#define SECOND 1000000000.0
// Standard streams, listings of /proc, and whatever a library keeps open.
#define OTHER_DESCRIPTORS 16u

struct driver;

struct seat {
  struct driver *driver;
  struct worker *worker;
  pthread_t thread;
};

struct driver {
  const struct load_options *options;
  struct seat seats[MAX_THREADS];
  pthread_barrier_t barrier;
  uint64_t begin, measured_from, measured_to;  // written by the first worker, read after a meeting
  pid_t roots[CPU_TREES];
  struct cpu_times cpu_from, cpu_to;
  struct link_counts link_from, link_to;
  struct load_result result;
};

static uint64_t seconds_later(uint64_t from, double seconds) { return from + (uint64_t)(seconds * SECOND); }

static void meet(struct driver *driver) { pthread_barrier_wait(&driver->barrier); }

// To look at all processes takes milliseconds, which belong to nobody's gigabyte: outside the two looks at the machine.
static void read_from(struct driver *driver) {
  cpu_read_processes(driver->roots, &driver->cpu_from);
  link_read(driver->options->interface, &driver->link_from);
  cpu_read_machine(&driver->cpu_from);
  driver->measured_from = client_now();
}

static void read_to(struct driver *driver) {
  driver->measured_to = client_now();
  cpu_read_machine(&driver->cpu_to);
  link_read(driver->options->interface, &driver->link_to);
  cpu_read_processes(driver->roots, &driver->cpu_to);
}

// The life of every worker; the first one is the main thread.
static void *work(void *argument) {
  struct seat *seat = argument;
  struct driver *driver = seat->driver;
  struct worker *worker = seat->worker;
  const struct load_options *options = driver->options;
  const int first = seat == &driver->seats[0];
  const uint64_t deadline = seconds_later(driver->begin, options->timeout);
  worker_open(worker, deadline);
  meet(driver);
  worker_begin(worker);
  if (options->seconds > 0) {
    worker_loop(worker, seconds_later(client_now(), options->warmup));
    meet(driver);
    if (first) read_from(driver);
    if (first && options->announce) fputs("measuring\n", stderr);
    meet(driver);
    worker_measure_from(worker, driver->measured_from);
    worker_loop(worker, seconds_later(driver->measured_from, options->seconds));
  } else {
    worker_loop(worker, deadline);
  }
  worker_measure_to_here(worker);
  meet(driver);
  if (first) read_to(driver);
  meet(driver);
  worker_stop(worker);
  return NULL;
}

static int merge_and_print(struct driver *driver) {
  struct load_result *result = &driver->result;
  result->seconds = (double)(driver->measured_to - driver->measured_from) / SECOND;
  result->cpu = cpu_delta(&driver->cpu_from, &driver->cpu_to);
  result->link = link_delta(&driver->link_from, &driver->link_to);
  for (unsigned i = 0; i < driver->options->threads; i++) {
    const struct worker *worker = driver->seats[i].worker;
    totals_merge(&result->measured, &worker->measured);
    totals_merge(&result->whole, &worker->totals);
    result->stalled += worker->stalled;
  }
  return report_print(driver->options, result);
}

static int have_descriptors(const struct load_options *options) {
  const unsigned long needed = options->connections + options->threads + OTHER_DESCRIPTORS;
  const unsigned long limit = descriptors_raise();
  if (limit >= needed) return 1;
  fprintf(stderr,
          "splice-load: %u connections need %lu descriptors and this process may have %lu: "
          "raise the limit (ulimit -Hn) or ask for fewer\n",
          options->connections, needed, limit);
  return 0;
}

static int cannot_start(int error) {
  fprintf(stderr, "splice-load: cannot start: %s\n", strerror(error));
  return 1;
}

int run(const struct load_options *options) {
  if (!have_descriptors(options)) return 1;
  struct driver *driver = calloc(1, sizeof(*driver));
  if (!driver) return cannot_start(errno);
  driver->options = options;
  for (unsigned i = 0; i < options->threads; i++) {
    driver->seats[i] = (struct seat){.driver = driver, .worker = worker_create(options, i)};
    if (!driver->seats[i].worker) return cannot_start(errno);
  }
  // With --rate the loops wait for moments; the usual slack of 50 us would make every request late.
  prctl(PR_SET_TIMERSLACK, 1);
  if (requests_init(options) < 0) return cannot_start(errno);
  signal(SIGPIPE, SIG_IGN);
  driver->roots[LOAD_TREE_CLIENT] = getpid();
  driver->roots[LOAD_TREE_SERVER] = options->server_pid;
  driver->roots[LOAD_TREE_PROXY] = options->proxy_pid;
  int error = pthread_barrier_init(&driver->barrier, NULL, options->threads);
  if (error) return cannot_start(error);

  // A run with --bytes or --count is measured from its very beginning.
  driver->begin = client_now();
  read_from(driver);
  for (unsigned i = 1; i < options->threads; i++) {
    // Those that have begun wait for all the others, or end with the process.
    error = pthread_create(&driver->seats[i].thread, NULL, work, &driver->seats[i]);
    if (error) return cannot_start(error);
  }
  work(&driver->seats[0]);
  for (unsigned i = 1; i < options->threads; i++) pthread_join(driver->seats[i].thread, NULL);

  const int clean = merge_and_print(driver);
  for (unsigned i = 0; i < options->threads; i++) worker_free(driver->seats[i].worker);
  pthread_barrier_destroy(&driver->barrier);
  free(driver);
  return clean ? 0 : 3;
}
