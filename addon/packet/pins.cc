// SPDX-License-Identifier: MIT
#include "packet/pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace symsplice {
namespace {

std::string NamespaceDirectory(const std::string& parent) {
  struct stat status;
  if (parent.empty() || stat("/proc/self/ns/net", &status) != 0) return {};
  return parent + "/" + std::to_string(status.st_ino);
}

std::string Above(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool MakeDirectory(const std::string& path) {
  struct statfs status;
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return false;
  return statfs(path.c_str(), &status) == 0 && status.f_type == BPF_FS_MAGIC;
}

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  DIR* const listing = opendir(directory.c_str());
  if (listing == nullptr) return names;
  while (const dirent* entry = readdir(listing)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(listing);
  return names;
}

}  // namespace

std::string PinDirectory(const std::string& parent, uint32_t priority) {
  const std::string here = NamespaceDirectory(parent);
  return here.empty() ? here : here + "/" + std::to_string(priority);
}

bool MakePins(const std::string& directory,
              const std::vector<std::pair<std::string, int>>& descriptors) {
  if (directory.empty()) return false;
  const std::string here = Above(directory);
  // Looked at before anything is made: a directory elsewhere would stay behind.
  struct statfs status;
  if (statfs(Above(Above(here)).c_str(), &status) != 0 || status.f_type != BPF_FS_MAGIC) {
    return false;
  }
  bool made = MakeDirectory(Above(here)) && MakeDirectory(here) && MakeDirectory(directory);
  for (const auto& [name, fd] : descriptors) {
    const std::string path = directory + "/" + name;
    unlink(path.c_str());
    made = made && bpf_obj_pin(fd, path.c_str()) == 0;
  }
  if (!made) RemovePins(directory);
  return made;
}

void RemovePins(const std::string& directory) {
  if (directory.empty()) return;
  for (const std::string& name : NamesIn(directory)) unlink((directory + "/" + name).c_str());
  rmdir(directory.c_str());
  // The last one of a namespace takes its directory along, and that of the last namespace, too.
  if (rmdir(Above(directory).c_str()) == 0) rmdir(Above(Above(directory)).c_str());
}

void RemoveStalePins(const std::string& parent, const std::vector<uint32_t>& priorities) {
  const std::string here = NamespaceDirectory(parent);
  if (here.empty()) return;
  for (const std::string& name : NamesIn(here)) {
    const bool known = std::any_of(priorities.begin(), priorities.end(), [&](uint32_t priority) {
      return std::to_string(priority) == name;
    });
    if (!known) RemovePins(here + "/" + name);
  }
}

int OpenPin(const std::string& directory, const char* name) {
  if (directory.empty()) return -ENOENT;
  const int fd = bpf_obj_get((directory + "/" + name).c_str());
  return fd < 0 ? -errno : fd;
}

}  // namespace symsplice
