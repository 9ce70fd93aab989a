#!/bin/sh
# SPDX-License-Identifier: MIT
# Varnish in the foreground. Started by src/bench/contestants/varnish.ts:
#   varnish.sh DIRECTORY VCL LISTEN STORAGE_MIB THREADS
set -eu
directory=$1
vcl=$2
listen=$3
storage=$4
threads=$5

# -n: its working directory, with the log in shared memory, on a tmpfs, as its documentation wants it.
# -s malloc: all objects in memory, also the one of 1 GB: it is what it recommends where they fit.
# No log is written: that takes varnishlog or varnishncsa, which do not run. The log in memory is always kept.
# thread_pools: its default is two, one for each processor is what it may use here. The least number of threads covers
# every connection of a figure, so that none of them waits for a thread to be made.
# listen_depth as the others have it; timeout_idle of 5 s would end connections that wait between two trials.
exec varnishd -F -n "$directory/work" -f "$vcl" -a "$listen" -s "malloc,${storage}m" \
  -p thread_pools="$threads" -p thread_pool_min=100 -p thread_pool_max=1000 \
  -p listen_depth=4096 -p timeout_idle=60
