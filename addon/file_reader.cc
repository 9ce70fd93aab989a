// SPDX-License-Identifier: MIT
#include "file_reader.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace symsplice {
namespace {

constexpr uint64_t kPiece = 256 * 1024;   // sent by one call
constexpr uint64_t kAhead = 1024 * 1024;  // asked of the disk before it is sent
constexpr uint64_t kPatienceMs = 200;     // then sendfile(2) may as well find out why

// False only when the page cache lacks the byte: whatever else fails, sendfile(2) will report.
bool BytePresent(int file, uint64_t offset) {
  char byte;
  iovec vector{&byte, 1};
  return preadv2(file, &vector, 1, static_cast<off_t>(offset), RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

}  // namespace

// Half of what was asked for is still to be sent when the disk is asked for more.
void FileReader::AskAhead(int file, uint64_t offset, uint64_t length) {
  if (asked_to_ >= offset + std::min(length, kAhead / 2)) return;
  const uint64_t from = std::max(offset, asked_to_);
  const uint64_t to = offset + std::min(length, kAhead);
  posix_fadvise(file, static_cast<off_t>(from), static_cast<off_t>(to - from),
                POSIX_FADV_WILLNEED);
  asked_to_ = to;
}

ssize_t FileReader::Send(int socket, int file, uint64_t offset, uint64_t length, uint64_t now_ms) {
  const uint64_t piece = std::min(length, kPiece);
  if (cold_) AskAhead(file, offset, length);
  // A socket that is full takes a piece in parts: the rest was found already.
  const bool present =
      offset + piece <= present_ ||
      (BytePresent(file, offset) && BytePresent(file, offset + piece - 1));
  if (!present) {
    if (waiting_ms_ == 0) {
      cold_ = true;
      AskAhead(file, offset, length);
      waiting_ms_ = now_ms;
    }
    if (now_ms - waiting_ms_ < kPatienceMs) return kDiskIsSlow;
  }
  waiting_ms_ = 0;
  present_ = offset + piece;
  auto at = static_cast<off_t>(offset);
  const ssize_t n = sendfile(socket, file, &at, static_cast<size_t>(piece));
  return n < 0 ? -errno : n;
}

}  // namespace symsplice
