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
# sysctl HOST NAME VALUE: fails where the kernel does not know the value.
sysctl() { ip netns exec $1 sh -c "echo '$3' > /proc/sys/net/ipv4/$2" 2>/dev/null; }

check 'loads, self-tests pass' insmod $MODULE time_wait_ms=300
hosts_up

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
