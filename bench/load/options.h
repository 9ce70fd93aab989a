// SPDX-License-Identifier: MIT
#ifndef SPLICE_LOAD_OPTIONS_H
#define SPLICE_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "address.h"

enum load_mode { MODE_DOWNLOAD, MODE_UPLOAD, MODE_PING, MODE_CONNECT };

// What `splice-load run` was asked to do. Exactly one of bytes, seconds and count is set.
struct load_options {
  enum load_mode mode;
  int via_socks5;
  struct address proxy, target;
  unsigned connections;
  uint64_t bytes;    // per connection, download and upload
  uint64_t count;    // round trips or connections, all together
  double seconds;    // length of the measured interval
  double warmup;     // seconds before it
  double timeout;    // seconds for the whole run with bytes or count
  unsigned size;     // bytes of one ping
  struct in_addr source;
  unsigned source_count;  // 0: the system chooses the source address
  pid_t proxy_pid, server_pid;
};

// Fills options from the arguments after "run"; 0, or -1 after saying on stderr what is wrong.
int options_parse(int argc, char **argv, struct load_options *options);

const char *options_mode_name(enum load_mode mode);

#endif
