/** What a kernel says when something is wrong with it, found in its log. */

/** Each is the beginning of a report of the kernel's own checks; none is printed by a sound one. */
const troubles: readonly RegExp[] = [
  /\bWARNING: /,
  /\bBUG: /,
  /\bBUG at\b/,
  /kernel BUG/,
  /\bOops\b/,
  /Kernel panic/,
  /general protection fault/,
  /unable to handle/,
  /suspicious RCU usage/,
  /possible (?:circular locking|recursive locking|irq lock inversion|deadlock)/,
  /inconsistent lock state/,
  /sleeping function called from invalid context/,
  /scheduling while atomic/,
  /rcu: INFO: .*detected/,
  /INFO: task .* blocked for more than/,
  /unregister_netdevice: waiting for/,
  /\bmemory leak\b|unreferenced object/,
  /(?:Redzone|Poison|Freelist|Object).*(?:overwritten|corrupt)|Objects remaining in/,
  /refcount_t: /,
  /Out of memory|oom-kill/,
  /segfault at|traps: .* trap/,
  /hw csum failure/,
  /TCP: out of memory|nf_conntrack: table full/,
];

/** The lines that tell of trouble, each with those behind it, without what the boot says about its own parameters. */
export function troublesIn(console: string, context = 30): string[] {
  const lines = console.split(/\r?\n/).filter((line) => !/command line:/i.test(line));
  const found: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (!troubles.some((trouble) => trouble.test(lines[at] ?? ''))) continue;
    found.push(lines.slice(at, at + context).join('\n'));
    at += context;
  }
  return found;
}
