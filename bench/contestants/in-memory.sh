#!/bin/sh
# SPDX-License-Identifier: MIT
# A program whose cache is in memory: a tmpfs of its own, which only it and its children see, and which is gone with
# the last of them, however they end. So no disk is measured, neither its speed nor what it happens to have to write; a
# hit comes out of the page cache anyway. Everybody who keeps files gets the same.
#   in-memory.sh DIRECTORY SIZE PROGRAM [ARGUMENT...]
set -eu
directory=$1
size=$2
shift 2
mkdir -p "$directory"
# Contestants that change their user write there, too.
exec unshare --mount sh -c '
  mount -t tmpfs -o "size=$2,mode=1777" splice-bench "$1" && shift 2 && exec "$@"' sh "$directory" "$size" "$@"
