# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Ring 4's test module-newer (test/vm/README.md): what kernels have learnt since 6.1 and flows of the module
# meet, as TAP. On a kernel that has not learnt it yet, that is an ordinary transfer, or not asked.

. kernel/test/lab.sh

# carried NAME CLIENT-ARGUMENTS...: through a proxy whose requests are not refused.
carried() {
  name=$1
  shift
  proxy_up
  check "$name" client "$@"
  proxy_down >/tmp/log
  if grep -q 'splice: ' /tmp/log; then ok "$name: not refused" 1; fi
}
# Of the TCP of all peers: segments sent, and sent again. Who damages segments is found out by the second alone, since
# the stream comes whole in the end.
segments() { for h in cli srv; do ip netns exec $h cat /proc/net/snmp; done | awk '/^Tcp: [0-9]/ { out += $12; again += $13 } END { print out, again }'; }
few_again() {
  set -- $1 $(segments)
  echo "$(($3 - $1)) segments, $(($4 - $2)) again" >/tmp/out
  [ $((20 * ($4 - $2))) -lt $(($3 - $1)) ]
}
switch() { ip netns exec $1 /sbin/ethtool -K $2 $3 $4 >/dev/null; }
# sysctl HOST NAME VALUE: fails where the kernel does not know the value.
sysctl() { ip netns exec $1 sh -c "echo '$3' > /proc/sys/net/ipv4/$2" 2>/dev/null; }

check 'loads, self-tests pass' insmod $MODULE time_wait_ms=300
hosts_up

# --- 6.10: a device merges segments of connections without a socket into lists that keep every header
for at in "cli c" "srv s"; do switch $at tso off && switch $at gso off; done
for at in "prx c" "prx s"; do switch $at gro on && switch $at rx-gro-list on; done
before=$(segments)
carried 'segments that are merged into lists' up=10000000 down=10000000 conns=2
TO=fd02::3 VIA=fd01::2
carried 'segments that are merged into lists, IPv6' up=10000000 down=10000000 conns=2
unset TO VIA
few_again "$before"
ok '... and few are sent again' $?
cat /tmp/out >&2
mtu() { ip -n prx link set s mtu $1; ip -n srv link set s mtu $1; }
mtu 1300
carried 'lists of segments that are too big for the other leg' up=3000000 down=3000000
mtu 1500
for at in "prx c" "prx s"; do switch $at rx-gro-list off; done

# --- 7.0: Accurate ECN (RFC 9768)
sysctl srv tcp_ecn 1
sysctl prx tcp_ecn 1
if sysctl cli tcp_ecn 3; then
  carried 'Accurate ECN is asked for, ECN is what comes of it' up=1000000 down=1000000
  sysctl prx tcp_ecn 3
  proxy_up
  client up=10 down=10 >/dev/null
  proxy_down >/tmp/log
  check 'Accurate ECN is spoken: refused' grep -q 'splice: 16' /tmp/log
fi

eventually none_left
check 'unloads' rmmod symsplice
hosts_down
plan
