// SPDX-License-Identifier: MIT
#include "packet/plane.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>
#include <utility>

#include "packet/pins.h"

namespace symsplice {
namespace {

constexpr char kName[] = "packet";
constexpr size_t kEthernetHeader = 14;
constexpr const char* kPrograms[] = {"relay_eth", "relay_raw", "guard_eth", "guard_raw", "control"};

}  // namespace

BpfResult Plane::Load(std::span<const uint8_t> bytes, const PlaneSettings& settings,
                      const Remains* from) {
  BpfOptions options{.name = kName};
  if (from != nullptr) {
    for (const char* name : kSharedMaps) {
      if (const int fd = from->Map(name); fd >= 0) options.reuse[name] = fd;
    }
  } else {
    options.sizes = {{"flows", settings.flows}, {"legs", 2 * settings.flows}};
  }
  std::unique_ptr<BpfObject> object;
  if (BpfResult failure = BpfObject::Open(bytes, options, &object)) return failure;
  if (BpfResult failure = object->Load()) return failure;
  object_ = std::move(object);
  return std::nullopt;
}

// Loaded around the maps of each that may be of our build, until one is: so no map is made for a
// comparison. What does not even load there is of another build.
bool Plane::Adopt(std::span<const uint8_t> bytes, const PlaneSettings& settings,
                  const Remains& remains) {
  if (remains.abi != SPLICE_ABI_VERSION || remains.slot_bytes != sizeof(splice_flow_slot)) {
    return false;
  }
  if (Load(bytes, settings, &remains)) return false;
  adopted_ = Build() == remains.build;
  if (adopted_) {
    priority_ = remains.priority;
  } else {
    object_.reset();
  }
  return adopted_;
}

// Of the tags of all programs, also of the one that no filter holds. FNV-1a, 64 bits.
uint64_t Plane::Build() const {
  uint64_t build = 0xcbf29ce484222325;
  for (const char* name : kPrograms) {
    const bpf_program* program = object_->FindProgram(name);
    if (program == nullptr) return 0;
    for (const char digit : BpfObject::Tag(program)) {
      build = (build ^ static_cast<unsigned char>(digit)) * 0x100000001b3;
    }
  }
  return build;
}

BpfResult Plane::FindMaps() {
  int about = -1;
  if (BpfResult failure = object_->ExpectMap("about", 4, sizeof(PlaneAbout), &about)) {
    return failure;
  }
  if (BpfResult failure =
          object_->ExpectMap("flows", 4, sizeof(splice_flow_slot), &flows_fd_)) {
    return failure;
  }
  if (BpfResult failure = object_->ExpectMap("legs", sizeof(splice_key), 4, &legs_)) return failure;
  if (BpfResult failure = object_->ExpectMap("intents", sizeof(splice_key), 4, &intents_)) {
    return failure;
  }
  if (BpfResult failure = object_->ExpectMap("counters", 4, 8, &counters_)) return failure;
  if (BpfResult failure = object_->ExpectMap("edges", 4, 8, &edges_)) return failure;
  if (BpfResult failure = object_->ExpectMap("events", 0, 0, &events_)) return failure;
  const bpf_program* control = object_->FindProgram("control");
  if (control == nullptr) {
    return BpfFailure{BpfFailure::Kind::kAbi,
                      "packet: the BPF object has no program \"control\"; build both together"};
  }
  control_ = bpf_program__fd(control);
  tag_ = BpfObject::Tag(object_->FindProgram(kAttachedPrograms[0]));
  // No segment needs it, and what no attached program holds goes with the process.
  for (const char* name : kAttachedPrograms) {
    bpf_prog_bind_map(bpf_program__fd(object_->FindProgram(name)), about, nullptr);
  }
  flows_ = bpf_map__max_entries(object_->FindMap("flows"));
  void* memory = mmap(nullptr, sizeof(splice_flow_slot) * size_t{flows_}, PROT_READ | PROT_WRITE,
                      MAP_SHARED, flows_fd_, 0);
  if (memory == MAP_FAILED) {
    const int error = errno;
    return BpfFailure{BpfFailure::Kind::kSystem,
                      "packet: cannot map the flows into memory: " +
                          std::generic_category().message(error),
                      error, "mmap", "flows"};
  }
  slots_ = static_cast<splice_flow_slot*>(memory);
  return std::nullopt;
}

BpfResult Plane::Open(std::span<const uint8_t> bytes, const PlaneSettings& settings,
                      std::vector<Remains>* remains, std::unique_ptr<Plane>* out) {
  std::unique_ptr<Plane> plane(new Plane);
  const auto ours = std::find_if(remains->begin(), remains->end(), [&](const Remains& each) {
    return plane->Adopt(bytes, settings, each);
  });
  if (ours != remains->end()) {
    remains->erase(ours);
  } else {
    std::set<uint32_t> taken;
    for (const Remains& each : *remains) taken.insert(each.priority);
    while (taken.count(plane->priority_) != 0 && plane->priority_ < kLastPriority) {
      plane->priority_++;
    }
    if (taken.count(plane->priority_) != 0) {
      return BpfFailure{BpfFailure::Kind::kSystem,
                        "packet: data planes of other builds have all places; end their flows by "
                        "\"splice-ctl uninstall\"",
                        ENOSPC, "tc"};
    }
    if (BpfResult failure = plane->Load(bytes, settings, nullptr)) return failure;
  }
  if (BpfResult failure = plane->FindMaps()) return failure;
  const PlaneAbout about{SPLICE_ABI_VERSION, 0, plane->Build()};
  const uint32_t zero = 0;
  bpf_map_update_elem(bpf_map__fd(plane->object_->FindMap("about")), &zero, &about, BPF_ANY);
  plane->pins_ = PinDirectory(settings.pin_parent, plane->priority_);
  plane->Pin();
  *out = std::move(plane);
  return std::nullopt;
}

void Plane::Pin() const {
  std::vector<std::pair<std::string, int>> descriptors;
  for (const char* name : kSharedMaps) {
    descriptors.emplace_back(name, bpf_map__fd(object_->FindMap(name)));
  }
  for (const char* name : kAttachedPrograms) {
    descriptors.emplace_back(name, bpf_program__fd(object_->FindProgram(name)));
  }
  MakePins(pins_, descriptors);
}

Plane::~Plane() {
  if (slots_ != nullptr) munmap(slots_, sizeof(splice_flow_slot) * size_t{flows_});
}

int Plane::Control(uint32_t op, uint32_t slot, uint32_t pending_client,
                   uint32_t pending_server) const {
  unsigned char packet[64]{};
  const splice_packet_request request{op, slot, {pending_client, pending_server}, 0};
  static_assert(kEthernetHeader + sizeof request <= sizeof packet);
  std::memcpy(packet + kEthernetHeader, &request, sizeof request);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet);
  options.repeat = 1;
  const int error = bpf_prog_test_run_opts(control_, &options);
  return error < 0 ? error : static_cast<int>(options.retval);
}

