// SPDX-License-Identifier: MIT
#include "module/client.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "uapi/symsplice.h"

namespace symsplice {
namespace {

constexpr size_t kBuffer = 64 * 1024;  // the kernel fills half of it with one part of a dump

int OpenSocket() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
  if (fd < 0) return -errno;
  sockaddr_nl us{};
  us.nl_family = AF_NETLINK;
  if (bind(fd, reinterpret_cast<sockaddr*>(&us), sizeof us) < 0) {
    const int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

// Bytes from the kernel; what another process sent to this socket is passed over. -1 with errno set;
// more than `room`: it was cut.
ssize_t Receive(int socket, uint8_t* buffer, size_t room) {
  for (;;) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const ssize_t got = recvfrom(socket, buffer, room, MSG_DONTWAIT | MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    if (got >= 0 && from.nl_pid == 0) return got;
    if (got < 0 && errno != EINTR) return -1;
  }
}

}  // namespace

ModuleClient::~ModuleClient() {
  if (socket_ >= 0) close(socket_);
}

int ModuleClient::Connect() {
  if (socket_ >= 0) return 0;
  socket_ = OpenSocket();
  if (socket_ < 0) return -socket_;
  buffer_.resize(kBuffer);
  return 0;
}

int ModuleClient::Take(const ModuleFamily& family) {
  if (family.id == 0 || family.events == 0) return EBADMSG;
  family_ = family.id;
  events_ = family.events;
  return 0;
}

int ModuleClient::Open() {
  if (const int error = Connect(); error != 0) return error;
  NetlinkRequest request(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);
  request.PutText(CTRL_ATTR_FAMILY_NAME, SYMSPLICE_GENL_NAME);
  ModuleFamily family;
  const int error = Ask(&request, [&family](const NetlinkMessage& message) {
    family = DecodeFamily(message.Attributes());
  });
  return error != 0 ? error : Take(family);
}

// By a list of all families: one that is asked for by its name is loaded.
int ModuleClient::Find() {
  if (const int error = Connect(); error != 0) return error;
  NetlinkRequest request(GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETFAMILY, 1);
  ModuleFamily family;
  bool found = false;
  const int error = Ask(&request, [&](const NetlinkMessage& message) {
    const ModuleFamily each = DecodeFamily(message.Attributes());
    if (!each.ours) return;
    family = each;
    found = true;
  });
  if (error != 0) return error;
  return found ? Take(family) : ENOENT;
}

NetlinkRequest ModuleClient::Request(uint8_t command, uint16_t flags) const {
  return {family_, flags, command, SYMSPLICE_GENL_VERSION};
}

// A request with NLM_F_ACK ends with an acknowledgement, a dump with NLMSG_DONE, any other with the
// one message that answers it, or an error.
int ModuleClient::Ask(NetlinkRequest* request, const OnMessage& on_message) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t sequence = ++sequence_;
  const std::span<const uint8_t> bytes = request->bytes(sequence);
  if (bytes.empty()) return EMSGSIZE;
  if (send(socket_, bytes.data(), bytes.size(), 0) < 0) return errno;
  for (;;) {
    const ssize_t got = Receive(socket_, buffer_.data(), buffer_.size());
    if (got < 0) return errno == EAGAIN ? EBADMSG : errno;
    if (static_cast<size_t>(got) > buffer_.size()) return EBADMSG;
    NetlinkMessages messages({buffer_.data(), static_cast<size_t>(got)});
    for (NetlinkMessage message; messages.Next(&message);) {
      // Of a question whose answer nobody waited for.
      if (message.sequence != sequence) continue;
      if (message.IsError()) return message.Error();
      if (message.IsDone()) return message.Error() == EPROTO ? 0 : message.Error();
      on_message(message);
      if (!request->has_end()) return 0;
    }
  }
}

int ModuleClient::AskForAnswer(NetlinkRequest* request, ModuleAnswer* out) {
  *out = {};
  const int error = Ask(request, [out](const NetlinkMessage& message) {
    *out = DecodeAnswer(message.Attributes());
  });
  if (error != 0) return error;
  return out->there ? 0 : EBADMSG;
}

int ModuleClient::Init(int listener) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_INIT, NLM_F_ACK);
  request.PutU32(SYMSPLICE_A_LISTENER, static_cast<uint32_t>(listener));
  return Ask(&request, [](const NetlinkMessage&) {});
}

