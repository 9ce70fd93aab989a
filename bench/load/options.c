// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGE 4096
#define MODE_COUNT (MODE_WEB + 1)
#define VIA_COUNT (VIA_CONNECT + 1)

static const char *const mode_names[MODE_COUNT] = {"download", "upload", "ping", "connect",
                                                   "fetch",    "small",  "idle", "mixed",
                                                   "http",     "web"};
static const char *const via_names[VIA_COUNT] = {"direct", "socks5", "connect"};

const char *options_mode_name(enum load_mode mode) { return mode_names[mode]; }

const char *options_via_name(enum load_via via) { return via_names[via]; }

int options_http(const struct load_options *options) {
  return options->mode == MODE_HTTP || options->mode == MODE_WEB;
}

static int complain(const char *what, const char *value) {
  fprintf(stderr, "splice-load: %s: %s\n", what, value ? value : "missing");
  return -1;
}

// Index of the text among the names; -1 after a complaint.
static int parse_name(const char *text, const char *const names[], int count, const char *complaint) {
  for (int i = 0; i < count; i++) {
    if (strcmp(text, names[i]) == 0) return i;
  }
  return complain(complaint, text);
}

int options_number(const char *name, const char *text, double low, double high, double *value) {
  char *end;
  *value = strtod(text, &end);
  if (end != text && !*end && *value >= low && *value <= high) return 0;
  fprintf(stderr, "splice-load: --%s must be a number from %.15g to %.15g: %s\n", name, low, high, text);
  return -1;
}

