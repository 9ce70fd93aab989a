#!/bin/sh
# SPDX-License-Identifier: MIT
# ssh -D with an sshd of its own, both on this host, in the foreground: the usual SOCKS proxy of people who have nothing
# but a login. Its connections go through one encrypted TCP connection over loopback.
# Started by src/bench/contestants/ssh-dynamic.ts:
#   ssh-dynamic.sh DIRECTORY LISTEN      DIRECTORY has the keys `host` and `user`
#
# Speed: AES-GCM is the fastest cipher of OpenSSH where the processor has instructions for AES (chacha20-poly1305 is
# what it takes unasked); no compression. Nothing of the user's or the machine's configuration is read.
set -eu
directory=$1
listen=$2
port=22101

# sshd wants its own absolute path, and a directory of its own that is the same for every sshd of a machine.
sshd=$(command -v sshd)
[ -d /run/sshd ] || mkdir -m 755 /run/sshd
cat >"$directory/sshd_config" <<END
Port $port
ListenAddress 127.0.0.1
HostKey $directory/host
AuthorizedKeysFile $directory/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding local
UseDNS no
PrintMotd no
PrintLastLog no
LogLevel ERROR
END
printf '[127.0.0.1]:%s %s\n' "$port" "$(cat "$directory/host.pub")" >"$directory/known_hosts"

"$sshd" -D -e -f "$directory/sshd_config" &
# The session's sshd is in a group of its own: it ends when ssh does.
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP

attempt=0
while :; do
  started=$(date +%s)
  ssh -F none -i "$directory/user" -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile="$directory/known_hosts" \
    -o GlobalKnownHostsFile=none -o ExitOnForwardFailure=yes -o Compression=no -o LogLevel=ERROR \
    -c aes128-gcm@openssh.com -p "$port" -N -D "$listen" "$(id -un)@127.0.0.1" &
  wait $! || true
  # sshd may not listen yet. Once it did, the end of ssh is the end.
  attempt=$((attempt + 1))
  [ "$attempt" -lt 50 ] && [ $(($(date +%s) - started)) -lt 2 ] || exit 1
  sleep 0.1
done
