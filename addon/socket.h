// SPDX-License-Identifier: MIT
// Small truths about one socket. Plain functions, any thread, nothing kept.
#pragma once

#include <napi.h>

namespace symsplice {

// TCP_NODELAY: a relay passes on what it gets when it gets it.
void SetNoDelay(int fd);

// O_NONBLOCK, for the socket: duplicates share it.
void SetNonBlocking(int fd);

// A second descriptor of the same socket, close-on-exec; a negative errno when there is none left.
int DuplicateSocket(int fd);

// SO_KEEPALIVE, at the system's pace: a peer that vanished is noticed even without an idle time.
void SetKeepAlive(int fd);

// The next close(2) sends RST and drops what is unsent.
void SetReset(int fd);

// Takes SetReset() back: the next close(2) sends FIN.
void SetFin(int fd);

// SO_ERROR, read and cleared; 0 when there is none.
int SocketError(int fd);

void InitSocket(Napi::Env env, Napi::Object exports);

}  // namespace symsplice
