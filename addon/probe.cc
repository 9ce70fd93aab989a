// SPDX-License-Identifier: MIT
#include "probe.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

namespace symsplice {
namespace {

// Descriptors of one probe: closed on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// The enum value whose libbpf name is `name`, or -1.
template <typename Name>
int ByName(Name name_of, const std::string& name) {
  for (int value = 1;; value++) {
    const char* candidate = name_of(value);
    if (candidate == nullptr) return -1;
    if (name == candidate) return value;
  }
}

// 0 when a program of this type that does nothing loads, else the errno.
int LoadEmpty(bpf_prog_type type) {
  const bpf_insn program[] = {
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  const Descriptor fd(bpf_prog_load(type, nullptr, "MIT", program, 2, nullptr));
  return fd.get() >= 0 ? 0 : errno;
}

int ProbeProgramType(const std::string& name) {
  const int type = ByName(
      [](int value) { return libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(value)); }, name);
  if (type < 0) return -EINVAL;
  const int found = libbpf_probe_bpf_prog_type(static_cast<bpf_prog_type>(type), nullptr);
  // libbpf calls a program that we may not load unsupported; that is another thing.
  if (found == 0 && LoadEmpty(static_cast<bpf_prog_type>(type)) == EPERM) return -EPERM;
  return found;
}

int ProbeMapType(const std::string& name) {
  const int type = ByName(
      [](int value) { return libbpf_bpf_map_type_str(static_cast<bpf_map_type>(value)); }, name);
  if (type < 0) return -EINVAL;
  const int found = libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(type), nullptr);
  if (found != 0) return found;
  // Told from a missing type by whether programs may be loaded at all.
  return LoadEmpty(BPF_PROG_TYPE_SCHED_CLS) == EPERM ? -EPERM : 0;
}

constexpr struct {
  const char* name;
  bpf_func_id id;
} kHelpers[] = {
    {"bpf_redirect", BPF_FUNC_redirect},
    {"bpf_redirect_neigh", BPF_FUNC_redirect_neigh},
    {"bpf_redirect_peer", BPF_FUNC_redirect_peer},
    {"bpf_fib_lookup", BPF_FUNC_fib_lookup},
    {"bpf_skc_lookup_tcp", BPF_FUNC_skc_lookup_tcp},
    {"bpf_skc_to_tcp_sock", BPF_FUNC_skc_to_tcp_sock},
    {"bpf_sk_redirect_hash", BPF_FUNC_sk_redirect_hash},
    {"bpf_get_socket_cookie", BPF_FUNC_get_socket_cookie},
    {"bpf_timer_init", BPF_FUNC_timer_init},
    {"bpf_ringbuf_output", BPF_FUNC_ringbuf_output},
    {"bpf_spin_lock", BPF_FUNC_spin_lock},
    {"bpf_csum_diff", BPF_FUNC_csum_diff},
};

// Whether programs of this type may call the helper, read from what the verifier complains of: a
// wrong argument means that the helper itself is there. Not libbpf_probe_bpf_helper: versions
// before 1.5 do not know the words of newer kernels (6.10, inferred) and answer yes always, and
// all of them answer yes to whoever may load nothing.
int ProbeCall(bpf_prog_type type, bpf_func_id helper) {
  const bpf_insn program[] = {
      {BPF_JMP | BPF_CALL, 0, 0, 0, static_cast<__s32>(helper)},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  char log[4096] = {};
  LIBBPF_OPTS(bpf_prog_load_opts, options, .log_level = 1, .log_size = sizeof log, .log_buf = log);
  const Descriptor fd(bpf_prog_load(type, nullptr, "GPL", program, 2, &options));
  if (fd.get() >= 0) return 1;
  const int error = errno;
  for (const char* refusal : {"invalid func ", "unknown func ", "cannot use helper "}) {
    if (std::strstr(log, refusal) != nullptr) return 0;
  }
  return log[0] != '\0' ? 1 : -error;
}

int ProbeHelper(const std::string& program_type, const std::string& helper) {
  const int type = ByName(
      [](int value) { return libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(value)); },
      program_type);
  if (type < 0) return -EINVAL;
  for (const auto& known : kHelpers) {
    if (helper != known.name) continue;
    if (const int error = LoadEmpty(static_cast<bpf_prog_type>(type)); error != 0) return -error;
    return ProbeCall(static_cast<bpf_prog_type>(type), known.id);
  }
  return -EINVAL;
}

// In a thread of its own, because a network namespace belongs to a thread: the qdisc is put on
// that namespace's loopback, and both are gone when the thread has ended.
int ProbeClsact() {
  int result = 0;
  try {
    std::thread([&result] {
      if (unshare(CLONE_NEWNET) != 0) {
        result = -errno;
        return;
      }
      LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = 1, .attach_point = BPF_TC_INGRESS);
      const int error = bpf_tc_hook_create(&hook);
      if (error == 0) {
        result = 1;
      } else if (error != -ENOENT && error != -EOPNOTSUPP) {  // no such qdisc in this kernel
        result = error;
      }
    }).join();
  } catch (const std::system_error& failure) {  // no thread to be had
    return -failure.code().value();
  }
  return result;
}

