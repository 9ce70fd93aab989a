// SPDX-License-Identifier: MIT
// Stage relay: the pipes through which splice(2) moves bytes. One pool a relay loop, no locks.
// A half holds a pipe only while bytes are in it, so idle flows cost no pipe.
#pragma once

#include <cstddef>
#include <vector>

namespace symsplice {

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  size_t capacity = 0;  // bytes, as the kernel granted it
  bool valid() const { return read_end >= 0; }
};

class PipePool {
 public:
  // `size` in bytes is asked of every pipe; `keep` empty ones are kept for the next half.
  PipePool(size_t size, size_t keep) : size_(size), keep_(keep) {}
  ~PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // An empty pipe, or an invalid one when descriptors or pipe pages have run out: then copy.
  Pipe Take();
  // Gives back an empty pipe.
  void Give(Pipe pipe);
  // Closes a pipe that still holds bytes.
  static void Discard(Pipe pipe);

 private:
  size_t size_;
  size_t keep_;
  std::vector<Pipe> empty_;
};

}  // namespace symsplice
