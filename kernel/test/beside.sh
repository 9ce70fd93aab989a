# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-beside: what else is in the stack: conntrack and NAT, other routes for other sockets, VRF,
# IPsec's policies, bridges, merged packets above 64 KiB, datagrams that may be cut.

. kernel/test/lab.sh
ulimit -n 20000

# with 'PROXY OPTIONS' NAME CLIENT-ARGUMENTS...: one proxy, one client, and not refused.
with() {
  proxy_up $1
  name=$2
  shift 2
  check "$name" client "$@"
  proxy_down >/tmp/proxied
  if grep -q 'splice: \|intend: ' /tmp/proxied; then
    cp /tmp/proxied /tmp/out
    ok "$name: not refused" 1
  fi
}
released() { echo $(stat RELEASES); }
nft() { in_prx /sbin/nft "$@"; }
# set HOST PATH VALUE
set_in() { ip netns exec $1 sh -c "echo '$3' > /proc/sys/net/$2"; }

# Not what the kernel has built in.
while read -r name; do insmod /modules/$name.ko; done </modules/beside
check 'loads' insmod $MODULE time_wait_ms=300
hosts_up

# --- routes are those of the sockets
ip -n srv addr add 10.99.3.3/32 dev lo
ip -n prx route add 10.99.3.3/32 via 10.99.2.3 table 100
ip -n prx rule add fwmark 7 lookup 100
TO=10.99.3.3
with 'mark=7' 'a route for marked sockets only' up=300000 down=300000 conns=3
ip -n prx rule del fwmark 7 lookup 100
ip -n prx rule add oif s lookup 100
with 'device=s' 'a route for sockets bound to a device' up=300000 down=300000 conns=3
ip -n prx rule del oif s lookup 100
ip -n prx route add 10.99.3.3/32 via 10.99.2.3
ip -n prx link add name detour type veth peer name detour netns srv
ip -n prx addr add 10.99.4.2/24 dev detour
ip -n srv addr add 10.99.4.3/24 dev detour
ip -n prx link set detour up
ip -n srv link set detour up
held '' up=2000000 down=1000
ip -n prx route replace 10.99.3.3/32 via 10.99.4.3
ends 'the route changes under a flow'
ip -n prx -s link show detour >/tmp/out
[ "$(awk '/TX:/ { getline; print $1 }' /tmp/out)" -gt 900000 ]
ok '... which takes the new one' $?
unset TO

# --- datagrams without DF
set_in cli ipv4/ip_no_pmtu_disc 1
held '' up=4000000 down=1000
ip -n prx link set s mtu 1300
ends 'the MTU falls, and the client wants to hear nothing of it: fragments'
ip -n prx link set s mtu 1500
set_in cli ipv4/ip_no_pmtu_disc 0

# --- merged packets
for at in "cli c" "prx c" "prx s" "srv s"; do
  set -- $at
  ip -n $1 link set $2 gso_max_size 180000 gro_max_size 180000
done
before=$(stat DROP_EXTENSION)
TO=fd02::3 VIA=fd01::2
with '' 'IPv6 in packets above 64 KiB' up=20000000 down=20000000
unset TO VIA
[ "$(stat DROP_EXTENSION)" = "$before" ]
ok '... none of which is taken for one with extension headers' $?

# --- packet steering
in_prx sh -c 'echo 3 > /sys/class/net/c/queues/rx-0/rps_cpus; echo 3 > /sys/class/net/s/queues/rx-0/rps_cpus'
with '' 'segments on any processor' up=3000000 down=3000000 conns=4
in_prx sh -c 'echo 0 > /sys/class/net/c/queues/rx-0/rps_cpus; echo 0 > /sys/class/net/s/queues/rx-0/rps_cpus'

# --- IPsec's policies

