// SPDX-License-Identifier: MIT
#include "packet/remains.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "packet/pins.h"

namespace symsplice {
namespace {

constexpr size_t kMostMaps = 64;  // of a program

struct ProgramFacts {
  uint32_t id;
  std::string tag;
  std::vector<uint32_t> maps;
};

// 0, or an errno.
int ReadProgram(const BpfHandle& program, ProgramFacts* out) {
  bpf_prog_info info{};
  std::vector<uint32_t> maps(kMostMaps);
  info.nr_map_ids = kMostMaps;
  info.map_ids = reinterpret_cast<uint64_t>(maps.data());
  uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(program.fd(), &info, &length) != 0) return errno;
  maps.resize(std::min<size_t>(info.nr_map_ids, maps.size()));
  *out = {info.id, {}, std::move(maps)};
  for (const unsigned char byte : info.tag) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", byte);
    out->tag += digits;
  }
  return 0;
}

void TakeMap(BpfHandle map, Remains* out) {
  bpf_map_info info{};
  uint32_t length = sizeof info;
  if (map.fd() < 0 || bpf_obj_get_info_by_fd(map.fd(), &info, &length) != 0) return;
  if (std::strcmp(info.name, "flows") == 0) {
    out->flows = info.max_entries;
    out->slot_bytes = info.value_size;
  }
  if (std::strcmp(info.name, "legs") == 0 &&
      (info.key_size != sizeof(splice_key) || info.value_size != sizeof(uint32_t))) {
    return;
  }
  if (std::strcmp(info.name, "about") == 0) {
    // Zeros stand for what it does not say.
    std::vector<unsigned char> bytes(std::max<size_t>(info.value_size, sizeof(PlaneAbout)));
    PlaneAbout about;
    const uint32_t zero = 0;
    if (bpf_map_lookup_elem(map.fd(), &zero, bytes.data()) == 0) {
      std::memcpy(&about, bytes.data(), sizeof about);
      out->abi = about.abi;
      out->build = about.build;
    }
  }
  out->maps.emplace_back(info.name, std::move(map));
}

// By pins, when one of the pinned programs is really one of the filters'.
bool ReadPinned(const std::string& directory, Remains* out) {
  for (const char* name : kAttachedPrograms) {
    const BpfHandle program(OpenPin(directory, name));
    ProgramFacts facts;
    if (program.fd() < 0 || ReadProgram(program, &facts) != 0) continue;
    const bool attached =
        std::any_of(out->filters.begin(), out->filters.end(),
                    [&](const Filter& filter) { return filter.program_id == facts.id; });
    if (!attached) continue;
    out->tag = facts.tag;
    for (const char* map : kSharedMaps) TakeMap(BpfHandle(OpenPin(directory, map)), out);
    return out->Map("legs") >= 0 && out->Map("flows") >= 0;
  }
  return false;
}

// By the numbers that the filters tell; 0, or an errno.
int ReadByNumber(Remains* out) {
  int error = ENOENT;
  for (const Filter& filter : out->filters) {
    const BpfHandle program(bpf_prog_get_fd_by_id(filter.program_id));
    ProgramFacts facts;
    error = program.fd() < 0 ? errno : ReadProgram(program, &facts);
    if (error != 0) continue;
    out->tag = facts.tag;
    for (const uint32_t id : facts.maps) {
      BpfHandle map(bpf_map_get_fd_by_id(id));
      if (map.fd() < 0) return errno;
      TakeMap(std::move(map), out);
    }
    return out->Map("legs") >= 0 && out->Map("flows") >= 0 ? 0 : EPROTO;
  }
  return error;
}

}  // namespace

BpfHandle::~BpfHandle() {
  if (fd_ >= 0) close(fd_);
}

int Remains::Map(const std::string& name) const {
  const auto found = std::find_if(maps.begin(), maps.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == maps.end() ? -1 : found->second.fd();
}

bool Remains::Slot(uint32_t index, splice_flow_slot* out) const {
  std::vector<unsigned char> bytes(std::max<size_t>(slot_bytes, sizeof *out));
  if (bpf_map_lookup_elem(Map("flows"), &index, bytes.data()) != 0) return false;
  std::memcpy(out, bytes.data(), sizeof *out);
  return true;
}

BpfResult FindRemains(const std::string& pin_parent, std::vector<Remains>* out) {
  std::vector<Remains> all;
  for (const Filter& filter : FindFilters()) {
    auto known = std::find_if(all.begin(), all.end(), [&](const Remains& remains) {
      return remains.priority == filter.priority;
    });
    if (known == all.end()) known = all.insert(all.end(), Remains{.priority = filter.priority});
    known->filters.push_back(filter);
  }
  for (Remains& remains : all) {
    int error = 0;
    if (!ReadPinned(PinDirectory(pin_parent, remains.priority), &remains)) {
      remains.maps.clear();
      error = ReadByNumber(&remains);
    }
    if (error == EPERM) {
      return BpfFailure{BpfFailure::Kind::kSystem,
                        "packet: an earlier process left a data plane, and without pins only "
                        "CAP_SYS_ADMIN can adopt or remove it: " +
                            std::generic_category().message(error),
                        error, "BPF_PROG_GET_FD_BY_ID"};
    }
    if (error == EPROTO) {
      return BpfFailure{BpfFailure::Kind::kSystem,
                        "packet: an earlier process left a data plane that this version cannot "
                        "read: remove it by that version's \"splice-ctl uninstall\"",
                        error, "BPF_MAP_GET_FD_BY_ID"};
    }
    // Any other error: the filters went away while we looked.
    if (error == 0) out->push_back(std::move(remains));
  }
  return std::nullopt;
}

std::vector<splice_key> KeysOf(int legs, uint32_t flows) {
  std::vector<splice_key> keys;
  splice_key key;
  const void* previous = nullptr;
  // Segments may take entries off meanwhile, and the walk begins anew then: the bound ends it.
  while (keys.size() < 4ull * flows && bpf_map_get_next_key(legs, previous, &key) == 0) {
    keys.push_back(key);
    previous = &key;
  }
  return keys;
}

}  // namespace symsplice
