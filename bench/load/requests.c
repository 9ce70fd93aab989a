// SPDX-License-Identifier: MIT
//
// Mode web, which bench/README.md describes with the same numbers: of all requests
//   94 %   are for --objects small objects of 1 to 64 KiB, by Zipf's law: the k-th one 1/k as often as the first
//    1 %   are for 16 objects of 1 MiB, each as often as the others
//    5 %   are for a URL that nobody has asked for before, of a small size
#define _GNU_SOURCE
#include "requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "random.h"

#define KIB 1024u
#define LARGE_SIZE (1024u * KIB)
#define LARGE_OBJECTS 16u
#define COLD_PERCENT 5u
#define LARGE_PERCENT 1u
// 1 to 2 KiB are as likely as 32 to 64 KiB: a factor of two each.
#define SMALL_DOUBLINGS 6u

// zipf[k]: sum of the weights up to the k-th object.
static double *zipf;
// Makes URLs of this run new to a cache that has seen other runs.
static unsigned long long run_id;

int requests_init(const struct load_options *options) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  run_id = (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
  if (options->mode != MODE_WEB) return 0;
  zipf = malloc(options->objects * sizeof(*zipf));
  if (!zipf) return -1;
  double sum = 0;
  for (uint64_t k = 0; k < options->objects; k++) zipf[k] = sum += 1.0 / (double)(k + 1);
  return 0;
}

void requests_begin(struct requests *requests, unsigned index, unsigned loops) {
  *requests = (struct requests){.index = index, .loops = loops, .random = index};
}

static uint64_t draw_zipf(const struct load_options *options, uint64_t *random) {
  const double at = (double)(random_next(random) >> 11) * 0x1p-53 * zipf[options->objects - 1];
  uint64_t low = 0, high = options->objects - 1;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (zipf[middle] > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

// Of a small object, by its number: how often it is asked for says nothing about its size.
static uint64_t small_size(uint64_t number) {
  uint64_t state = number;
  const uint64_t least = (uint64_t)KIB << (random_next(&state) % SMALL_DOUBLINGS);
  return least + random_next(&state) % (least + 1);
}

static struct object small(uint64_t number) {
  return (struct object){.size = small_size(number), .number = (uint32_t)number};
}

static struct object large(const struct load_options *options, uint64_t which) {
  return (struct object){.size = LARGE_SIZE, .number = (uint32_t)(options->objects + which)};
}

void requests_next(struct requests *requests, const struct load_options *options, struct object *object,
                   char path[OBJECT_PATH_MAX]) {
  const uint64_t turn = requests->made++ * requests->loops + requests->index;
  int cold = options->cold;
  if (options->mode == MODE_HTTP) {
    *object = (struct object){.size = options->size, .number = (uint32_t)(turn % options->objects)};
  } else if (options->in_turn) {
    const uint64_t which = turn % (options->objects + LARGE_OBJECTS);
    *object = which < options->objects ? small(which) : large(options, which - options->objects);
  } else {
    const uint64_t percent = random_next(&requests->random) % 100;
    cold |= percent < COLD_PERCENT;
    if (cold) *object = small(turn);
    else if (percent < COLD_PERCENT + LARGE_PERCENT)
      *object = large(options, random_next(&requests->random) % LARGE_OBJECTS);
    else *object = small(draw_zipf(options, &requests->random));
  }
  const size_t size = object_path(object, path);
  if (cold) {
    snprintf(path + size, OBJECT_PATH_MAX - size, "?new=%llx-%llu", run_id, (unsigned long long)turn);
  }
}
