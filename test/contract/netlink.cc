// SPDX-License-Identifier: MIT
// How the kernel module is spoken to (addon/module/netlink.cc, messages.cc): requests have the
// kernel's layout byte for byte, answers are read back, and damage is passed over, never followed.
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "module/messages.h"
#include "module/netlink.h"
#include "tap.h"
#include "uapi/symsplice.h"

using namespace symsplice;

namespace {

using Bytes = std::vector<uint8_t>;

void AppendRaw(Bytes* out, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  out->insert(out->end(), bytes, bytes + size);
}

// As the kernel writes them: length, type, value, padding.
void Attribute(Bytes* out, uint16_t type, const Bytes& value) {
  const auto length = static_cast<uint16_t>(4 + value.size());
  AppendRaw(out, &length, 2);
  AppendRaw(out, &type, 2);
  AppendRaw(out, value.data(), value.size());
  while (out->size() % 4 != 0) out->push_back(0);
}

template <typename Number>
Bytes Raw(Number number) {
  Bytes out;
  AppendRaw(&out, &number, sizeof number);
  return out;
}

Bytes Message(uint16_t type, uint32_t sequence, const Bytes& payload) {
  Bytes out;
  const auto length = static_cast<uint32_t>(16 + payload.size());
  AppendRaw(&out, &length, 4);
  AppendRaw(&out, &type, 2);
  const uint16_t flags = 0;
  AppendRaw(&out, &flags, 2);
  AppendRaw(&out, &sequence, 4);
  const uint32_t port = 7;
  AppendRaw(&out, &port, 4);
  AppendRaw(&out, payload.data(), payload.size());
  while (out.size() % 4 != 0) out.push_back(0);
  return out;
}

Bytes General(uint8_t command, const Bytes& attributes) {
  Bytes out = {command, 1, 0, 0};
  AppendRaw(&out, attributes.data(), attributes.size());
  return out;
}

Bytes Text(const std::string& text) { return Bytes(text.begin(), text.end() + 1); }

void Requests() {
  NetlinkRequest request(0x1234, NLM_F_ACK, SYMSPLICE_CMD_SPLICE, 1);
  request.PutU32(SYMSPLICE_A_CLIENT, 5);
  request.PutU64(SYMSPLICE_A_ID, 0x0102030405060708);
  const auto sent = request.bytes(9);
  Bytes attributes;
  Attribute(&attributes, SYMSPLICE_A_CLIENT, Raw<uint32_t>(5));
  Attribute(&attributes, SYMSPLICE_A_ID, Raw<uint64_t>(0x0102030405060708));
  Bytes expected = Message(0x1234, 9, General(SYMSPLICE_CMD_SPLICE, attributes));
  expected[6] = NLM_F_REQUEST | NLM_F_ACK;
  std::memset(expected.data() + 12, 0, 4);  // the kernel knows who sends
  TAP_OK(Bytes(sent.begin(), sent.end()) == expected, "a request is header, command, attributes");
  TAP_OK(request.has_end(), "one with an acknowledgement has an end of its own");
  TAP_OK(!NetlinkRequest(1, 0, 1, 1).has_end() && NetlinkRequest(1, NLM_F_DUMP, 1, 1).has_end(),
         "so has a dump, and no other");

  NetlinkRequest named(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);
  named.PutText(CTRL_ATTR_FAMILY_NAME, SYMSPLICE_GENL_NAME);
  const auto text = named.bytes(1);
  TAP_OK(text.size() == 16 + 4 + 4 + 12 && text[20] == 4 + 10 && text[24 + 9] == 0,
         "text ends with a zero byte, and is padded behind it");

  NetlinkRequest large(1, 0, 1, 1);
  for (int i = 0; i < 100; i++) large.PutU64(SYMSPLICE_A_ID, 1);
  TAP_OK(large.bytes(1).empty(), "what does not fit is not sent in part");
}

void Family() {
  Bytes group;
  Attribute(&group, CTRL_ATTR_MCAST_GRP_ID, Raw<uint32_t>(11));
  Attribute(&group, CTRL_ATTR_MCAST_GRP_NAME, Text("events"));
  Bytes other;
  Attribute(&other, CTRL_ATTR_MCAST_GRP_NAME, Text("eventsx"));
  Attribute(&other, CTRL_ATTR_MCAST_GRP_ID, Raw<uint32_t>(12));
  Bytes groups;
  Attribute(&groups, 1 | NLA_F_NESTED, group);
  Attribute(&groups, 2 | NLA_F_NESTED, other);
  Bytes attributes;
  Attribute(&attributes, CTRL_ATTR_FAMILY_NAME, Text("symsplice"));
  Attribute(&attributes, CTRL_ATTR_FAMILY_ID, Raw<uint16_t>(29));
  Attribute(&attributes, CTRL_ATTR_MCAST_GROUPS | NLA_F_NESTED, groups);
  const ModuleFamily family = DecodeFamily(NetlinkAttributes(attributes));
  TAP_OK(family.id == 29, "the family's number");
  TAP_OK(family.events == 11, "the group by its name, not by its place");
  TAP_OK(family.ours, "ours, by its name");
  Bytes foreign;
  Attribute(&foreign, CTRL_ATTR_FAMILY_NAME, Text("symspliced"));
  Attribute(&foreign, CTRL_ATTR_FAMILY_ID, Raw<uint16_t>(30));
  TAP_OK(!DecodeFamily(NetlinkAttributes(foreign)).ours, "another of a list of all families");
  TAP_OK(DecodeFamily(NetlinkAttributes(Bytes{})).id == 0, "no family in an empty answer");
}

void Answers() {
  Bytes attributes;
  Attribute(&attributes, SYMSPLICE_A_ANSWER, Raw<uint32_t>(SPLICE_ANSWER_TIMESTAMPS));
  Attribute(&attributes, SYMSPLICE_A_PAD, {});
  Attribute(&attributes, SYMSPLICE_A_ID, Raw<uint64_t>(1ull << 40));
  const ModuleAnswer answer = DecodeAnswer(NetlinkAttributes(attributes));
  TAP_OK(answer.there && answer.answer == SPLICE_ANSWER_TIMESTAMPS && answer.flow == 1ull << 40,
         "an answer and a number of more than 32 bits, behind padding");
  TAP_OK(!DecodeAnswer(NetlinkAttributes(Bytes{})).there, "no answer is no DONE");
  Bytes narrow;
  Attribute(&narrow, SYMSPLICE_A_ID, Raw<uint32_t>(3));
  TAP_OK(DecodeAnswer(NetlinkAttributes(narrow)).flow == 0, "a number of another width is none");

  splice_flow_slot slot{};
  slot.phase = SPLICE_PHASE_RELEASED;
  slot.leg[SPLICE_SERVER].bytes = 77;
  Bytes flow;
  Attribute(&flow, SYMSPLICE_A_ID, Raw<uint64_t>(4));
  Attribute(&flow, SYMSPLICE_A_FLOW, Raw(slot));
  const ModuleFlow seen = DecodeFlow(NetlinkAttributes(flow));
  TAP_OK(seen.whole && seen.id == 4 && seen.slot.phase == SPLICE_PHASE_RELEASED &&
             seen.slot.leg[SPLICE_SERVER].bytes == 77,
         "a flow is the contract's slot");
  Bytes shorter;
  Attribute(&shorter, SYMSPLICE_A_FLOW, Bytes(sizeof slot - 8));
  TAP_OK(!DecodeFlow(NetlinkAttributes(shorter)).whole, "a slot of another layout is not read");

  Bytes counts;
  Attribute(&counts, SYMSPLICE_A_ABI, Raw<uint32_t>(8));
  Attribute(&counts, SYMSPLICE_A_FLOWS, Raw<uint32_t>(2));
  Bytes counters;
  for (uint64_t i = 0; i < 3; i++) AppendRaw(&counters, &i, 8);
  Attribute(&counts, SYMSPLICE_A_COUNTERS, counters);
  Attribute(&counts, SYMSPLICE_A_MORE, Raw<uint64_t>(9));
  const ModuleStats stats = DecodeStats(NetlinkAttributes(counts));
  TAP_OK(stats.abi == 8 && stats.flows == 2 && stats.counters == std::vector<uint64_t>({0, 1, 2}) &&
             stats.more == std::vector<uint64_t>({9}) && stats.edges.empty(),
         "counters as many as there are");

  Bytes said;
  Attribute(&said, SYMSPLICE_A_EVENT, Raw<uint32_t>(SPLICE_PACKET_ENDED));
  Attribute(&said, SYMSPLICE_A_REASON, Raw<uint32_t>(3));
  Attribute(&said, SYMSPLICE_A_ID, Raw<uint64_t>(6));
  Attribute(&said, SYMSPLICE_A_BYTES_UP, Raw<uint64_t>(10));
  Attribute(&said, SYMSPLICE_A_BYTES_DOWN, Raw<uint64_t>(20));
  const ModuleEvent event = DecodeEvent(NetlinkAttributes(said));
  TAP_OK(event.type == SPLICE_PACKET_ENDED && event.reason == 3 && event.flow == 6 &&
             event.bytes[SPLICE_CLIENT] == 10 && event.bytes[SPLICE_SERVER] == 20,
         "an event");
  TAP_OK(DecodeEvent(NetlinkAttributes(Bytes{})).type != SPLICE_PACKET_ENDED,
         "an event without a type ends no flow");
}

void Messages() {
  Bytes both = Message(29, 1, General(SYMSPLICE_CMD_EVENT, {}));
  const Bytes done = Message(NLMSG_DONE, 1, Raw<int32_t>(0));
  AppendRaw(&both, done.data(), done.size());
  NetlinkMessages messages(both);
  NetlinkMessage message;
  TAP_OK(messages.Next(&message) && message.type == 29 && message.sequence == 1 &&
             message.Command() == SYMSPLICE_CMD_EVENT && !message.IsDone(),
         "a message");
  TAP_OK(messages.Next(&message) && message.IsDone() && message.Error() == 0, "and the next one");
  TAP_OK(!messages.Next(&message), "and no more");
  const Bytes denied = Message(NLMSG_ERROR, 1, Raw<int32_t>(-EPERM));
  TAP_OK(NetlinkMessages(denied).Next(&message) && message.IsError() && message.Error() == EPERM,
         "an error is a positive errno");
  const Bytes mute = Message(NLMSG_ERROR, 1, {});
  TAP_OK(NetlinkMessages(mute).Next(&message) && message.Error() == EPROTO,
         "one without a number is an error, too");
}

// Every byte of a long answer is damaged and every length cut, under the sanitizers.
void Damage() {
  Bytes attributes;
  Attribute(&attributes, SYMSPLICE_A_EVENT, Raw<uint32_t>(1));
  Attribute(&attributes, SYMSPLICE_A_FLOW, Bytes(sizeof(splice_flow_slot)));
  Attribute(&attributes, SYMSPLICE_A_COUNTERS, Bytes(80));
  const Bytes whole = Message(29, 1, General(SYMSPLICE_CMD_GET_FLOW, attributes));
  size_t read = 0;
  const auto read_all = [&read](const Bytes& bytes) {
    NetlinkMessages messages(bytes);
    for (NetlinkMessage message; messages.Next(&message);) {
      read++;
      read += DecodeFlow(message.Attributes()).whole;
      read += DecodeStats(message.Attributes()).counters.size();
      read += DecodeEvent(message.Attributes()).type == 1;
      read += DecodeFamily(message.Attributes()).id;
      read += DecodeAnswer(message.Attributes()).there;
    }
  };
  for (size_t length = 0; length < whole.size(); length++) {
    read_all(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)));
  }
  TAP_OK(read == 0, "a message that is cut is not read");
  for (size_t at = 0; at < whole.size(); at++) {
    for (const int value : {0, 1, 3, 0x7f, 0x80, 0xff}) {
      Bytes damaged = whole;
      damaged[at] = static_cast<uint8_t>(value);
      read_all(damaged);
    }
  }
  TAP_OK(read > 0, "damaged ones are read as far as they make sense");
}

}  // namespace

int main() {
  Requests();
  Family();
  Answers();
  Messages();
  Damage();
  return tap_end();
}
