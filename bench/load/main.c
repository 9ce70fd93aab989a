// SPDX-License-Identifier: MIT
//
// splice-load: the load generator and its own server, for measuring relays. See bench/README.md.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "pattern.h"
#include "run.h"
#include "serve.h"

static int usage(void) {
  fputs(
      "usage: splice-load serve PORT [--threads N]\n"
      "       splice-load run --mode download|upload|ping|connect|fetch|small|idle|mixed|http|web\n"
      "                       --target HOST:PORT\n"
      "                       --bytes N | --seconds S | --count N\n"
      "                       [--via direct|socks5|connect] [--proxy HOST:PORT]\n"
      "                       [--connections C] [--threads N] [--warmup S] [--timeout S]\n"
      "                       [--size BYTES] [--depth N] [--objects N] [--cold] [--in-turn] [--rate R]\n"
      "                       [--known SERIAL]\n"
      "                       [--source ADDRESS[/COUNT]]\n"
      "                       [--interface NAME] [--pid PROXY_PID] [--server-pid PID]\n"
      "                       [--histogram] [--announce]\n",
      stderr);
  return 2;
}

static int main_serve(int argc, char **argv) {
  char *end;
  long port = strtol(argv[2], &end, 10);
  double threads = 1;
  if (*end || end == argv[2] || port < 0 || port > 65535) return usage();
  if (argc == 5 && strcmp(argv[3], "--threads") == 0) {
    if (options_number("threads", argv[4], 1, MAX_THREADS, &threads) < 0) return 2;
  } else if (argc != 3) {
    return usage();
  }
  return serve((uint16_t)port, (unsigned)threads);
}

int main(int argc, char **argv) {
  if (argc < 3) return usage();
  pattern_init();
  if (strcmp(argv[1], "serve") == 0) return main_serve(argc, argv);
  if (strcmp(argv[1], "run") != 0) return usage();
  struct load_options options;
  if (options_parse(argc - 1, argv + 1, &options) < 0) return 2;
  return run(&options);
}
