# SPDX-License-Identifier: MIT
# Shared by setup, build, start and test (sourced, never run). Everything here must work before
# node_modules exists and without any program that setup may still have to install.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOGS=$ROOT/build/log

# bpftool, ip and sshd live in sbin, which a user's PATH lacks on Debian.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { printf 'symsplice: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# run_logged NAME COMMAND...: output goes to build/log/NAME.log and is shown only when the command fails.
run_logged() {
  local log=$LOGS/$1.log status=0
  shift
  mkdir -p "$LOGS"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    say "failed with status $status: $*"
    # Some tools say what is wrong first, some last.
    if [ "$(wc -l <"$log")" -le 60 ]; then
      cat "$log" >&2
    else
      head -n 20 "$log" >&2
      echo '  ...' >&2
      tail -n 40 "$log" >&2
    fi
    say "the whole output is in ${log#"$ROOT"/}"
  fi
  return "$status"
}

need_node() {
  local found major minor
  command -v node >/dev/null || die 'Node.js is missing. Install Node 20.17 or later (https://nodejs.org), then run this again.'
  found=$(node -p process.versions.node)
  major=${found%%.*}
  minor=${found#*.}
  minor=${minor%%.*}
  if [ "$major" -lt 20 ] || { [ "$major" -eq 20 ] && [ "$minor" -lt 17 ]; }; then
    die "Node $found is too old: symsplice needs 20.17 or later (https://nodejs.org)."
  fi
}

# npm leaves node_modules/.package-lock.json behind when an install is complete, so its age tells.
need_modules() {
  local stamp=$ROOT/node_modules/.package-lock.json
  if [ -e "$stamp" ] && [ ! "$ROOT/package-lock.json" -nt "$stamp" ]; then return 0; fi
  say 'installing npm packages (npm ci)'
  (cd "$ROOT" && run_logged npm-ci npm ci --include=dev --no-audit --no-fund --loglevel=error) || return 1
  touch "$stamp"
}
