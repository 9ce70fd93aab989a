// SPDX-License-Identifier: MIT
#include "packet/ports.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace symsplice {
namespace {

constexpr size_t kMostDestinations = 16384;  // those that hold no port; more are forgotten
constexpr uint64_t kRestMs = 1000;

uint64_t Random() {
  uint64_t value = 0;
  (void)!getrandom(&value, sizeof value, GRND_NONBLOCK);
  return value;
}

}  // namespace

SourcePorts::SourcePorts(uint16_t low, uint16_t high)
    : low_(low),
      high_(high),
      size_(static_cast<uint32_t>(high) - low + 1),
      start_(Random()),
      destinations_(64, Hash{Random()}) {}

size_t SourcePorts::Hash::operator()(const Where& where) const {
  char seeded[sizeof seed + sizeof where.bytes];
  std::memcpy(seeded, &seed, sizeof seed);
  std::memcpy(seeded + sizeof seed, where.bytes, sizeof where.bytes);
  return std::hash<std::string_view>{}({seeded, sizeof seeded});
}

SourcePorts::Where SourcePorts::WhereOf(const splice_key& key) {
  Where where;
  std::memcpy(where.bytes, key.remote, 16);
  std::memcpy(where.bytes + 16, &key.remote_port, 2);
  return where;
}

// Where nothing is held, only the order of the ports is lost: the kernel knows the sockets.
void SourcePorts::Forget() {
  std::erase_if(destinations_, [](const auto& entry) { return entry.second.held.empty(); });
}

SourcePorts::Destination* SourcePorts::Find(const splice_key& destination) {
  const Where where = WhereOf(destination);
  const auto found = destinations_.find(where);
  if (found != destinations_.end()) return &found->second;
  if (destinations_.size() >= kMostDestinations + held_) Forget();
  Destination& made = destinations_[where];
  // Not the same for all: whoever sees one connection should not know the port of the next.
  start_ = start_ * 6364136223846793005u + 1442695040888963407u;
  made.next = static_cast<uint32_t>(start_ >> 33) % size_;
  return &made;
}

uint16_t SourcePorts::Next(const splice_key& destination, uint64_t now_ms) {
  Destination* to = Find(destination);
  if (now_ms < to->rest_until_ms) return 0;
  // At most once around, a word of 64 ports a step.
  for (uint32_t seen = 0; seen < size_;) {
    const uint32_t at = to->next;
    const uint32_t bit = at % 64;
    const auto word = to->held.find(at / 64);
    const uint64_t busy = word == to->held.end() ? 0 : word->second >> bit;
    const uint32_t skip = static_cast<uint32_t>(std::countr_one(busy));
    if (skip == 0) {
      to->next = (at + 1) % size_;
      return static_cast<uint16_t>(low_ + at);
    }
    const uint32_t step = std::min(skip, std::min(64 - bit, size_ - at));
    to->next = (at + step) % size_;
    seen += step;
  }
  return 0;
}

void SourcePorts::Rest(const splice_key& destination, uint64_t now_ms) {
  Find(destination)->rest_until_ms = now_ms + kRestMs;
}

void SourcePorts::Hold(const splice_key& server) {
  const uint16_t port = ntohs(server.local_port);
  if (!Contains(port)) return;
  const uint32_t at = static_cast<uint32_t>(port) - low_;
  Destination* const to = Find(server);
  uint64_t& word = to->held[at / 64];
  const uint64_t bit = uint64_t{1} << (at % 64);
  if ((word & bit) != 0) return;
  word |= bit;
  to->count++;
  held_++;
}

double SourcePorts::Load(const splice_key& server) const {
  const auto found = destinations_.find(WhereOf(server));
  return found == destinations_.end() ? 0 : static_cast<double>(found->second.count) / size_;
}

void SourcePorts::Free(const splice_key& server) {
  const uint16_t port = ntohs(server.local_port);
  if (!Contains(port)) return;
  const auto destination = destinations_.find(WhereOf(server));
  if (destination == destinations_.end()) return;
  const uint32_t at = static_cast<uint32_t>(port) - low_;
  const auto word = destination->second.held.find(at / 64);
  const uint64_t bit = uint64_t{1} << (at % 64);
  if (word == destination->second.held.end() || (word->second & bit) == 0) return;
  word->second &= ~bit;
  destination->second.count--;
  held_--;
  if (word->second == 0) destination->second.held.erase(word);
}

}  // namespace symsplice
