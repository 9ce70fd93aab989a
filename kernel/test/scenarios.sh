# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-scenarios (test/vm/README.md): what flows of the module must hold, as TAP. Every
# transfer is checked byte by byte at both ends. The kernel stops at the first warning.

. kernel/test/lab.sh
ulimit -n 20000

# with 'PROXY OPTIONS' NAME CLIENT-ARGUMENTS...: one proxy, one client.
with() {
  proxy_up $1
  name=$2
  shift 2
  check "$name" client "$@"
  proxy_down >/tmp/proxied
  if grep -q 'splice: \|intend: ' /tmp/proxied; then cp /tmp/proxied /tmp/out; ok "$name: not refused" 1; fi
}

offloads() {
  for at in "cli c" "prx c" "prx s" "srv s"; do
    set -- $at $1
    ip netns exec $1 /sbin/ethtool -K $2 tx $3 rx $3 gro $3 gso $3 tso $3 >/dev/null 2>&1
  done
}
netem() { for at in "cli c" "srv s"; do ip netns exec ${at% *} /sbin/tc qdisc add dev ${at#* } root netem "$@"; done; }
no_netem() { for at in "cli c" "srv s"; do ip netns exec ${at% *} /sbin/tc qdisc del dev ${at#* } root; done; }
mtu() { ip -n prx link set s mtu $1; ip -n srv link set s mtu $1; }
# sysctl HOST NAME VALUE
sysctl() { ip netns exec $1 sh -c "echo '$3' > /proc/sys/net/ipv4/$2"; }

check 'loads, self-tests pass' insmod $MODULE time_wait_ms=300
hosts_up

# --- transfers
with '' 'both ways' up=20000000 down=20000000
with '' 'eight at once' up=2000000 down=2000000 conns=8
with '' 'half-close' up=3000000 down=3000000 half
with '' 'half-close, small' up=10 down=10 half conns=20
with '' 'nothing at all' up=0 down=0 conns=20
with '' 'a server that sends everything before it reads' up=8000000 down=8000000 slow
with '' 'the client resets' down=20000000 reset
check 'the server sees it' grep -q 'server saw: in [0-9-]* out 104\|server saw: in 104' /tmp/server.log
with '' 'the server resets' down=10000000 sreset
with '' 'with pauses' up=2000000 down=2000000 pace=20
with 'after=5000000' 'in the middle of an upload' up=40000000 down=10
with 'after=5000000' 'in the middle of a download' up=10 down=40000000
with 'after=5000000' 'in the middle of both, four times' up=8000000 down=8000000 conns=4
with 'reply=20 late=10' 'a reply, half of it behind splice()' skip=20 up=100000 down=100000 conns=10
with 'reply=20' 'a reply, and a client that waits' skip=20 wait=300 up=100000 down=100000 conns=5
with 'intend' 'intended' up=5000000 down=5000000
with 'intend reply=20 late=20' 'intended, with a reply' skip=20 up=500000 down=500000 conns=10
proxy_up keep
check 'kept descriptors' client up=100000 down=100000 conns=3
sleep 0.5
proxy_down >/tmp/log
check '... find their connection gone' grep -q 'kept descriptor: Software caused connection abort' /tmp/log
TO=fd02::3 VIA=fd01::2
with '' 'IPv6' up=10000000 down=10000000
with '' 'IPv6, half-close' up=1000000 down=1000000 half conns=10
with '' 'IPv6, the client resets' down=20000000 reset
with 'intend' 'IPv6, intended' up=10000000 down=10000000
unset TO VIA

# --- the process
i=0
: >/tmp/die
while [ $i -lt 20 ]; do
  proxy_up die
  client up=300000 down=300000 >>/tmp/die
  wait $PROXY 2>/dev/null
  i=$((i + 1))
done
cp /tmp/die /tmp/out
[ "$(grep -c '^ok' /tmp/die)" = 20 ]
ok 'the process dies right behind splice(), 20 times' $?
proxy_up die after=1000000
check 'the process dies behind splice() in the middle of a transfer' client up=4000000 down=4000000
proxy_up
client up=1000 down=60000000 >/tmp/out &
C=$!
eventually phase_is released 1
proxy_down >/dev/null
wait $C
ok 'the process dies in the middle of a spliced transfer' $?
proxy_up reply=20 late=10 die
refuse 'a process that owes bytes and dies: a reset' client skip=20 up=100 down=100
eventually none_left
ok 'no flow is left' $?

# --- the wire
netem delay 5ms 1ms loss 1% reorder 2%
with '' 'loss, delay, reordering' up=2000000 down=2000000 conns=3
no_netem
offloads off
with '' 'without offloads' up=3000000 down=3000000 conns=2
netem corrupt 1%
with '' 'damaged segments' up=2000000 down=2000000 conns=2
no_netem
offloads on
sysctl cli tcp_rmem '4096 131072 33554432'
sysctl srv tcp_rmem '4096 16384 60000'
with '' 'window scales differ' up=5000000 down=10000000
sysctl srv tcp_window_scaling 0
with '' 'no window scale at the server' up=5000000 down=5000000
sysctl srv tcp_window_scaling 1
sysctl srv tcp_sack 0
with '' 'no SACK at the server' up=5000000 down=5000000
sysctl srv tcp_sack 1
sysctl srv tcp_timestamps 0
proxy_up
client up=10 down=10 >/dev/null
proxy_down >/tmp/log
check 'timestamps on one leg only: refused' grep -q 'splice: 6' /tmp/log
sysctl srv tcp_timestamps 1
sysctl cli tcp_timestamps 0
sysctl cli tcp_sack 0
sysctl cli tcp_window_scaling 0
with 'intend' 'a client without options: the SYN to the server offers none' up=5000000 down=5000000
for option in tcp_timestamps tcp_sack tcp_window_scaling; do sysctl cli $option 1; done
sysctl cli tcp_ecn 1
sysctl srv tcp_ecn 0
with '' 'ECN on one leg' up=5000000 down=5000000
sysctl prx tcp_ecn 1
sysctl srv tcp_ecn 1
with '' 'ECN on both' up=5000000 down=5000000
held '' ipoptions up=300000 down=300000
ends 'IP options come off'
[ "$(stat OPTIONS_REMOVED)" -gt 0 ]
ok '... and are counted' $?
proxy_up
in_cli $LAB client 10.99.1.2 1080 up=15000000 down=1000 pace=5 >/tmp/out &
C=$!
eventually phase_is released 1
mtu 1300
wait $C
ok 'the MTU falls: the sender is told' $?
[ "$(stat TOO_BIG)" -gt 0 ]
ok '... by us' $?
proxy_down >/dev/null
mtu 1500

# --- timers
proxy_up idle=1500
refuse 'an idle flow is ended' in_cli $LAB client 10.99.1.2 1080 up=2000 down=10 idle=4
proxy_down >/dev/null
sysctl prx tcp_keepalive_time 1
sysctl prx tcp_keepalive_intvl 1
sysctl prx tcp_keepalive_probes 3
proxy_up
check 'silent peers are asked, and answer' in_cli $LAB client 10.99.1.2 1080 up=2000 down=10 idle=7
watch_events
in_cli timeout 15 $LAB client 10.99.1.2 1080 up=2000 down=10 idle=12 >/dev/null 2>&1 &
C=$!
eventually phase_is released 1
ip -n cli link set c down
eventually none_left
check 'a peer that vanished is noticed, and told of by an event' eventually grep -q '^event 1 reason 1' /tmp/events
unwatch_events
ip -n cli link set c up
ip -n cli addr add fd01::1/64 dev c nodad
wait $C
proxy_down >/dev/null
sysctl prx tcp_keepalive_time 7200

# --- a router behind
ip netns add rtr
ip -n srv link set s netns rtr
ip -n rtr link add r type veth peer name r netns srv
ip netns exec rtr sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
ip -n rtr addr add 10.99.2.9/24 dev s
ip -n rtr addr add fd02::9/64 dev s nodad
ip -n rtr addr add 10.99.3.9/24 dev r
ip -n rtr addr add fd03::9/64 dev r nodad
ip -n srv addr add 10.99.3.3/24 dev r
ip -n srv addr add fd03::3/64 dev r nodad
for at in "rtr s" "rtr r" "srv r"; do set -- $at; ip -n $1 link set $2 up; done
ip -n srv route add 10.99.2.0/24 via 10.99.3.9
ip -n prx route add 10.99.3.0/24 via 10.99.2.9
ip -n srv route add fd02::/64 via fd03::9
ip -n prx route add fd03::/64 via fd02::9
for pair in "10.99.3.3 10.99.1.2" "fd03::3 fd01::2"; do
  set -- $pair
  ip -n rtr link set r mtu 1500
  before=$(stat ICMP_TRANSLATED)
  TO=$1 proxy_up
  in_cli $LAB client $2 1080 up=15000000 down=1000 pace=5 >/tmp/out &
  C=$!
  eventually phase_is released 1
  ip -n rtr link set r mtu 1300
  wait $C
  ok "the MTU of a router falls ($2)" $?
  [ "$(stat ICMP_TRANSLATED)" -gt "${before:-0}" ]
  ok '... whose ICMP error is translated' $?
  proxy_down >/dev/null
done
ip -n rtr link set r mtu 1500
TO=10.99.3.3

# --- many, and the end
refuse 'without the capability nothing is dumped' in_prx env LAB_NOBODY=1 $LAB ctl count
refuse 'nor ended' in_prx env LAB_NOBODY=1 $LAB ctl abort
proxy_up
client up=2000 down=2000 conns=1000 >/tmp/said 2>&1
failed=$?
# If one is lost, what everybody said of it.
{ cat /tmp/said; sort /tmp/proxy.log | uniq -c; tail -n 3 /tmp/server.log; ctl stats; } >/tmp/out 2>&1
ok '1000 flows' $failed
eventually none_left
ok 'all are forgotten' $?
proxy_down >/dev/null
check 'unloads' rmmod symsplice
hosts_down
plan
