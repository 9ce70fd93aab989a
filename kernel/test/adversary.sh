# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-adversary: requests that make no sense, people who may not ask, segments that nobody
# sent, and limits.

. kernel/test/lab.sh
ulimit -n 20000

parameter() { echo "$2" >/sys/module/symsplice/parameters/$1; }

check 'loads' insmod $MODULE time_wait_ms=300
hosts_up

# --- who asks, and what
refuse 'without the capability nothing is dumped' in_prx env LAB_NOBODY=1 $LAB ctl count
refuse '... nor ended' in_prx env LAB_NOBODY=1 $LAB ctl abort
refuse '... nor heard' in_prx env LAB_NOBODY=1 timeout 5 $LAB ctl events 1
grep -q 'not permitted' /tmp/out
ok '... for that reason' $?
check 'before anything was asked for, nonsense is refused' ctl bad
proxy_up
check 'nonsense is refused' ctl bad

proxy_down >/dev/null
watch_events

# forge FLAGS SEQ ACK [OPTION...]: as from the client of the only flow there is.
forge() {
  flags=$1 seq=$2 ack=$3
  shift 3
  in_cli $LAB forge 10.99.1.1 $port 10.99.1.2 1080 $flags $seq $ack "$@"
}
whose() {
  port=$(of client port)
  end=$(of client end)
  acked=$(of client ack)
}

# --- segments that nobody sent, to a flow that is released
held '' up=20000 down=1000
whose
before=$(stat RELAYED)
# Outside the window, on either side, and inside; a FIN inside acknowledges what nobody has sent.
forge R,RA,S,SA,F,FA,A $((end + 100000000)) $acked count=5
forge R,RA,S,SA,F,FA,A $((end - 100000)) $acked count=5 bytes=10
forge R,RA,S,SA,F,FA $((end + 1000)) $((acked + 100000000)) count=5
forge A $end $((acked + 1000000)) count=5
forge FA $end $((acked + 1000000))
[ "$(stat RELAYED)" -ge $((before + 106)) ]
ok 'forged segments are relayed, for the end hosts to judge' $?
forge A $end $acked bytes=100 fragments count=5
[ "$(stat DROP_FRAGMENT)" = 5 ]
ok '... but for fragments' $?
forge R $end 0 badsum
forge FA $end $acked badsum
[ "$(stat DROP_CHECKSUM)" = 2 ]
ok '... and for ends with a wrong checksum' $?
phase_is released 1
ok '... and end nothing' $?
ends '... nor change a byte'
ended_as 0
held '' up=2000 down=1000 reset
whose
forge R $end 0
ended_as 1
ok 'a reset at just the right place ends the flow' $?
go_on
wait $C
proxy_down >/dev/null
eventually none_left

# --- to one in transit, whose sockets judge
rm -f /tmp/late /tmp/go
proxy_up reply=20 late=10 until=/tmp/late
client up=0 down=0 skip=10 reset until=/tmp/go >/dev/null 2>&1 &
C=$!
eventually phase_is transit 1
port=$(of client port)
before=$(stat LOCAL_SLOW)
syns=$(stat LOCAL_SYN)
forge R,RA,SA,FA,A,S 1 1 count=5
forge A 1 1 bytes=100 fragments count=5
[ "$(stat LOCAL_SLOW)" -ge $((${before:-0} + 20)) ] && [ "$(stat LOCAL_SYN)" = $((${syns:-0} + 10)) ] &&
  [ "$(stat LOCAL_FRAGMENT)" = 5 ]
ok 'forged segments to a flow in transit are for its sockets to judge' $?
phase_is transit 1
ok '... and end nothing' $?
touch /tmp/late
go_on
wait $C
ended_as 1
proxy_down >/dev/null
eventually none_left
unwatch_events

# --- limits
parameter flows 2
proxy_up insist=1
check 'more flows than there may be: the process carries the others' client up=200000 down=200000 conns=8 idle=2
grep -q 'splice: 12' /tmp/proxy.log
ok '... which are told so' $?
proxy_down >/dev/null
parameter flows 65536
parameter queue_bytes 20000
proxy_up
check 'a queue that holds nearly nothing' client up=500000 down=500000 conns=4
proxy_down >/dev/null
parameter queue_bytes_all 1000
proxy_up intend
check '... and nothing at all' client up=300000 down=300000 conns=4
proxy_down >/dev/null
# Its flow is intended and no more, so that all that comes has to wait.
full() { [ "$(stat QUEUE_FULL)" -gt 0 ]; }
proxy_up stall
client up=2000000 down=10 pace=5 >/dev/null 2>&1 &
C=$!
eventually full
ok '... and is counted' $?
proxy_down >/dev/null
wait $C
parameter queue_bytes 4194304
parameter queue_bytes_all 67108864
for ms in 0 1; do
  parameter gate_ms $ms
  proxy_up
  check "a gate that opens again at once ($ms ms)" client up=500000 down=500000 conns=3
  proxy_down >/dev/null
done
eventually none_left
ok 'nothing is left' $?
hosts_down
check 'unloads' eventually rmmod symsplice
plan