int ModuleClient::Intend(int client, int server, ModuleAnswer* out) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_INTEND, 0);
  request.PutU32(SYMSPLICE_A_CLIENT, static_cast<uint32_t>(client));
  request.PutU32(SYMSPLICE_A_SERVER, static_cast<uint32_t>(server));
  return AskForAnswer(&request, out);
}

int ModuleClient::Cancel(int client) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_CANCEL, NLM_F_ACK);
  request.PutU32(SYMSPLICE_A_CLIENT, static_cast<uint32_t>(client));
  return Ask(&request, [](const NetlinkMessage&) {});
}

int ModuleClient::Splice(int client, int server, const uint32_t owed[2], uint32_t idle_ms,
                         ModuleAnswer* out) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_SPLICE, 0);
  request.PutU32(SYMSPLICE_A_CLIENT, static_cast<uint32_t>(client));
  request.PutU32(SYMSPLICE_A_SERVER, static_cast<uint32_t>(server));
  request.PutU32(SYMSPLICE_A_LEN, owed[SPLICE_CLIENT]);
  request.PutU32(SYMSPLICE_A_SERVER_LEN, owed[SPLICE_SERVER]);
  request.PutU32(SYMSPLICE_A_IDLE, idle_ms);
  return AskForAnswer(&request, out);
}

int ModuleClient::Abort(uint64_t flow) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_ABORT, NLM_F_ACK);
  request.PutU64(SYMSPLICE_A_ID, flow);
  return Ask(&request, [](const NetlinkMessage&) {});
}

int ModuleClient::AbortAll() {
  NetlinkRequest request = Request(SYMSPLICE_CMD_ABORT, NLM_F_ACK);
  return Ask(&request, [](const NetlinkMessage&) {});
}

int ModuleClient::GetFlow(uint64_t flow, ModuleFlow* out) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_GET_FLOW, 0);
  request.PutU64(SYMSPLICE_A_ID, flow);
  const int error = Ask(&request, [out](const NetlinkMessage& message) {
    *out = DecodeFlow(message.Attributes());
  });
  if (error != 0) return error;
  return out->whole ? 0 : EBADMSG;
}

int ModuleClient::Dump(std::vector<ModuleFlow>* out) {
  out->clear();
  NetlinkRequest request = Request(SYMSPLICE_CMD_GET_FLOW, NLM_F_DUMP);
  return Ask(&request, [out](const NetlinkMessage& message) {
    const ModuleFlow flow = DecodeFlow(message.Attributes());
    if (flow.whole) out->push_back(flow);
  });
}

int ModuleClient::GetStats(ModuleStats* out) {
  NetlinkRequest request = Request(SYMSPLICE_CMD_GET_STATS, 0);
  return Ask(&request, [out](const NetlinkMessage& message) {
    *out = DecodeStats(message.Attributes());
  });
}

int OpenModuleEvents(uint32_t group, int room) {
  const int fd = OpenSocket();
  if (fd < 0) return fd;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (const int error = JoinModuleEvents(fd, group); error != 0) {
    close(fd);
    return -error;
  }
  return fd;
}

int JoinModuleEvents(int socket, uint32_t group) {
  const int failed =
      setsockopt(socket, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
  return failed < 0 ? errno : 0;
}

bool ReadModuleEvents(int socket, const std::function<void(const ModuleEvent&)>& on_event) {
  std::array<uint8_t, 8192> buffer;
  bool lost = false;
  for (;;) {
    const ssize_t got = Receive(socket, buffer.data(), buffer.size());
    if (got < 0) {
      if (errno == EAGAIN) return lost;
      // ENOBUFS, and whatever else comes instead of an event.
      if (errno != ENOBUFS) return true;
      lost = true;
      continue;
    }
    if (static_cast<size_t>(got) > buffer.size()) {
      lost = true;
      continue;
    }
    NetlinkMessages messages({buffer.data(), static_cast<size_t>(got)});
    for (NetlinkMessage message; messages.Next(&message);) {
      if (message.Command() == SYMSPLICE_CMD_EVENT) on_event(DecodeEvent(message.Attributes()));
    }
  }
}

}  // namespace symsplice
