/**
 * What is sent to a remote host: one string, which the login shell there makes words of. The scripts run what they are
 * given as a process group of its own, and end it when their standard input ends: as it does when the connection, or the
 * benchmark, is no more. Pure text, used by ssh-host.ts.
 */
import { MANY_FILES } from './paths.js';

/** A word that every POSIX shell, and most others, read as it is. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A script with its arguments, for `ssh HOST`. */
export const remoteCommand = (script: string, words: readonly string[]): string =>
  ['exec', 'sh', '-c', script, 'sh', ...words].map(quote).join(' ');

/** Programs of administrators, and as many open files as are allowed. */
const SURROUNDINGS = `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
${MANY_FILES}
exec 3<&0`;

/** Sends a signal to the group, or to its leader as long as that has not made it. */
const SIGNAL = `tell() { kill -s "$1" -- "-$pid" || kill -s "$1" "$pid"; }`;

/** Runs its arguments to their end; output and exit code are theirs. */
export const RUN_SCRIPT = `${SURROUNDINGS}
${SIGNAL}
setsid "$@" </dev/null 3<&- &
pid=$!
( while read -r line; do :; done; tell KILL ) <&3 3<&- >/dev/null 2>&1 &
watcher=$!
exec 3<&- 2>/dev/null
wait "$pid"
code=$?
kill "$watcher"
exit "$code"`;

/** Between what a process printed first, and what it printed last. */
export const END_MARK = '--- the end of its output:';

/**
 * Arguments: a directory, then what to start. Prints the process id in a line of its own. Lines of standard input are
 * names of signals. What the process prints goes to a file there, so that a talkative one does not keep the connection
 * busy: the beginning comes at once, 64 pieces of it (dd, which holds nothing back), the end at the end.
 */
export const START_SCRIPT = `${SURROUNDINGS}
${SIGNAL}
log=$(mktemp "$1/process.XXXXXX") || exit 1
shift
setsid "$@" </dev/null >"$log" 2>&1 3<&- &
pid=$!
# Whoever reads this may be gone: that must not keep us from deleting the file.
trap '' PIPE
echo "$pid"
( while read -r signal; do tell "$signal"; done; tell TERM; sleep 2; tell KILL ) <&3 3<&- >/dev/null 2>&1 &
watcher=$!
exec 3<&-
setsid sh -c 'tail -c +1 -f --pid="$1" "$2" | dd bs=4096 count=64' sh "$pid" "$log" 2>/dev/null &
shown=$!
# What the shell says of the signals that end a process is not the process' own.
exec 2>/dev/null
wait "$pid"
code=$?
kill "$watcher"
# Whoever is left of the group; and the two that still have our output, which would keep the connection waiting.
kill -s KILL -- "-$pid" "-$shown"
wait "$shown"
printf '\\n%s\\n' '${END_MARK}'
tail -c 2048 "$log"
rm -f "$log"
exit "$code"`;
