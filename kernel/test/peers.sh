# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-peers: what peers of a flow may do, and seldom do: numbers at the end of their circle, urgent
# data, closed windows, tiny segments, ends that cross.

. kernel/test/lab.sh
ulimit -n 20000

netem() { for at in "cli c" "srv s"; do ip netns exec ${at% *} /sbin/tc qdisc add dev ${at#* } root netem "$@"; done; }
no_netem() { for at in "cli c" "srv s"; do ip netns exec ${at% *} /sbin/tc qdisc del dev ${at#* } root; done; }
# netstat HOST NAME: of TcpExt.
netstat() {
  ip netns exec $1 cat /proc/net/netstat |
    awk -v name=$2 '/^TcpExt/ { if (n++) print $at; else for (i = 1; i <= NF; i++) if ($i == name) at = i }'
}
# isn BYTES: the first number of a stream whose number 0 is so many bytes behind its beginning, the request included.
isn() { echo isn=$((4294967295 - 24 - 32 - $1)); }

check 'loads' insmod $MODULE time_wait_ms=300
hosts_up
watch_events

# --- numbers at the end of their circle
held "$(isn 350000)" up=600000 down=3000000 $(isn 350000)
[ "$(of client end)" -gt 4294000000 ] && [ "$(of server ack)" -gt 4294000000 ]
ok 'both sequence numbers are about to wrap' $?
ends '... and do, relayed'
ended_as 0
held "$(isn 400000)" up=600000 down=1000 $(isn 300000)
[ "$(of client end)" = 0 ]
ok 'a stream that is cut where its numbers wrap' $?
ends '... goes on at 0'
ended_as 0
netem delay 2ms loss 3%
held "$(isn 1000000)" up=1000000 down=1000000 $(isn 700000)
ends 'numbers wrap, and segments are lost: acknowledgements of blocks on both sides of it'
no_netem
TO=fd02::3 VIA=fd01::2
held "$(isn 350000)" up=600000 down=1000 $(isn 400000)
ends 'IPv6'
unset TO VIA
held '' up=3000000 down=1000 pace=20 wrap
ends 'timestamps wrap'
ended_as 0

# --- urgent data
before=$(grep -c urgent /tmp/server.log)
held '' up=20000 down=1000 urgent
ends 'an urgent byte stays in the stream'
[ "$(grep -c urgent /tmp/server.log)" = $((before + 1)) ]
ok '... and is urgent at the other end' $?

# --- windows
rm -f /tmp/read
before=$(netstat cli TCPToZeroWindowAdv)
held '' up=2000 down=30000000 meet unread=/tmp/read
go_on
closed() { [ "$(netstat cli TCPToZeroWindowAdv)" -gt "$before" ]; }
eventually closed
ok 'a window closes' $?
touch /tmp/read
ends '... and opens again'
ended_as 0

# --- tiny segments
before=$(stat TOO_BIG)
proxy_up
check 'a client that takes 536 bytes at a time' client up=1000000 down=1000000 mss=536
proxy_down >/dev/null
[ "$(stat TOO_BIG)" -gt "${before:-0}" ]
ok '... and a server that is told so' $?
before=$(stat TOO_BIG)
proxy_up intend
check '... intended: the server hears of it in the SYN' client up=1000000 down=1000000 mss=536
proxy_down >/dev/null
[ "$(stat TOO_BIG)" = "$before" ]
ok '... so nothing is ever too big' $?
TO=fd02::3 VIA=fd01::2
proxy_up insist=1
check 'IPv6 cannot be told of so little: the process carries it' client up=100000 down=100000 mss=536
proxy_down >/tmp/out
grep -q 'splice: 14' /tmp/out
ok '... and is told so' $?
unset TO VIA
ip -n srv route change 10.99.2.0/24 dev s src 10.99.2.3 advmss 536
proxy_up
check 'a server that takes 536 bytes at a time' client up=1000000 down=1000000
proxy_down >/dev/null
ip -n srv route change 10.99.2.0/24 dev s src 10.99.2.3

# --- ends that cross
netem delay 300ms
held '' up=20 down=20 meet
ends 'FINs that cross'
ended_as 0
rm -f /tmp/go
proxy_up reply=20 late=10 until=/tmp/late
rm -f /tmp/late
client up=20 down=20 skip=20 >/tmp/client 2>&1 &
C=$!
eventually phase_is transit 1
touch /tmp/late
ends '... or are there when the flow comes to be'
ended_as 0
no_netem

unwatch_events
eventually none_left
ok 'nothing is left' $?
hosts_down
check 'unloads' eventually rmmod symsplice
plan
