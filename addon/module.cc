// SPDX-License-Identifier: MIT
// The addon's table of contents. Each part is documented where src/native.ts declares it.
#include <napi.h>

#include "bpf_loader.h"
#include "growth.h"
#include "handed_out.h"
#include "module/kernel_module.h"
#include "packet/packet.h"
#include "probe.h"
#include "quota.h"
#include "reactor.h"
#include "relay.h"
#include "socket.h"
#include "sockmap.h"
#include "splice/abi.h"
#include "tap.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("abiVersion", Napi::Number::New(env, SPLICE_ABI_VERSION));
  symsplice::HandedOut::Init(env);
  symsplice::InitSocket(env, exports);
  symsplice::InitQuota(env, exports);
  symsplice::InitReactor(env, exports);
  symsplice::InitRelay(env, exports);
  symsplice::InitGrowth(env, exports);
  symsplice::InitTap(env, exports);
  symsplice::InitBpfLoader(env, exports);
  symsplice::InitSockmap(env, exports);
  symsplice::InitPacket(env, exports);
  symsplice::InitKernelModule(env, exports);
  symsplice::InitProbe(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(symsplice, Init)
