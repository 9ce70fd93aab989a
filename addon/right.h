// SPDX-License-Identifier: MIT
// One process of a network namespace at a time has the right to carry flows without sockets: two
// would adopt each other's, and give out the same source ports. Any thread.
#pragma once

#include <string>

namespace symsplice {

class Right {
 public:
  Right() = default;
  ~Right() { GiveBack(); }
  Right(const Right&) = delete;
  Right& operator=(const Right&) = delete;

  // 0, or an errno: EADDRINUSE when another process has it. `syscall` says what failed.
  int Take(const char** syscall);
  void GiveBack();
  // Who came to see whose the right is has seen it.
  void ForgetAskers() const;

  // Who has it, for people; "another process" when it lies in another process namespace.
  static std::string Holder();
  // This process has it.
  static bool IsHere();

 private:
  int socket_ = -1;
};

}  // namespace symsplice
