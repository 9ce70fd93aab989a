# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-races: what happens at the same time, and in no order that anybody promised.

. kernel/test/lab.sh
ulimit -n 20000

# refused: none of these was.
refused() { grep -q 'splice: ' /tmp/proxy.log && cp /tmp/proxy.log /tmp/out; }

check 'loads' insmod $MODULE time_wait_ms=300
hosts_up

# A server on the proxy's own host: the splice is refused each time, while segments come in.
ip netns exec prx $LAB server 7000 >/tmp/local.log 2>&1 &
LOCAL=$!
eventually listens prx 1B58
TO=10.99.1.2 proxy_up insist=200
check 'refused two hundred times in the middle of an upload: carried by the process' \
  client up=2000000 down=10 pace=1 conns=4
proxy_down >/dev/null
TO=10.99.1.2 proxy_up intend open insist=50
check '... the same, intended' client up=1000000 down=10 pace=1 conns=4
proxy_down >/dev/null
kill $LOCAL

i=0
: >/tmp/twice
while [ $i -lt 3 ]; do
  proxy_up intend twice
  client up=100000 down=100000 conns=20 >>/tmp/twice
  proxy_down >>/tmp/twice
  i=$((i + 1))
done
cp /tmp/twice /tmp/out
[ "$(grep -c '^ok' /tmp/twice)" = 3 ] && ! grep -q 'splice: twice' /tmp/twice
ok 'two threads ask for the same splice: one is told yes, and nothing is lost' $?

proxy_up intend retry
check 'a socket that connects again, elsewhere' client up=300000 down=300000 conns=5
refused
ok '... is spliced to where it is connected' $((! $?))
proxy_down >/dev/null

# The client resets, and comes again from the same port, while an intent for its first connection is held.
proxy_up stall
in_cli $LAB client 10.99.1.2 1080 up=0 down=0 wait=2000 reset port=5555 >/dev/null 2>&1 &
C=$!
eventually phase_is intents 1
wait $C
check 'an intent does not keep what comes on another connection of the same name' \
  in_cli timeout 60 $LAB client 10.99.1.2 1080 up=100000 down=100000 port=5555
proxy_down >/dev/null
eventually none_left
ok 'nothing is left' $?

proxy_up again
check 'what is spliced is asked for again, and the other way round' client up=300000 down=300000 conns=5
refused
ok '... and refused each time' $((! $?))
proxy_down >/dev/null

# --- each end at each moment
watch_events

# intended: its proxy connects to nobody.
for end in kill abort reset; do
  proxy_up stall
  rm -f /tmp/go
  client up=0 down=0 reset until=/tmp/go >/dev/null 2>&1 &
  C=$!
  eventually phase_is intents 1
  case $end in
    kill) proxy_down >/dev/null ;;
    abort) ctl abort ;;
    reset) go_on ;;
  esac
  eventually none_left
  ok "an intent: $end" $?
  go_on
  wait $C
  proxy_down >/dev/null
done

# in transit: its process still owes the client ten bytes.
for end in 'kill 6' 'abort 5' 'reset 1' 'sreset 2'; do
  set -- $end
  rm -f /tmp/late /tmp/go
  proxy_up reply=20 late=10 until=/tmp/late
  case $1 in
    sreset) client up=0 down=0 skip=10 sreset until=/tmp/go >/dev/null 2>&1 & ;;
    *) client up=0 down=0 skip=10 reset until=/tmp/go >/dev/null 2>&1 & ;;
  esac
  C=$!
  eventually phase_is transit 1
  case $1 in
    kill) proxy_down >/dev/null ;;
    abort) ctl abort ;;
    *reset) go_on ;;
  esac
  touch /tmp/late
  ended_as $2
  eventually none_left
  ok "a flow in transit: $1" $?
  go_on
  wait $C
  proxy_down >/dev/null
done

# released
for end in 'kill 0' 'abort 5' 'reset 1' 'sreset 2'; do
  set -- $end
  case $1 in
    kill) what= ;;
    abort) what=reset ;;
    *) what=$1 ;;
  esac
  held '' up=20 down=20 $what
  case $1 in
    kill) proxy_down >/dev/null; go_on ;;
    abort) ctl abort ;;
    *) go_on ;;
  esac
  ended_as $2
  go_on
  wait $C
  proxy_down >/dev/null
  eventually none_left
  ok "a released flow: $1" $?
done

# --- twins
held '' up=20 down=20 vanish port=5557
go_on
wait $C
check 'a client that has lost its mind comes again from the same port, its flow being released' \
  in_cli timeout 60 $LAB client 10.99.1.2 1080 up=100000 down=100000 port=5557
proxy_down >/dev/null
# For as long as a flow that was reset is kept at most.
echo 2000 >/sys/module/symsplice/parameters/time_wait_ms
held '' up=20 down=20 reset port=5558
go_on
wait $C
before=$(stat LOCAL_REUSE)
check '... its flow having ended a moment ago' \
  in_cli timeout 60 $LAB client 10.99.1.2 1080 up=100000 down=100000 port=5558
[ "$(stat LOCAL_REUSE)" = $((${before:-0} + 1)) ]
ok '... whose place is taken' $?
echo 300 >/sys/module/symsplice/parameters/time_wait_ms
proxy_down >/dev/null
unwatch_events

# --- a process that does what it must not
rm -f /tmp/go
proxy_up shutread early
client up=1000 down=1000 until=/tmp/go >/dev/null &
C=$!
eventually grep -q 'splice: 4' /tmp/proxy.log
ok 'a socket that is shut for reading is refused' $?
go_on
wait $C
proxy_down >/dev/null
# While it owes bytes there is no release that could come first.
rm -f /tmp/events
ctl events 1 >/tmp/events &
E=$!
eventually grep -qs listening /tmp/events
proxy_up shutread reply=20 late=20
client up=0 down=0 wait=500 skip=20 >/dev/null
wait $E
cp /tmp/events /tmp/out
grep -q 'event 1 reason 6' /tmp/events
ok '... and one that is shut behind splice() ends the flow: no end of stream is made up' $?
proxy_down >/dev/null
proxy_up keep read after=100000
client up=20000000 down=2000000 conns=4 >/tmp/out
proxy_down >/dev/null
eventually none_left
ok 'somebody reads what is the module'"'"'s: an end, and no flow is left' $?
proxy_up linger
rm -f /tmp/read
client up=1000 down=100000 unread=/tmp/read >/tmp/lag &
C=$!
eventually none_left
[ "$(grep -l sk_stream_wait_close /proc/[0-9]*/stack 2>/dev/null | wc -l)" = 0 ]
ok 'no kernel thread waits for a socket with SO_LINGER' $?
touch /tmp/read
wait $C
proxy_down >/dev/null

# --- unload under traffic that is nobody's flow
ip netns exec prx $LAB server 7000 >/tmp/local.log 2>&1 &
LOCAL=$!
eventually listens prx 1B58
in_cli $LAB client 10.99.1.2 7000 up=400000000 down=10 pace=1 conns=4 >/dev/null 2>&1 &
C=$!
eventually none_left
eventually rmmod symsplice 2>/dev/null
i=0
while [ $i -lt ${ROUNDS:-5} ]; do
  insmod $MODULE || break
  proxy_up
  sleep 0.1
  proxy_down >/dev/null
  rmmod symsplice || break
  i=$((i + 1))
done
[ $i = ${ROUNDS:-5} ]
ok 'loaded and unloaded under segments that are nobody'"'"'s' $?
kill $C $LOCAL 2>/dev/null
wait $C $LOCAL 2>/dev/null
hosts_down
plan