// A connected TCP pair over the loopback interface; 0 or an errno.
int TcpPair(Descriptor* near, Descriptor* far) {
  const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (listener.get() < 0 || bind(listener.get(), any, length) != 0 ||
      listen(listener.get(), 1) != 0 || getsockname(listener.get(), any, &length) != 0) {
    return errno;
  }
  *near = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (near->get() < 0 || connect(near->get(), any, length) != 0) return errno;
  *far = Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return far->get() < 0 ? errno : 0;
}

int MakePipe(Descriptor* read_end, Descriptor* write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
  *read_end = Descriptor(ends[0]);
  *write_end = Descriptor(ends[1]);
  return 0;
}

constexpr char kMessage[] = "symsplice";
constexpr ssize_t kMessageSize = sizeof kMessage;

// Whether exactly the message is to be read from `fd`.
bool Arrived(int fd) {
  char buffer[sizeof kMessage + 1] = {};
  pollfd wait{fd, POLLIN, 0};
  if (poll(&wait, 1, 1000) != 1) return false;
  return read(fd, buffer, sizeof buffer) == kMessageSize &&
         std::memcmp(buffer, kMessage, sizeof kMessage) == 0;
}

// Moves a message socket -> pipe -> socket, and a copy of it by tee(2) to a second pipe.
int ProbeSplice(bool with_tee) {
  Descriptor a, b, c, d, out, in, copy_out, copy_in;
  for (const int error : {TcpPair(&a, &b), TcpPair(&c, &d), MakePipe(&out, &in),
                          MakePipe(&copy_out, &copy_in)}) {
    if (error != 0) return -error;
  }
  if (write(a.get(), kMessage, sizeof kMessage) != kMessageSize) return -EIO;
  pollfd wait{b.get(), POLLIN, 0};
  if (poll(&wait, 1, 1000) != 1) return -ETIMEDOUT;
  if (::splice(b.get(), nullptr, in.get(), nullptr, 4096, SPLICE_F_NONBLOCK) != kMessageSize) {
    return errno == ENOSYS || errno == EINVAL ? 0 : -errno;
  }
  if (with_tee) {
    if (tee(out.get(), copy_in.get(), 4096, SPLICE_F_NONBLOCK) != kMessageSize) {
      return errno == ENOSYS || errno == EINVAL ? 0 : -errno;
    }
    if (!Arrived(copy_out.get())) return -EIO;
  }
  if (::splice(out.get(), nullptr, c.get(), nullptr, kMessageSize, SPLICE_F_NONBLOCK) !=
      kMessageSize) {
    return errno == ENOSYS || errno == EINVAL ? 0 : -errno;
  }
  return Arrived(d.get()) ? 1 : -EIO;
}

// TCP_REPAIR on a socket that was never connected: the permission is checked, nothing else.
int ProbeTcpRepair() {
  const Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (fd.get() < 0) return -errno;
  if (setsockopt(fd.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0) return 1;
  return errno == ENOPROTOOPT ? 0 : -errno;
}

std::string Text(const Napi::CallbackInfo& info, size_t index) {
  return info.Length() > index && info[index].IsString()
             ? info[index].As<Napi::String>().Utf8Value()
             : std::string();
}

Napi::Value Answer(const Napi::CallbackInfo& info, int result) {
  return Napi::Number::New(info.Env(), result);
}

}  // namespace

// exports.probe = { programType(name), mapType(name), helper(programType, name), clsact(),
// splice(), tee(), tcpRepair() }
void InitProbe(Napi::Env env, Napi::Object exports) {
  Napi::Object probe = Napi::Object::New(env);
  probe.Set("programType", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeProgramType(Text(info, 0)));
            }));
  probe.Set("mapType", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeMapType(Text(info, 0)));
            }));
  probe.Set("helper", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeHelper(Text(info, 0), Text(info, 1)));
            }));
  probe.Set("clsact", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeClsact());
            }));
  probe.Set("splice", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeSplice(false));
            }));
  probe.Set("tee", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeSplice(true));
            }));
  probe.Set("tcpRepair", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
              return Answer(info, ProbeTcpRepair());
            }));
  exports.Set("probe", probe);
}

}  // namespace symsplice
