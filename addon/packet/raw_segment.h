// SPDX-License-Identifier: MIT
// Stages relay and teardown of flows without sockets: the few segments that somebody must send,
// made by hand. The guard knows them by their mark. Any thread.
#pragma once

#include "splice/packet.h"

namespace symsplice {

// 0, or the errno with which this process cannot send any.
int TryRawSocket();

// Sends both. Best effort: what does not arrive, or comes too late to be believed, the host
// answers by RSTs of its own once the flow's keys are gone.
void SendResets(const splice_flow_slot& flow);

// Asks both peers for a sign of life, as a socket's keepalive does (RFC 9293 section 3.8.4): a
// segment from before their windows, which they must answer and else ignore.
void SendProbes(const splice_flow_slot& flow);

}  // namespace symsplice
