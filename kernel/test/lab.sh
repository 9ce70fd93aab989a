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
  tries=0
  until "$@"; do
    sleep 0.2
    tries=$((tries + 1))
    [ $tries -lt 300 ] || return 1
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
}

proxy_down() {
  kill -9 $PROXY 2>/dev/null
  wait $PROXY 2>/dev/null
  sort /tmp/proxy.log | uniq -c | head -n 5
}

# client up=N ...
client() { in_cli $LAB client ${VIA:-10.99.1.2} 1080 "$@"; }

# --- what the module says

# stat NAME: a counter.
stat() { ctl stats | tr ' ' '\n' | sed -n "s/^$1=//p"; }
count() { ctl count | sed "s/.*$1 \([0-9]*\).*/\1/"; }
phase_is() { [ "$(count "$1")" = "$2" ] || { ctl flows >/tmp/out; return 1; }; }
flows_there() { ! none_left; }
none_left() { [ "$(ctl count)" = "intents 0 transit 0 released 0 ended 0" ]; }
