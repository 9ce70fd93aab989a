// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_OPTIONS_H
#define SPLICE_LOAD_OPTIONS_H

#define MAX_CONNECTIONS 16384
#define MAX_THREADS 256

#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "address.h"

enum load_mode {
  MODE_DOWNLOAD,
  MODE_UPLOAD,
  MODE_PING,
  MODE_CONNECT,
  MODE_FETCH,
  MODE_SMALL,
  MODE_IDLE,
  MODE_MIXED,
  MODE_HTTP,
  MODE_WEB,
};

// What is spoken before the traffic. A relay with a fixed target is spoken to directly.
enum load_via { VIA_DIRECT, VIA_SOCKS5, VIA_CONNECT };

// What `splice-load run` was asked to do. Exactly one of bytes, seconds and count is set.
struct load_options {
  enum load_mode mode;
  enum load_via via;
  struct address proxy, target;
  unsigned connections;
  unsigned threads;  // event loops, not more than connections
  uint64_t bytes;    // per connection, download and upload
  uint64_t count;    // round trips, messages or connections, all together
  double seconds;    // length of the measured interval
  double warmup;     // seconds before it
  double timeout;    // seconds for the whole run with bytes or count
  uint64_t size;     // bytes of one ping or message, or of one fetched response
  unsigned depth;    // small: messages of a connection that are under way
  uint64_t objects;  // http and web: so many are asked for
  double rate;       // http and web: requests a second, of all connections together; 0: as fast as they are answered
  int cold;          // http: every request is for a URL that nobody has asked for before
  uint64_t known;    // http and web: responses up to this number are copies, whoever sees them first
  int in_turn;       // web: each object once, then again, instead of drawing them
  char interface[IFNAMSIZ];  // whose packets are counted; empty: none
  struct sockaddr_storage source;
  socklen_t source_size;
  unsigned source_count;  // 0: the system chooses the source address
  pid_t proxy_pid, server_pid;
  int announce;   // say on stderr when the measured interval begins
  int histogram;  // print the buckets as well
};

// Fills options from the arguments after "run"; 0, or -1 after saying on stderr what is wrong.
int options_parse(int argc, char **argv, struct load_options *options);

// The same for a number between low and high that belongs to the argument `name`.
int options_number(const char *name, const char *text, double low, double high, double *value);

// Whether the mode asks for objects over HTTP.
int options_http(const struct load_options *options);

const char *options_mode_name(enum load_mode mode);
const char *options_via_name(enum load_via via);

#endif
