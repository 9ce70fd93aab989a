# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-midstream (test/vm/README.md): splices in the middle of streams by the hundred. Some are
# refused, since a stream is over by then; the process carries these to their end.

. kernel/test/lab.sh
ulimit -n 20000

check 'loads' insmod $MODULE time_wait_ms=300
hosts_up
before=$(stat RELEASES)
proxy_up after=50000 insist=1
check 'a hundred splices in the middle of uploads' client up=300000 down=10 conns=100
check '... of downloads' client up=10 down=300000 conns=100
check '... of downloads whose client has ended already' client up=10 down=300000 half conns=100
check '... of both' client up=200000 down=200000 conns=100
proxy_down >/tmp/out
[ "$(stat RELEASES)" -gt "${before:-0}" ]
ok 'flows came to be released' $?
eventually none_left
ok 'nothing is left' $?
hosts_down
check 'unloads' eventually rmmod symsplice
plan
