// SPDX-License-Identifier: MIT
#pragma once

#include <napi.h>

namespace symsplice {

void InitSockmap(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
