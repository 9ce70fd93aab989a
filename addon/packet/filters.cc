// SPDX-License-Identifier: MIT
#include "packet/filters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string_view>

namespace symsplice {
namespace {

// Handles of our filters: who made the qdisc below them. No small numbers: `tc` gives those out, and
// a filter of somebody else's with our priority and handle would be replaced.
constexpr uint32_t kQdiscFound = 0x5eed0001;
constexpr uint32_t kQdiscMade = 0x5eed0002;

constexpr size_t kAnswer = 32 * 1024;

// Threads share the plane. Between two that look at once, one would make the qdisc and the other find
// it, and each would add a filter: every segment would pass the program twice, its copies for ever.
std::mutex& Changes() {
  static std::mutex mutex;
  return mutex;
}

struct Listed {
  Filter filter;
  bool ours;
};

const rtattr* FindAttribute(const rtattr* first, size_t length, int type) {
  for (const rtattr* at = first; RTA_OK(at, length); at = RTA_NEXT(at, length)) {
    if ((at->rta_type & NLA_TYPE_MASK) == type) return at;
  }
  return nullptr;
}

bool IsOurName(std::string_view name) {
  // libbpf names a filter "<program>:[<id>]".
  name = name.substr(0, name.find(':'));
  return name == "relay_eth" || name == "relay_raw" || name == "guard_eth" || name == "guard_raw";
}

Listed Read(const nlmsghdr* message, bool egress) {
  const auto* head = static_cast<const tcmsg*>(NLMSG_DATA(message));
  Listed listed{};
  listed.filter = {head->tcm_ifindex, egress, TC_H_MAJ(head->tcm_info) >> 16, head->tcm_handle, 0};
  const rtattr* options = FindAttribute(TCA_RTA(head), TCA_PAYLOAD(message), TCA_OPTIONS);
  if (options == nullptr) return listed;
  const auto* inner = static_cast<const rtattr*>(RTA_DATA(options));
  const rtattr* id = FindAttribute(inner, RTA_PAYLOAD(options), TCA_BPF_ID);
  const rtattr* name = FindAttribute(inner, RTA_PAYLOAD(options), TCA_BPF_NAME);
  if (id == nullptr || name == nullptr) return listed;
  std::memcpy(&listed.filter.program_id, RTA_DATA(id), sizeof listed.filter.program_id);
  const auto* text = static_cast<const char*>(RTA_DATA(name));
  listed.ours = listed.filter.priority >= kFirstPriority &&
                listed.filter.priority <= kLastPriority &&
                IsOurName({text, strnlen(text, RTA_PAYLOAD(name))});
  return listed;
}

// Everything that hangs on one hook; libbpf can only ask for a filter that one knows.
void List(int ifindex, bool egress, std::vector<Listed>* out) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return;
  struct {
    nlmsghdr header;
    tcmsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETTFILTER;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_family = AF_UNSPEC;
  request.body.tcm_ifindex = ifindex;
  request.body.tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
  bool more = send(fd, &request, sizeof request, 0) == sizeof request;
  std::vector<char> answer(kAnswer);
  while (more) {
    const ssize_t n = recv(fd, answer.data(), answer.size(), 0);
    if (n <= 0) break;
    auto left = static_cast<size_t>(n);
    for (auto* at = reinterpret_cast<nlmsghdr*>(answer.data()); NLMSG_OK(at, left);
         at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR) more = false;
      if (at->nlmsg_type == RTM_NEWTFILTER) out->push_back(Read(at, egress));
    }
  }
  close(fd);
}

std::vector<Listed> ListBoth(int ifindex) {
  std::vector<Listed> all;
  List(ifindex, false, &all);
  List(ifindex, true, &all);
  return all;
}

bpf_tc_hook HookOf(int ifindex, bpf_tc_attach_point point) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = ifindex;
  hook.attach_point = point;
  return hook;
}

bpf_tc_hook QdiscOf(int ifindex) {
  return HookOf(ifindex, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
}

// Unless somebody uses it: with the qdisc everybody's filters would go.
void RemoveQdisc(int ifindex) {
  bpf_tc_hook qdisc = QdiscOf(ifindex);
  if (ListBoth(ifindex).empty()) bpf_tc_hook_destroy(&qdisc);
}

int Attach(int ifindex, bool egress, int program, uint32_t handle, uint32_t priority) {
  const bpf_tc_hook hook = HookOf(ifindex, egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE,
              .handle = handle, .priority = priority);
  return -bpf_tc_attach(&hook, &options);
}

void Detach(const Filter& filter) {
  const bpf_tc_hook hook =
      HookOf(filter.ifindex, filter.egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = filter.handle, .priority = filter.priority);
  bpf_tc_detach(&hook, &options);
}

int Remove(int ifindex, uint32_t priority) {
  int removed = 0;
  bool made = false;
  for (const Filter& filter : FindFilters(ifindex)) {
    if (filter.priority != priority) continue;
    made = made || filter.handle == kQdiscMade;
    Detach(filter);
    removed++;
  }
  if (made) RemoveQdisc(ifindex);
  return removed;
}

}  // namespace

int AttachFilters(int ifindex, const WatchPrograms& programs, uint32_t priority) {
  std::lock_guard<std::mutex> lock(Changes());
  bpf_tc_hook qdisc = QdiscOf(ifindex);
  const int created = bpf_tc_hook_create(&qdisc);
  if (created != 0 && created != -EEXIST) return -created;
  uint32_t handle = created == 0 ? kQdiscMade : kQdiscFound;
  for (const Filter& known : FindFilters(ifindex)) {
    // Whatever plane of ours was first knows who made the qdisc.
    if (known.handle == kQdiscMade) handle = kQdiscMade;
  }
  int error = Attach(ifindex, true, programs.egress, handle, priority);
  // The guard first: from the first relayed segment on it must correct what the sockets send.
  if (error == 0) error = Attach(ifindex, false, programs.ingress, handle, priority);
  if (error != 0) {
    Remove(ifindex, priority);
    if (created == 0) RemoveQdisc(ifindex);
  }
  return error;
}

int DetachFilters(int ifindex, uint32_t priority) {
  std::lock_guard<std::mutex> lock(Changes());
  return Remove(ifindex, priority);
}

std::vector<Filter> FindFilters(int ifindex) {
  std::vector<Filter> ours;
  for (const Listed& listed : ListBoth(ifindex)) {
    if (listed.ours) ours.push_back(listed.filter);
  }
  return ours;
}

std::vector<Filter> FindFilters() {
  std::vector<Filter> ours;
  struct if_nameindex* names = if_nameindex();
  for (const struct if_nameindex* at = names; at != nullptr && at->if_index != 0; at++) {
    const std::vector<Filter> here = FindFilters(static_cast<int>(at->if_index));
    ours.insert(ours.end(), here.begin(), here.end());
  }
  if (names != nullptr) if_freenameindex(names);
  return ours;
}

}  // namespace symsplice
