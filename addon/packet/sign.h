// SPDX-License-Identifier: MIT
// Stage splice: a word from one of the relay's sockets to its peer, who must answer it.
#pragma once

namespace symsplice {

// Makes the kernel send a window probe, which carries the socket's own window, too.
void AskForSign(int fd);

}  // namespace symsplice
