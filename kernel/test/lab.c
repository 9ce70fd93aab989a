// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What the module's tests in the VM run: a proxy that splices, a server, a client, and a control tool,
 * in one static program without libraries.
 *
 *   lab proxy PORT SERVER SERVER-PORT [OPTION...]
 *	after=N    carry N bytes in user space first, then splice in the middle of it
 *	reply=N    N bytes are written to the client, LEN of them behind splice()
 *	late=N     ... of which N behind it
 *	intend     intend_splice() before connect
 *	keep       keep the descriptors; else they are closed at once
 *	die        SIGKILL right behind splice()
 *	once       do not splice again what was refused: print the answer and close
 *   lab server PORT
 *   lab client HOST PORT up=N down=N [conns=N] [half] [reset] [skip=N] [slow] [idle=SECONDS] [pace=MS]
 *	[wait=MS] [sreset] [ipoptions]
 *   lab ctl stats | flows | count | abort [ID] | events N	with LAB_NOBODY set: as user 65534
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
	if (argc == 6 && !strcmp(argv[1], "cycles"))
		return cycles(argc, argv);
	fprintf(stderr, "usage: lab proxy|server|client|ctl|cycles ...\n");
	return 2;
}
