// SPDX-License-Identifier: MIT
// A second way to a data plane that an earlier process left, for one that has not CAP_SYS_ADMIN and
// may therefore not open programs and maps by number: pins on a bpffs, where there is one to write
// to. Filters stay the truth; a pin that no filter answers to means nothing.
//
// <parent>/<network namespace>/<priority>/<name of a program or a map>
// Plain system calls; any thread, nothing kept.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace symsplice {

// Where a plane of this network namespace has its pins; empty when `parent` is.
std::string PinDirectory(const std::string& parent, uint32_t priority);

// Pins them, in place of what was there. False, leaving nothing, when that is no bpffs or not ours
// to write to: then there are no pins.
bool MakePins(const std::string& directory,
              const std::vector<std::pair<std::string, int>>& descriptors);
void RemovePins(const std::string& directory);
// Those of this network namespace that none of the priorities has.
void RemoveStalePins(const std::string& parent, const std::vector<uint32_t>& priorities);

// A descriptor of what is pinned, or a negative errno.
int OpenPin(const std::string& directory, const char* name);

}  // namespace symsplice
