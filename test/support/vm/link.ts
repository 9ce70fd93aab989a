/** The lab's two links as long, lossy, disordered wires, by netem: the guest's kernel has it, the host's may not. */
import { execFileSync } from 'node:child_process';
import type { Host, Lab } from '../lab.js';

/** One way over a link, in netem's own words: `delay 25ms loss 1%`. Empty: as it is. */
export type Netem = string;

export type Link = 'c' | 's';

const tc = (host: Host, ...args: string[]): string =>
  execFileSync('tc', ['-n', host.namespace, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** What netem holds under way; its own default of 1000 would drop on a long fat pipe. */
const limit = '40000';

export class Wires {
  readonly #lab: Lab;

  /** Segments go over the links as a wire carries them, one by one, so that a loss is of one. */
  constructor(lab: Lab) {
    this.#lab = lab;
    for (const [host, device] of this.#ends()) host.ip('link', 'set', 'dev', device, 'gso_max_segs', '1');
  }

  #ends(): [Host, Link][] {
    const { cli, prx, srv } = this.#lab;
    return [
      [cli, 'c'],
      [prx, 'c'],
      [prx, 's'],
      [srv, 's'],
    ];
  }

  /** The same both ways over a link. */
  set(link: Link, netem: Netem): void {
    for (const [host, device] of this.#ends().filter(([, each]) => each === link)) {
      const words = netem.split(' ').filter(Boolean);
      if (words.length === 0) {
        // Without a root qdisc of ours there is nothing to delete, and tc says so.
        if (tc(host, 'qdisc', 'show', 'dev', device).includes('netem')) tc(host, 'qdisc', 'del', 'dev', device, 'root');
      } else tc(host, 'qdisc', 'replace', 'dev', device, 'root', 'netem', 'limit', limit, ...words);
    }
  }

  /** Segments that netem has dropped since it was set, over both links. */
  dropped(): number {
    let sum = 0;
    for (const [host, device] of this.#ends()) {
      const shown = tc(host, '-s', 'qdisc', 'show', 'dev', device);
      sum += Number(/qdisc netem[\s\S]*?dropped (\d+)/.exec(shown)?.[1] ?? 0);
    }
    return sum;
  }
}
