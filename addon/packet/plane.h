// SPDX-License-Identifier: MIT
// The data plane in the kernel as this process holds it: loaded programs, their maps, the slots
// mapped into memory. Opened fresh, or around the maps that an earlier process left.
//
// The table owns the one that is in use. Control() and the look-ups may come from any thread; the
// rest is for whoever opens and closes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bpf_object.h"
#include "packet/remains.h"
#include "splice/packet.h"

namespace symsplice {

struct PlaneSettings {
  uint32_t flows;
  std::string pin_parent;  // see pins.h; empty: nothing is pinned
};

class Plane {
 public:
  // `remains` is taken over when it is of the same build; else it is left in the vector.
  static BpfResult Open(std::span<const uint8_t> bytes, const PlaneSettings& settings,
                        std::vector<Remains>* remains, std::unique_ptr<Plane>* out);
  ~Plane();
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  // An enum splice_packet_answer, or a negative errno when it could not be asked.
  int Control(uint32_t op, uint32_t slot, uint32_t pending_client, uint32_t pending_server) const;

  uint32_t flows() const { return flows_; }
  splice_flow_slot* slot(uint32_t index) const { return slots_ + index; }
  const std::string& tag() const { return tag_; }
  bool adopted() const { return adopted_; }
  uint32_t priority() const { return priority_; }

  // Deletes the keys as far as they are still the slot's, and frees it.
  void Remove(uint32_t slot) const;
  // The slots that have a key, each once.
  std::vector<uint32_t> KeyedSlots() const;
  // What the SYN of a connection to be must not offer, 0 for nothing; see map `intents`.
  void Intend(const splice_key& key, uint32_t remove);

  int events() const { return events_; }
  // Sums over the processors.
  std::vector<uint64_t> Counters() const;
  std::vector<uint64_t> Edges() const;

  int Attach(int ifindex, bool ethernet);
  void Detach(int ifindex);
  // With the filters the pins go: nothing is left for anybody to find.
  void DetachAll();
  std::vector<int> interfaces() const;

 private:
  Plane() = default;
  BpfResult Load(std::span<const uint8_t> bytes, const PlaneSettings& settings,
                 const Remains* from);
  bool Adopt(std::span<const uint8_t> bytes, const PlaneSettings& settings,
             const Remains& remains);
  uint64_t Build() const;
  BpfResult FindMaps();
  void Pin() const;
  std::vector<uint64_t> Sums(int fd, uint32_t count) const;

  std::unique_ptr<BpfObject> object_;
  std::string tag_;
  bool adopted_ = false;
  uint32_t priority_ = kFirstPriority;
  std::string pins_;  // directory
  int control_ = -1;
  int flows_fd_ = -1;
  int legs_ = -1;
  int intents_ = -1;
  std::atomic<bool> intended_{false};  // this process has made an entry
  int counters_ = -1;
  int edges_ = -1;
  int events_ = -1;
  uint32_t flows_ = 0;
  splice_flow_slot* slots_ = nullptr;
};

}  // namespace symsplice
