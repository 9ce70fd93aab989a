# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Sourced by the module's tests in the guest (test/vm/init runs them): three hosts, and a few words.
#
#   cli 10.99.1.1 ------ 10.99.1.2 prx 10.99.2.2 ------ 10.99.2.3 srv
#       fd01::1                fd01::2     fd02::2              fd02::3

MODULE=/module/symsplice.ko
LAB=/module/lab

# --- points

tests=0

# ok NAME, STATUS: of what was said the last lines are shown when it failed.
ok() {
  tests=$((tests + 1))
  if [ "$2" = 0 ]; then
    echo "ok $tests - $1"
  else
    echo "not ok $tests - $1"
    printf '  ---\n  said: |\n'
    tail -n 12 /tmp/out | sed 's/^/    /'
    echo '  ...'
  fi
}

# check NAME COMMAND...: it succeeds.
check() {
  name=$1
  shift
  "$@" >/tmp/out 2>&1
  ok "$name" $?
}

# refuse NAME COMMAND...: it fails.
refuse() {
  name=$1
  shift
  if "$@" >/tmp/out 2>&1; then ok "$name" 1; else ok "$name" 0; fi
}

plan() { echo "1..$tests"; }

# eventually COMMAND...: within a minute, however slow the machine; bounds a failure, and asks five times a second.
eventually() {
  read -r since _ </proc/uptime
  until "$@"; do
    sleep 0.2
    read -r now _ </proc/uptime
    [ $((${now%.*} - ${since%.*})) -lt 60 ] || return 1
  done
}

# --- hosts

# busybox has programs of these names of its own, and prefers them.
ip() { /sbin/ip "$@"; }
tc() { /sbin/tc "$@"; }

in_cli() { ip netns exec cli "$@"; }
in_prx() { ip netns exec prx "$@"; }
in_srv() { ip netns exec srv "$@"; }

# listens HOST PORT-IN-HEX
listens() { ip netns exec "$1" cat /proc/net/tcp6 | grep -q ":$2 .* 0A "; }

# Few programs: to start one is what costs most in an emulated machine.
hosts_up() {
  ip -batch - <<'END'
netns add cli
netns add prx
netns add srv
link add c netns cli type veth peer name c netns prx
link add s netns srv type veth peer name s netns prx
END
  ip -n cli -batch - <<'END'
addr add 10.99.1.1/24 dev c
addr add fd01::1/64 dev c nodad
link set lo up
link set c up
END
  ip -n prx -batch - <<'END'
addr add 10.99.1.2/24 dev c
addr add 10.99.2.2/24 dev s
addr add fd01::2/64 dev c nodad
addr add fd02::2/64 dev s nodad
link set lo up
link set c up
link set s up
END
  ip -n srv -batch - <<'END'
addr add 10.99.2.3/24 dev s
addr add fd02::3/64 dev s nodad
link set lo up
link set s up
END
  # Not by in_srv(): $! is to be the program and no shell around it.
  /sbin/ip netns exec srv $LAB server 7000 >/tmp/server.log 2>&1 &
  SERVER=$!
  eventually listens srv 1B58
}

hosts_down() {
  kill $SERVER 2>/dev/null
  wait $SERVER 2>/dev/null
  for n in $(ls /run/netns); do ip netns del $n; done
}

# --- proxy and client

ctl() { in_prx $LAB ctl "$@"; }

# proxy_up [OPTION...]
proxy_up() {
  /sbin/ip netns exec prx $LAB proxy 1080 ${TO:-10.99.2.3} 7000 "$@" >/tmp/proxy.log 2>&1 &
  PROXY=$!
  eventually listens prx 0438
  if [ -e /tmp/events ]; then told=$(grep -c "^event 1 " /tmp/events); fi
}

proxy_down() {
  kill -9 $PROXY 2>/dev/null
  wait $PROXY 2>/dev/null
  sort /tmp/proxy.log | uniq -c | head -n 5
}

# client up=N ...
client() { in_cli $LAB client ${VIA:-10.99.1.2} 1080 "$@"; }

# held 'PROXY OPTIONS' CLIENT-ARGUMENTS...: a flow that is released, and silent behind the first half of what its client
# sends; go_on says when the rest may come. Then `wait $C`.
held() {
  proxy_up $1
  shift
  rm -f /tmp/go
  client until=/tmp/go "$@" >/tmp/client 2>&1 &
  C=$!
  eventually phase_is released 1
}
go_on() { touch /tmp/go; }
# ends NAME: what was held goes on, and every byte comes.
ends() {
  go_on
  wait $C
  code=$?
  cp /tmp/client /tmp/out
  ok "$1" $code
  proxy_down >/dev/null
  eventually none_left
}

# --- what the module says

# Every end from here on is in /tmp/events, with its reason.
watch_events() {
  rm -f /tmp/events
  /sbin/ip netns exec prx $LAB ctl events 1000000 >/tmp/events 2>&1 &
  EVENTS=$!
  eventually grep -qs listening /tmp/events
  told=0
}
unwatch_events() {
  kill $EVENTS
  wait $EVENTS 2>/dev/null
}
has_ended() { [ "$(grep -c '^event 1 ' /tmp/events)" -ge "$1" ]; }
# ended_as REASON [HOW-MANY]: so, and so many, since it was asked last: enum splice_close_reason.
ended_as() {
  eventually has_ended $((told + ${2:-1}))
  grep '^event 1 ' /tmp/events | tail -n +$((told + 1)) >/tmp/out
  told=$(grep -c '^event 1 ' /tmp/events)
  [ "$(grep -c " reason $1 " /tmp/out)" = ${2:-1} ] && [ "$(wc -l </tmp/out)" = ${2:-1} ]
  ok "... with reason $1, said once" $?
}
# of SIDE WHAT: of the only flow there is: port, end, ack or segments.
of() { ctl flows | sed "s/.* $1 port/port/;s/ server .*//;s/.*$2 \([0-9]*\).*/\1/"; }

# stat NAME: a counter.
stat() { ctl stats | tr ' ' '\n' | sed -n "s/^$1=//p"; }
count() { ctl count | sed "s/.*$1 \([0-9]*\).*/\1/"; }
phase_is() { [ "$(count "$1")" = "$2" ] || { ctl flows >/tmp/out; return 1; }; }
flows_there() { ! none_left; }
none_left() { [ "$(ctl count)" = "intents 0 transit 0 released 0 ended 0" ]; }
