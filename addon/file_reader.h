// SPDX-License-Identifier: MIT
// Stage relay: the bytes of a file that a socket is sent, by sendfile(2), without waiting for the
// disk.
//
// sendfile(2) of what the page cache lacks sleeps until the disk has read it, and every other body
// of the thread would sleep with it. So each piece is looked for first (preadv2 with RWF_NOWAIT,
// a byte at either end); when it is not there the disk is asked to read ahead and the body has its
// turn again a moment later. Only a guess may be wrong, never a byte: a piece that was taken for
// present, or did not come in time, is waited for by sendfile(2) after all.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace symsplice {

class FileReader {
 public:
  // What Send() returns when the disk is asked and has not answered.
  static constexpr ssize_t kDiskIsSlow = -4096;

  // > 0 bytes sent, 0 the file ends here, kDiskIsSlow, or a negative errno.
  ssize_t Send(int socket, int file, uint64_t offset, uint64_t length, uint64_t now_ms);

 private:
  void AskAhead(int file, uint64_t offset, uint64_t length);

  uint64_t present_ = 0;     // looked for up to here
  uint64_t asked_to_ = 0;    // the disk was asked up to here
  bool cold_ = false;        // something was not there: asked ahead from then on
  uint64_t waiting_ms_ = 0;  // since when the next piece is waited for; 0: it is not
};

}  // namespace symsplice
