// SPDX-License-Identifier: MIT
#include "sockmap.h"

namespace symsplice {

void InitSockmap(Napi::Env, Napi::Object) {}

}  // namespace symsplice