// FIRST or FIRST/COUNT: COUNT consecutive addresses.
static int parse_source(char *text, struct load_options *options) {
  double count = 1;
  char *slash = strchr(text, '/');
  if (slash) {
    *slash = 0;
    if (options_number("source ADDRESS/COUNT", slash + 1, 1, 4096, &count) < 0) return -1;
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

static int check(struct load_options *options) {
  const int proxied = options->via != VIA_DIRECT;
  const char *mode = options_mode_name(options->mode);
  if (!options->target.port) return complain("--target HOST:PORT", NULL);
  if (proxied && !options->proxy.size) return complain("--proxy with a numeric host", NULL);
  if (!proxied && !options->target.size) return complain("--target with a numeric host", NULL);
  int limits = (options->bytes > 0) + (options->seconds > 0) + (options->count > 0);
  if (limits != 1) return complain("give one of --bytes, --seconds, --count", limits ? "several" : NULL);
  int bulk = options->mode == MODE_DOWNLOAD || options->mode == MODE_UPLOAD;
  if (bulk && options->count) return complain("--count is not for this mode", mode);
  if (!bulk && options->bytes) return complain("--bytes is for download and upload", mode);
  if (options->mode == MODE_IDLE && !options->seconds) return complain("--seconds is needed in this mode", mode);
  const int http = options_http(options), web = options->mode == MODE_WEB;
  if ((options->mode == MODE_MIXED || web) && options->size) return complain("--size is not for this mode", mode);
  if (!http && (options->objects || options->rate > 0 || options->cold || options->known))
    return complain("--objects, --rate, --cold and --known are for http and web", mode);
  if (!web && options->in_turn) return complain("--in-turn is for web", mode);
  if (options->mode != MODE_FETCH && !http && options->size > MAX_MESSAGE) return complain("--size is too large for", mode);
  if (!options->size) options->size = options->mode == MODE_SMALL ? 64 : http ? 1024 : 1;
  if (!options->objects) options->objects = web ? 4096 : 1;
  if (options->threads > options->connections) options->threads = options->connections;
  return 0;
}

static int parse_interface(const char *text, struct load_options *options) {
  if (strlen(text) >= sizeof(options->interface) || strchr(text, '/'))
    return complain("--interface is no name of an interface", text);
  strcpy(options->interface, text);
  return 0;
}

int options_parse(int argc, char **argv, struct load_options *options) {
  static const struct option known[] = {
      {"mode", 1, NULL, 'm'},       {"via", 1, NULL, 'v'},       {"proxy", 1, NULL, 'p'},
      {"target", 1, NULL, 't'},     {"connections", 1, NULL, 'c'}, {"bytes", 1, NULL, 'b'},
      {"seconds", 1, NULL, 's'},    {"count", 1, NULL, 'n'},     {"warmup", 1, NULL, 'w'},
      {"timeout", 1, NULL, 'T'},    {"size", 1, NULL, 'z'},      {"source", 1, NULL, 'a'},
      {"depth", 1, NULL, 'd'},      {"interface", 1, NULL, 'i'}, {"pid", 1, NULL, 'P'},
      {"server-pid", 1, NULL, 'S'}, {"announce", 0, NULL, 'A'},  {"threads", 1, NULL, 'j'},
      {"histogram", 0, NULL, 'H'},  {"objects", 1, NULL, 'o'},
      {"rate", 1, NULL, 'r'},       {"known", 1, NULL, 'k'},     {"cold", 0, NULL, 'C'},      {"in-turn", 0, NULL, 'I'},
      {NULL, 0, NULL, 0}};
  *options = (struct load_options){
      .mode = MODE_CONNECT, .connections = 1, .threads = 1, .timeout = 120, .depth = 32};
  double number = 0;
  int failed = 0, index = 0, name;
  for (int key; !failed && (key = getopt_long(argc, argv, "", known, &index)) != -1;) {
    const char *option = known[index].name;
    switch (key) {
      case 'm':
        name = parse_name(optarg, mode_names, MODE_COUNT,
                          "--mode must be download, upload, ping, connect, fetch, small, idle, mixed, http or web");
        failed = name < 0;
        options->mode = (enum load_mode)name;
        break;
      case 'v':
        name = parse_name(optarg, via_names, VIA_COUNT, "--via must be direct, socks5 or connect");
        failed = name < 0;
        options->via = (enum load_via)name;
        break;
      case 'A': options->announce = 1; break;
      case 'H': options->histogram = 1; break;
      case 'C': options->cold = 1; break;
      case 'I': options->in_turn = 1; break;
      case 'r': failed = options_number(option, optarg, 1, 1e7, &options->rate); break;
      case 'k':
        failed = options_number(option, optarg, 0, 1e15, &number);
        options->known = (uint64_t)number;
        break;
      case 'o':
        failed = options_number(option, optarg, 1, 1e6, &number);
        options->objects = (uint64_t)number;
        break;
      case 'p': failed = address_parse(optarg, &options->proxy) < 0 ? complain("--proxy", optarg) : 0; break;
      case 't': failed = address_parse(optarg, &options->target) < 0 ? complain("--target", optarg) : 0; break;
      case 'a': failed = parse_source(optarg, options); break;
      case 'i': failed = parse_interface(optarg, options); break;
      case 's': failed = options_number(option, optarg, 0.01, 3600, &options->seconds); break;
      case 'w': failed = options_number(option, optarg, 0, 600, &options->warmup); break;
      case 'T': failed = options_number(option, optarg, 0.1, 3600, &options->timeout); break;
      case 'c':
        failed = options_number(option, optarg, 1, MAX_CONNECTIONS, &number);
        options->connections = (unsigned)number;
        break;
      case 'j':
        failed = options_number(option, optarg, 1, MAX_THREADS, &number);
        options->threads = (unsigned)number;
        break;
      case 'b':
        failed = options_number(option, optarg, 1, 1e15, &number);
        options->bytes = (uint64_t)number;
        break;
      case 'n':
        failed = options_number(option, optarg, 1, 1e12, &number);
        options->count = (uint64_t)number;
        break;
      case 'z':
        failed = options_number(option, optarg, 1, 1e12, &number);
        options->size = (uint64_t)number;
        break;
      case 'd':
        failed = options_number(option, optarg, 1, 4096, &number);
        options->depth = (unsigned)number;
        break;
      case 'P':
        failed = options_number(option, optarg, 1, 1e9, &number);
        options->proxy_pid = (pid_t)number;
        break;
      case 'S':
        failed = options_number(option, optarg, 1, 1e9, &number);
        options->server_pid = (pid_t)number;
        break;
      default: failed = -1;
    }
  }
  if (!failed && optind < argc) failed = complain("unexpected argument", argv[optind]);
  return failed ? -1 : check(options);
}
