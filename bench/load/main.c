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
      "usage: splice-load serve PORT\n"
      "       splice-load run --mode download|upload|ping|connect|fetch|small|idle\n"
      "                       --target HOST:PORT\n"
      "                       --bytes N | --seconds S | --count N\n"
      "                       [--via direct|socks5] [--proxy HOST:PORT] [--connections C]\n"
      "                       [--warmup S] [--timeout S] [--size BYTES] [--depth N]\n"
      "                       [--source ADDRESS[/COUNT]] [--interface NAME]\n"
      "                       [--pid PROXY_PID] [--server-pid PID] [--announce]\n",
      stderr);
  return 2;
}

int main(int argc, char **argv) {
  if (argc < 3) return usage();
  pattern_init();
  if (strcmp(argv[1], "serve") == 0 && argc == 3) {
    char *end;
    long port = strtol(argv[2], &end, 10);
    if (*end || port < 1 || port > 65535) return usage();
    return serve((uint16_t)port);
  }
  if (strcmp(argv[1], "run") != 0) return usage();
  struct load_options options;
  if (options_parse(argc - 1, argv + 1, &options) < 0) return 2;
  return run(&options);
}
