// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What the module's tests in the VM run: a proxy that splices, a server, a client, and a control tool,
 * in one static program without libraries.
 *
 *   lab proxy PORT SERVER SERVER-PORT [OPTION...]
 *	after=N    carry N bytes in user space first, then splice in the middle of it
 *	fin        carry in user space until one of the streams has ended
 *	reply=N    N bytes are written to the client, LEN of them behind splice()
 *	late=N     ... of which N behind it
 *	until=FILE ... when the file is there
 *	intend     intend_splice() before connect
 *	open       ... which leaves the gate open
 *	stall      the first connection is intended, and then nothing more happens to it
 *	retry      connect the server's socket to a closed port first
 *	insist=N   ask for the splice up to N times; carry in user space what is refused then
 *	twice      two threads ask for the same splice at the same time
 *	again      and again, behind it, also with the two sockets exchanged
 *	idle=MS    end a flow without bytes
 *	keep       keep the descriptors; else they are closed at once
 *	shutread   shut the client's down for reading, behind splice(); or, with `early`, before it
 *	early      see shutread
 *	read       keep the descriptors, and read from the client's all the same
 *	linger     SO_LINGER, an hour, on both sockets
 *	die        SIGKILL right behind splice()
 *	isn=N      the first sequence number towards the server
 *	mark=N     SO_MARK on the server's socket
 *	device=D   SO_BINDTODEVICE on the server's socket
 *	listen=D   SO_BINDTODEVICE on the listening socket
 *   lab server PORT
 *   lab client HOST PORT up=N down=N [conns=N] [half] [reset] [skip=N] [slow] [idle=SECONDS] [pace=MS]
 *	[wait=MS] [sreset] [ipoptions] [port=N] [until=FILE] [unread=FILE] [calm] [mss=N] [isn=N]
 *	[urgent] [wrap] [vanish] [meet]
 *	idle, until: silence behind the first half, so long, or until the file is there; then what `reset`, `vanish`,
 *	`urgent` and the end wait for. unread: before anything is read. calm: no retransmission may have been
 *	needed. wrap: timestamps near the end of their circle. vanish: closes without a word. meet: the server
 *	sends nothing until then
 *   lab ctl stats | flows | count | abort [ID] | events N | bad	with LAB_NOBODY set: as user 65534
 *   lab forge FROM PORT TO PORT FLAGS SEQ ACK [count=N] [bytes=N] [fragments] [badsum] [device=D]
 *   lab cycles MODULE PARAMETERS ROUNDS FLOWS
 *
 * A client begins with a request: how many bytes will come, how many it wants, and how. Byte p of a
 * stream is a function of p and the stream's seed, and both ends check every one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "proxy"))
		proxy(argc, argv);
	if (argc >= 3 && !strcmp(argv[1], "server"))
		server(atoi(argv[2]));
	if (argc >= 5 && !strcmp(argv[1], "client"))
		return client(argc, argv);
	if (argc >= 3 && !strcmp(argv[1], "ctl"))
		return ctl(argc, argv);
	if (argc >= 9 && !strcmp(argv[1], "forge"))
		return forge(argc, argv);
	if (argc == 6 && !strcmp(argv[1], "cycles"))
		return cycles(argc, argv);
	fprintf(stderr, "usage: lab proxy|server|client|ctl|cycles|forge ...\n");
	return 2;
}
