# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-lifecycle (test/vm/README.md): loading and unloading, under traffic, with flows in every
# phase, with namespaces that go; and that memory is back where it was. The kernel stops at the first warning, as
# when a cache of the module goes that has objects left.

. kernel/test/lab.sh
ulimit -n 20000

# --- memory

# memory FILE: objects of each slab cache, and pages. What only waits to be used again is given back first, or
# counted as free, as are the lists of free pages that each processor has.
memory() {
  for round in 1 2; do
    echo 3 >/proc/sys/vm/drop_caches
    for cache in /sys/kernel/slab/*/shrink; do echo 1 >"$cache"; done
    # What is freed after a grace period, and by workers.
    sleep 1
  done
  awk 'NR > 2 { print "objects " $1, $2 }' /proc/slabinfo >"$1"
  awk '/^(Slab|SUnreclaim|Percpu|VmallocUsed):/ { print "KiB " $1, $2 }' /proc/meminfo >>"$1"
  awk '$1 == "pages" && $2 == "free" { pages += $3 }
    $1 == "count:" { pages += $2 }
    END { print "KiB used", -4 * pages }' /proc/zoneinfo >>"$1"
}

# kept OBJECTS KIB: no cache has so many objects more than before, no account so many KiB.
kept() {
  memory /tmp/after
  awk -v objects="$1" -v kib="$2" '
    { name = $1 " " $2; limit = $1 == "KiB" ? kib : objects }
    NR == FNR { before[name] = $3; next }
    $3 - before[name] >= limit { print name ": " before[name] " -> " $3; bad = 1 }
    END { exit bad }' /tmp/before /tmp/after
}

# --- traffic

# traffic: four clients that read without an end. Their process is $CLIENTS.
traffic() {
  /sbin/ip netns exec cli $LAB client 10.99.1.2 1080 up=10 down=20000000000 conns=4 >/tmp/clients 2>&1 &
  CLIENTS=$!
}
traffic_ends() {
  kill -9 $CLIENTS 2>/dev/null
  wait $CLIENTS 2>/dev/null
}
unloads() { rmmod symsplice 2>/tmp/out; }

# --- under traffic

hosts_up
# Nobody is left of a connection that is over, so that memory can be compared.
in_cli sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets'
insmod $MODULE time_wait_ms=100
proxy_up
traffic
eventually phase_is released 4
ok 'four flows carry what they can' $?
refuse 'unloading is refused' unloads
check 'all are aborted' ctl abort
wait $CLIENTS
[ "$(grep -c 'in 104 after' /tmp/clients)" = 4 ]
ok '... which the clients hear as a reset' $?
proxy_down >/dev/null
eventually unloads
ok '... and it unloads' $?

# Flows come all the time while somebody tries to unload: an attempt is refused, or succeeds between two flows.
refused=0
i=0
while [ $i -lt 10 ]; do
  insmod $MODULE time_wait_ms=0 || break
  proxy_up
  client up=2000 down=2000 conns=20 >/dev/null 2>&1 &
  C=$!
  eventually flows_there || break
  until unloads; do
    refused=$((refused + 1))
    [ $refused -lt 10000 ] || break 2
    [ $((refused % 50)) != 0 ] || ctl abort
  done
  wait $C
  proxy_down >/dev/null
  i=$((i + 1))
done
[ $i = 10 ] && [ $refused -gt 0 ]
ok 'unloaded while flows come, ten times' $?

# --- namespaces and devices that go

# The proxy's namespace goes while flows carry what they can, and nothing else is done to them.
i=0
while [ $i -lt 4 ]; do
  insmod $MODULE || break
  proxy_up
  traffic
  # By turns when all are released, and in whatever phase they are.
  if [ $((i % 2)) = 0 ]; then eventually phase_is released 4; else eventually flows_there; fi
  ip netns del prx
  proxy_down >/dev/null
  eventually unloads || break
  traffic_ends
  hosts_down
  hosts_up
  i=$((i + 1))
done
[ $i = 4 ]
ok 'their namespace goes, and they with it, four times' $?

insmod $MODULE
proxy_up
in_cli $LAB client 10.99.1.2 1080 up=1000 down=10 conns=50 idle=60 >/dev/null 2>&1 &
eventually phase_is released 50
ip -n prx link del c
sleep 1
phase_is released 50
ok 'the device of live flows goes: they stay' $?
proxy_down >/dev/null
hosts_down
eventually unloads
ok '... until their namespace goes' $?

# --- memory back where it was

hosts_up
in_cli sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets'
# Else each processor keeps up to 64 buffers that another one freed, until it has something to do for the network.
echo 0 >/proc/sys/net/core/skb_defer_max
# Everything is there that the kernel keeps for the next flows.
check 'loaded, used, unloaded' $LAB cycles $MODULE time_wait_ms=100 3 500
memory /tmp/before
check '10,000 flows, 500 at once' $LAB cycles $MODULE time_wait_ms=100 20 500
check '... and nothing is kept of them' kept 500 1024
check '200 times loaded, used, unloaded' $LAB cycles $MODULE time_wait_ms=100 200 1
check '... and nothing is kept of it' kept 150 1024
hosts_down
plan
