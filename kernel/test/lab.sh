# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Sourced in the VM: three hosts, and a few words for the tests.
#
#   cli 10.99.1.1 ------ 10.99.1.2 prx 10.99.2.2 ------ 10.99.2.3 srv
#       fd01::1                fd01::2     fd02::2              fd02::3

# busybox has an `ip` of its own, and prefers it.
ip() { /sbin/ip "$@"; }

hosts_up() {
  for n in cli prx srv; do ip netns add $n; ip -n $n link set lo up; done
  ip -n cli link add c type veth peer name c netns prx
  ip -n srv link add s type veth peer name s netns prx
  ip -n cli addr add 10.99.1.1/24 dev c
  ip -n prx addr add 10.99.1.2/24 dev c
  ip -n prx addr add 10.99.2.2/24 dev s
  ip -n srv addr add 10.99.2.3/24 dev s
  ip -n cli addr add fd01::1/64 dev c nodad
  ip -n prx addr add fd01::2/64 dev c nodad
  ip -n prx addr add fd02::2/64 dev s nodad
  ip -n srv addr add fd02::3/64 dev s nodad
  for at in "cli c" "prx c" "prx s" "srv s"; do set -- $at; ip -n $1 link set $2 up; done
  /sbin/ip netns exec srv /lab server 7000 >/tmp/server.log 2>&1 &
  SERVER=$!
  sleep 0.5
}

hosts_down() {
  kill $SERVER 2>/dev/null
  for n in cli prx srv; do ip netns del $n; done
}

in_cli() { /sbin/ip netns exec cli "$@"; }
in_prx() { /sbin/ip netns exec prx "$@"; }
in_srv() { /sbin/ip netns exec srv "$@"; }
ctl() { in_prx /lab ctl "$@"; }

# proxy_up [OPTION...]
proxy_up() {
  /sbin/ip netns exec prx /lab proxy 1080 ${TO:-10.99.2.3} 7000 "$@" >/tmp/proxy.log 2>&1 &
  PROXY=$!
  n=0
  while ! in_prx cat /proc/net/tcp6 | grep -q ":0438 .* 0A "; do sleep 0.05; n=$((n+1)); [ $n -gt 200 ] && break; done
}

proxy_down() { kill -9 $PROXY 2>/dev/null; wait $PROXY 2>/dev/null; cat /tmp/proxy.log | sort | uniq -c | head -${1:-5}; }

# client up=N ...
client() { in_cli /lab client ${VIA:-10.99.1.2} 1080 "$@"; }
