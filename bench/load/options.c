// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 16384
#define MAX_MESSAGE 4096
#define MODE_COUNT (MODE_IDLE + 1)

static const char *const mode_names[MODE_COUNT] = {"download", "upload", "ping", "connect", "fetch", "small", "idle"};

const char *options_mode_name(enum load_mode mode) { return mode_names[mode]; }

static int complain(const char *what, const char *value) {
  fprintf(stderr, "splice-load: %s: %s\n", what, value ? value : "missing");
  return -1;
}

static int parse_mode(const char *text, enum load_mode *mode) {
  for (int i = 0; i < MODE_COUNT; i++) {
    if (strcmp(text, mode_names[i]) == 0) {
      *mode = (enum load_mode)i;
      return 0;
    }
  }
  return complain("--mode must be download, upload, ping, connect, fetch, small or idle", text);
}

static int parse_number(const char *text, double low, double high, double *value) {
  char *end;
  *value = strtod(text, &end);
  if (end == text || *end || !(*value >= low && *value <= high)) return complain("not a usable number", text);
  return 0;
}

// FIRST or FIRST/COUNT: COUNT consecutive addresses.
static int parse_source(char *text, struct load_options *options) {
  double count = 1;
  char *slash = strchr(text, '/');
  if (slash) {
    *slash = 0;
    if (parse_number(slash + 1, 1, 4096, &count) < 0) return -1;
  }
  struct sockaddr_in *v4 = (struct sockaddr_in *)&options->source;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&options->source;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    options->source_size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    options->source_size = sizeof(*v6);
  } else {
    return complain("--source needs ADDRESS[/COUNT]", text);
  }
  options->source_count = (unsigned)count;
  return 0;
}

static int check(struct load_options *options, const char *via) {
  if (strcmp(via, "socks5") == 0) {
    options->via_socks5 = 1;
  } else if (strcmp(via, "direct") != 0) {
    return complain("--via must be direct or socks5", via);
  }
  if (!options->target.port) return complain("--target HOST:PORT", NULL);
  if (options->via_socks5 && !options->proxy.size) return complain("--proxy with a numeric host", NULL);
  if (!options->via_socks5 && !options->target.size) return complain("--target with a numeric host", NULL);
  int limits = (options->bytes > 0) + (options->seconds > 0) + (options->count > 0);
  if (limits != 1) return complain("give one of --bytes, --seconds, --count", limits ? "several" : NULL);
  const char *mode = options_mode_name(options->mode);
  int bulk = options->mode == MODE_DOWNLOAD || options->mode == MODE_UPLOAD;
  if (bulk && options->count) return complain("--count is not for this mode", mode);
  if (!bulk && options->bytes) return complain("--bytes is for download and upload", mode);
  if (options->mode == MODE_IDLE && !options->seconds) return complain("--seconds is needed in this mode", mode);
  if (options->mode != MODE_FETCH && options->size > MAX_MESSAGE) return complain("--size is too large for", mode);
  return 0;
}

int options_parse(int argc, char **argv, struct load_options *options) {
  static const struct option known[] = {
      {"mode", 1, NULL, 'm'},    {"via", 1, NULL, 'v'},        {"proxy", 1, NULL, 'p'},
      {"target", 1, NULL, 't'},  {"connections", 1, NULL, 'c'}, {"bytes", 1, NULL, 'b'},
      {"seconds", 1, NULL, 's'}, {"count", 1, NULL, 'n'},      {"warmup", 1, NULL, 'w'},
      {"timeout", 1, NULL, 'T'}, {"size", 1, NULL, 'z'},       {"source", 1, NULL, 'a'},
      {"depth", 1, NULL, 'd'},   {"interface", 1, NULL, 'i'},  {"pid", 1, NULL, 'P'},
      {"server-pid", 1, NULL, 'S'}, {"announce", 0, NULL, 'A'}, {NULL, 0, NULL, 0}};
  const char *via = "direct";
  *options = (struct load_options){.mode = MODE_CONNECT, .connections = 1, .timeout = 120, .depth = 32};
  double number = 0;
  int failed = 0;
  for (int key; !failed && (key = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    switch (key) {
      case 'm': failed = parse_mode(optarg, &options->mode); break;
      case 'A': options->announce = 1; break;
      case 'v': via = optarg; break;
      case 'p': failed = address_parse(optarg, &options->proxy) < 0 ? complain("--proxy", optarg) : 0; break;
      case 't': failed = address_parse(optarg, &options->target) < 0 ? complain("--target", optarg) : 0; break;
      case 'a': failed = parse_source(optarg, options); break;
      case 's': failed = parse_number(optarg, 0.01, 3600, &options->seconds); break;
      case 'w': failed = parse_number(optarg, 0, 600, &options->warmup); break;
      case 'T': failed = parse_number(optarg, 0.1, 3600, &options->timeout); break;
      case 'c':
        failed = parse_number(optarg, 1, MAX_CONNECTIONS, &number);
        options->connections = (unsigned)number;
        break;
      case 'b':
        failed = parse_number(optarg, 1, 1e15, &number);
        options->bytes = (uint64_t)number;
        break;
      case 'n':
        failed = parse_number(optarg, 1, 1e12, &number);
        options->count = (uint64_t)number;
        break;
      case 'z':
        failed = parse_number(optarg, 1, 1e12, &number);
        options->size = (uint64_t)number;
        break;
      case 'd':
        failed = parse_number(optarg, 1, 4096, &number);
        options->depth = (unsigned)number;
        break;
      case 'i':
        if (strlen(optarg) >= sizeof(options->interface) || strchr(optarg, '/'))
          failed = complain("--interface is no name of an interface", optarg);
        else
          strcpy(options->interface, optarg);
        break;
      case 'P':
        failed = parse_number(optarg, 1, 1e9, &number);
        options->proxy_pid = (pid_t)number;
        break;
      case 'S':
        failed = parse_number(optarg, 1, 1e9, &number);
        options->server_pid = (pid_t)number;
        break;
      default: failed = -1;
    }
  }
  if (!failed && optind < argc) failed = complain("unexpected argument", argv[optind]);
  if (!options->size) options->size = options->mode == MODE_SMALL ? 64 : 1;
  return failed ? -1 : check(options, via);
}
