// SPDX-License-Identifier: MIT
#include "bpf_test_run.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace symsplice {
namespace {

// More than the kernel takes, and programs add a few bytes at most.
constexpr size_t kLongest = 1 << 16;

int RunHere(const bpf_program* program, const BpfTestPacket& packet, BpfTestOutcome* out) {
  __sk_buff before{};
  __sk_buff after{};
  before.mark = packet.mark;
  before.ifindex = packet.ifindex;
  before.ingress_ifindex = packet.ingress_ifindex;
  before.gso_size = packet.gso_size;
  before.gso_segs = packet.gso_segments;
  out->bytes.resize(kLongest);
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = packet.bytes.data();
  options.data_size_in = static_cast<uint32_t>(packet.bytes.size());
  options.data_out = out->bytes.data();
  options.data_size_out = static_cast<uint32_t>(out->bytes.size());
  options.ctx_in = &before;
  options.ctx_size_in = sizeof(before);
  options.ctx_out = &after;
  options.ctx_size_out = sizeof(after);
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) return errno;
  out->result = static_cast<int32_t>(options.retval);
  out->bytes.resize(options.data_size_out);
  out->mark = after.mark;
  out->gso_size = after.gso_size;
  return 0;
}

}  // namespace

int RunBpfTest(const bpf_program* program, const BpfTestPacket& packet, BpfTestOutcome* out) {
  if (packet.network.empty()) return RunHere(program, packet, out);
  const int network = open(packet.network.c_str(), O_RDONLY | O_CLOEXEC);
  if (network < 0) return errno;
  // A thread of its own: Node's must never be seen in another network.
  int error = 0;
  std::thread([&] {
    error = setns(network, CLONE_NEWNET) != 0 ? errno : RunHere(program, packet, out);
  }).join();
  close(network);
  return error;
}

}  // namespace symsplice