# blocked COUNTER TIMES: so many segments have met the policy since.
blocked() { [ "$(stat $1)" -ge $((${before:-0} + $2)) ]; }
for pair in "10.99.2.3 10.99.1.2 out" "fd02::3 fd01::2 out" "10.99.2.3 10.99.1.2 in" "fd02::3 fd01::2 in"; do
  set -- $pair
  case $3 in
    out) what="dir out dst $1" counter=NO_ROUTE of=client ;;
    in) what="dir in src $1" counter=POLICY of=server ;;
  esac
  TO=$1 VIA=$2
  held '' up=300000 down=1000
  before=$(stat $counter)
  segments=$(of $of segments)
  ip -n prx xfrm policy add $what proto 6 action block
  go_on
  eventually blocked $counter 2
  [ "$(of $of segments)" = "$segments" ]
  ok "a policy forbids what a flow sends or gets ($3, $1)" $?
  ip -n prx xfrm policy flush
  ends '... and no longer'
done
unset TO VIA

# --- conntrack and NAT
nft -f - <<'N'
table inet t {
  chain in { type filter hook prerouting priority 0; ct state established accept; }
  chain post { type filter hook postrouting priority 0; ct state invalid drop; }
}
table ip n {
  chain post { type nat hook postrouting priority 100; oifname "s" masquerade; }
  chain pre { type nat hook prerouting priority -100; tcp dport 1090 redirect to :1080; }
  chain out { type nat hook output priority -100; ip daddr 10.99.9.9 dnat to 10.99.2.3; }
}
N
before=$(released)
with '' 'with conntrack, which drops what it finds invalid, and masquerade' up=3000000 down=3000000 conns=3
with 'intend' '... intended' up=3000000 down=3000000 slow
held 'intend' up=2000 down=1000
[ "$(released)" -gt "$before" ]
ok '... and released' $?
ends '... and goes on'
ip -n prx route add 10.99.9.9/32 via 10.99.2.3
before=$(released)
proxy_up
check 'a leg that is translated here (REDIRECT) is pumped' in_cli timeout 20 $LAB client 10.99.1.2 1090 up=3000000 down=3000000 conns=2
proxy_down >/dev/null
TO=10.99.9.9
with '' 'a leg to a translated server (DNAT) is pumped' up=3000000 down=3000000 conns=2
unset TO
[ "$(released)" = "$before" ]
ok '... and not released' $?
nft flush ruleset

# --- a bridge whose packets netfilter sees, and programs at the device
ip -n prx addr flush dev c
ip -n prx link add name lan type bridge
ip -n prx link set c master lan
ip -n prx link set lan up
ip -n prx addr add 10.99.1.2/24 dev lan
ip -n prx addr add fd01::2/64 dev lan nodad
set_in prx bridge/bridge-nf-call-iptables 1
nft -f - <<'N'
table netdev d {
  counter other { }
  chain in { type filter hook ingress device "c" priority 0; ether type != { ip, ip6, arp } counter name other; }
}
N
with '' 'through a bridge' up=3000000 down=3000000 conns=2
with 'intend' '... intended, and a peer that does not read' up=6000000 down=6000000 slow
nft list counter netdev d other >/tmp/out
grep -q 'packets 0 ' /tmp/out
ok '... and looks at the device as it did when it came' $?
nft flush ruleset
ip -n prx addr flush dev lan
ip -n prx link set c nomaster
ip -n prx link del lan
ip -n prx addr add 10.99.1.2/24 dev c
ip -n prx addr add fd01::2/64 dev c nodad

# --- VRF
ip -n prx link add name red type vrf table 200
ip -n prx link set red up
ip -n prx link set c master red
ip -n prx link set s master red
with 'listen=red device=red' 'in a VRF' up=1000000 down=1000000 conns=3
# The same addresses outside of it: a reset at the right place, from the wrong one.
ip -n cli link add name other type veth peer name other netns prx
ip -n cli link set other up
ip -n prx link set other up
held 'listen=red device=red' up=2000 down=1000
ip -n cli addr add 10.99.1.1/32 dev other
ip -n cli neigh add 10.99.1.2 lladdr $(in_prx cat /sys/class/net/other/address) dev other
in_cli $LAB forge 10.99.1.1 $(of client port) 10.99.1.2 1080 R $(of client end) 0 device=other
sleep 0.2
phase_is released 1
ok '... released; and a segment of the same name from outside the VRF is not the flow'"'"'s' $?
ends '... which goes on'
eventually none_left
ok 'nothing is left' $?
hosts_down
check 'unloads' eventually rmmod symsplice
plan
