/** What a contestant holds on the proxy host: memory, descriptors, sockets, BPF maps. One command a look; see idle-memory.ts. */
import type { Host } from '../model.js';
import { runScript, splitParts } from './script.js';

export interface Holdings {
  /** Resident memory of the process and its children; what they share counts once. */
  readonly residentKb: number;
  readonly descriptors: number;
  /** Of the process that has the most of them. */
  readonly greatest: { readonly descriptors: number; readonly limit: number };
  /** Of TCP in the host's network namespace, listening ones too; TIME_WAIT is not one. */
  readonly sockets: number;
  /** Slab, kernel stacks and page tables of the whole machine. */
  readonly kernelKb: number;
  /** BPF maps that the processes hold. */
  readonly mapBytes: number;
}

/**
 * $1: the process, or nothing. The tree is found by parents, since a contestant may make process groups of its own. A few
 * commands look at all processes together: some contestants are hundreds. What has ended meanwhile is left out.
 */
const LOOK = `
tree() {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$1" '
    { pid = $1; sub(/^.*[)] . /, ""); parent[pid] = $1 }
    END {
      tree[root] = 1
      do {
        grown = 0
        for (pid in parent) if (!(pid in tree) && (parent[pid] in tree)) { tree[pid] = 1; grown = 1 }
      } while (grown)
      for (pid in tree) print "/proc/" pid
    }'
}
if [ -n "$1" ]; then
  processes=$(tree "$1")
  echo @resident; grep -s '^Pss:' $(printf '%s/smaps_rollup ' $processes) /dev/null
  echo @limits; grep -s '^Max open files' $(printf '%s/limits ' $processes) /dev/null
  descriptors=$(ls -l $(printf '%s/fd ' $processes) /dev/null 2>/dev/null | awk '
    /^[/]proc[/].*:$/ { directory = substr($0, 1, length($0) - 1); count[directory] = 0 }
    / -> / { count[directory]++ }
    / -> anon_inode:bpf-map$/ { print directory "info/" $(NF - 2) }
    END { for (directory in count) print directory ": " count[directory] }')
  echo @descriptors; printf '%s\\n' "$descriptors" | grep ': '
  maps=$(printf '%s\\n' "$descriptors" | grep /fdinfo/)
  echo @maps; [ -z "$maps" ] || cat $maps 2>/dev/null
fi
echo @sockets; cat /proc/net/sockstat /proc/net/sockstat6 2>/dev/null
echo @memory; cat /proc/meminfo
exit 0
`;

/** Lines `/proc/PID/...: NUMBER`, by process. */
function byProcess(text: string): Map<string, number> {
  const found = text.matchAll(/^\/proc\/(\d+)\/[^:]*:\D*?(\d+)/gm);
  return new Map([...found].map(([, pid = '', number]) => [pid, Number(number)]));
}

/** The number behind a label; NaN if it is not there. */
const labelled = (text: string, label: RegExp): number => Number(label.exec(text)?.[1] ?? NaN);

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, number) => total + number, 0);

/** Of the output of the script. */
export function parseHoldings(text: string): Holdings {
  const parts = splitParts(text);
  const part = (name: string): string => parts.find((one) => one.name === name)?.text ?? '';
  const counts = byProcess(part('descriptors'));
  const [most, descriptors] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
  // The same map may be open in several places.
  const maps = part('maps')
    .split(/^pos:/m)
    .slice(1)
    .map((map) => [labelled(map, /^map_id:\s*(\d+)/m), labelled(map, /^memlock:\s*(\d+)/m)] as const);
  const memory = ['Slab', 'KernelStack', 'PageTables'].map((name) =>
    labelled(part('memory'), new RegExp(`^${name}:\\s*(\\d+) kB`, 'm')),
  );
  return {
    residentKb: sum(byProcess(part('resident')).values()),
    descriptors: sum(counts.values()),
    greatest: { descriptors, limit: byProcess(part('limits')).get(most) ?? Infinity },
    sockets: sum([...part('sockets').matchAll(/^TCP6?: inuse (\d+)/gm)].map(([, count]) => Number(count))),
    kernelKb: sum(memory),
    mapBytes: sum(new Map(maps).values()),
  };
}

/** The lesser of each number. */
export function leastOf(a: Holdings, b: Holdings): Holdings {
  return {
    residentKb: Math.min(a.residentKb, b.residentKb),
    descriptors: Math.min(a.descriptors, b.descriptors),
    greatest: a.greatest.descriptors <= b.greatest.descriptors ? a.greatest : b.greatest,
    sockets: Math.min(a.sockets, b.sockets),
    kernelKb: Math.min(a.kernelKb, b.kernelKb),
    mapBytes: Math.min(a.mapBytes, b.mapBytes),
  };
}

/** @param root the process; none for the router, whose holdings are the kernel's alone */
export async function lookAtHoldings(host: Host, root: number | undefined): Promise<Holdings> {
  return parseHoldings(await runScript(host, LOOK, root === undefined ? [] : [String(root)]));
}
