// SPDX-License-Identifier: MIT
// Stage handshake: gives a connection that is to be made what its client's has, so that later the
// headers of one become those of the other by arithmetic alone. The JavaScript thread's.
#pragma once

#include "address.h"
#include "flow_table.h"

namespace symsplice {

// The options that a connection has not negotiated: SPLICE_LEG_TIMESTAMPS, SPLICE_LEG_SACK,
// SPLICE_INTENT_SCALE; 0 also when it cannot be asked.
unsigned int OptionsLacking(int fd);

// MSS and options as `client` has them, and the next source port: the port, 0 when none is free,
// or a negative errno of bind(2). Nothing is undone when it fails: any such socket may connect.
int Align(FlowTable* table, int client, int upstream, const Address& destination);

// A socket for `destination`, aligned and connecting (connect(2) in progress, or done); a negative
// errno when it failed at once. A port that the kernel finds in use is followed by the next.
int AlignAndConnect(FlowTable* table, int client, const Address& destination,
                    void (*prepare)(int fd));

}  // namespace symsplice
