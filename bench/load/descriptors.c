// SPDX-License-Identifier: MIT
#include "descriptors.h"

#include <sys/resource.h>

unsigned long descriptors_raise(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? before : limit.rlim_cur;
}
