// SPDX-License-Identifier: MIT
// What this machine can do, found out by doing it: the native half of splice-ctl doctor.
//
// Each function answers 1 (works), 0 (the kernel has it not) or a negative errno (could not be
// decided, or not allowed; -EPERM names missing privilege). Nothing is left behind: programs and
// maps die with their descriptors, the tc probe lives in a network namespace of its own thread.
// Called on the JavaScript thread, at start or from the command line, never on a flow's way.
#pragma once

#include <napi.h>

namespace symsplice {

void InitProbe(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