void Plane::Remove(uint32_t slot) const { Control(SPLICE_OP_REMOVE, slot, 0, 0); }

std::vector<uint32_t> Plane::KeyedSlots() const {
  std::set<uint32_t> found;
  for (const splice_key& key : KeysOf(legs_, flows_)) {
    uint32_t leg = 0;
    if (bpf_map_lookup_elem(legs_, &key, &leg) == 0 && leg >> 1 < flows_) found.insert(leg >> 1);
  }
  return {found.begin(), found.end()};
}

// The port comes round again, and the next client on it may lack nothing. That is nearly every
// client, who should not pay for a system call: so it is made only where an entry can exist.
void Plane::Intend(const splice_key& key, uint32_t remove) {
  if (remove != 0) {
    intended_.store(true, std::memory_order_relaxed);
    bpf_map_update_elem(intents_, &key, &remove, BPF_ANY);
  } else if (adopted_ || intended_.load(std::memory_order_relaxed)) {
    bpf_map_delete_elem(intents_, &key);
  }
}

std::vector<uint64_t> Plane::Sums(int fd, uint32_t count) const {
  std::vector<uint64_t> sums;
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return sums;
  std::vector<uint64_t> values(static_cast<size_t>(cpus));
  for (uint32_t i = 0; i < count; i++) {
    uint64_t sum = 0;
    if (bpf_map_lookup_elem(fd, &i, values.data()) == 0) {
      for (const uint64_t value : values) sum += value;
    }
    sums.push_back(sum);
  }
  return sums;
}

std::vector<uint64_t> Plane::Counters() const {
  return Sums(counters_, bpf_map__max_entries(object_->FindMap("counters")));
}

std::vector<uint64_t> Plane::Edges() const {
  return Sums(edges_, bpf_map__max_entries(object_->FindMap("edges")));
}

int Plane::Attach(int ifindex, bool ethernet) {
  const auto program = [this](const char* name) {
    return bpf_program__fd(object_->FindProgram(name));
  };
  return AttachFilters(ifindex,
                       {program(ethernet ? "relay_eth" : "relay_raw"),
                        program(ethernet ? "guard_eth" : "guard_raw")},
                       priority_);
}

void Plane::Detach(int ifindex) { DetachFilters(ifindex, priority_); }

void Plane::DetachAll() {
  for (const int ifindex : interfaces()) DetachFilters(ifindex, priority_);
  RemovePins(pins_);
}

std::vector<int> Plane::interfaces() const {
  std::set<int> found;
  for (const Filter& filter : FindFilters()) {
    if (filter.priority == priority_ && !filter.egress) found.insert(filter.ifindex);
  }
  return {found.begin(), found.end()};
}

}  // namespace symsplice
