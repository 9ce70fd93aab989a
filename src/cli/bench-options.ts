/** The options of `splice-bench run`, as a user types them and as the run wants them. Starts nothing. */
import { InvalidArgumentError, Option } from 'commander';
import { SpliceArgumentError } from '../errors.js';
import { chooseFigures } from '../bench/figures/index.js';
import type { Figure } from '../bench/figures/figure.js';
import { EVERYBODY } from '../bench/figures/line-ups.js';
import { bracketed } from '../bench/lab/addresses.js';
import type { RemoteOptions } from '../bench/lab/remote-hosts.js';
import type { Family } from '../bench/model.js';
import { figuresOfModes } from '../bench/modes.js';
import type { RunOptions } from '../bench/plan.js';

/** Three machines, by the names that ssh knows, and the addresses that the load uses between them. */
export type RemoteHosts = Pick<RemoteOptions, 'hosts' | 'addresses'>;

export interface BenchOptions extends RunOptions {
  readonly figures: readonly Figure[];
  readonly family: Family;
  readonly remote?: RemoteHosts;
  /** undefined: a directory named after the date. */
  readonly out?: string;
  readonly oursArgs: readonly string[];
  readonly quietWait: number;
  readonly dryRun: boolean;
}

/** As commander gives them. */
export interface RawOptions {
  readonly quick?: boolean;
  readonly reps?: number;
  readonly seconds?: number;
  readonly warmup?: number;
  readonly only?: readonly string[];
  readonly figures?: readonly string[];
  readonly modes?: readonly string[];
  readonly family: Family;
  readonly hosts?: readonly string[];
  readonly addresses?: readonly string[];
  readonly out?: string;
  readonly oursArgs?: string;
  readonly quietWait?: number;
  readonly dryRun?: boolean;
}

const FULL = { repetitions: 5, seconds: 0.8, warmup: 0.2, quietWait: 5 };
const QUICK = { repetitions: 1, seconds: 0.3, warmup: 0.15, quietWait: 1 };

const list = (text: string): readonly string[] => {
  const words = text.split(',').map((word) => word.trim());
  if (words.includes('')) throw new InvalidArgumentError('Names with commas between them, please.');
  return words;
};

const number =
  (least: number, most: number, whole = false) =>
  (text: string): number => {
    const value = Number(text);
    const usable = text.trim() !== '' && value >= least && value <= most && (!whole || Number.isInteger(value));
    if (!usable) throw new InvalidArgumentError(`It is a ${whole ? 'whole ' : ''}number from ${least} to ${most}.`);
    return value;
  };

const parseFamily = (text: string): Family => {
  if (text === '4') return 4;
  if (text === '6') return 6;
  throw new InvalidArgumentError('It is 4 or 6.');
};

/** Made anew for each command line: commander keeps state in them. */
export function runOptions(): Option[] {
  const option = (flags: string, about: string, parse?: (text: string) => unknown): Option => {
    const made = new Option(flags, about);
    return parse === undefined ? made : made.argParser(parse);
  };
  return [
    option('--quick', 'Everything in less than two minutes: fewer points and contestants, short trials, once.'),
    option('--figures <A,B>', 'Some figures only, by letter or name; splice-bench list shows them.', list),
    option(
      '--modes <A,B>',
      'Trials of your own instead: connect[C] down[C] up[C] ping[C] small[C] fetch[C][:SIZE].',
      list,
    ).conflicts('figures'),
    option(
      '--only <A,B>',
      'These contestants; more words behind one of ours are arguments: "ours-packet --packet-after-time 20ms".',
      list,
    ),
    option('--ours-args <TEXT>', 'More arguments for every splice-socks, separated by spaces.'),
    option(
      '--reps <N>',
      `Interleaved repetitions (${FULL.repetitions}; quick: ${QUICK.repetitions}).`,
      number(1, 1000, true),
    ),
    option(
      '--seconds <S>',
      `Measured interval of a trial (${FULL.seconds}; quick: ${QUICK.seconds}).`,
      number(0.1, 3600),
    ),
    option('--warmup <S>', `Load before it (${FULL.warmup}; quick: ${QUICK.warmup}).`, number(0, 600)),
    option(
      '--quiet-wait <S>',
      `Wait at most so long for a quiet machine (${FULL.quietWait}; quick: ${QUICK.quietWait}).`,
      number(0, 3600),
    ),
    option('--family <4|6>', 'IP version on both sides of the relay.', parseFamily).default(4),
    option('--hosts <C,P,S>', 'Client, proxy and server as ssh names, instead of namespaces here.', list),
    option(
      '--addresses <C,P,S>',
      'With --hosts, where routes do not tell: FIRST/COUNT of the client, the proxy, the server.',
      list,
    ),
    option('--out <DIR>', 'Where everything goes (default: build/bench/DATE).'),
    option('--dry-run', 'Say what would be done and how long it would take; start nothing.'),
  ];
}

export function benchOptions(raw: RawOptions): BenchOptions {
  const quick = raw.quick === true;
  const usual = quick ? QUICK : FULL;
  const { only, out } = raw;
  const remote = remoteHosts(raw);
  return {
    quick,
    repetitions: raw.reps ?? usual.repetitions,
    seconds: raw.seconds ?? usual.seconds,
    warmup: raw.warmup ?? usual.warmup,
    ...(only === undefined ? {} : { only }),
    figures: raw.modes === undefined ? chooseFigures(raw.figures, quick) : figuresOfModes(raw.modes, EVERYBODY),
    family: raw.family,
    ...(remote === undefined ? {} : { remote }),
    ...(out === undefined ? {} : { out }),
    oursArgs: (raw.oursArgs ?? '').split(' ').filter((word) => word !== ''),
    quietWait: raw.quietWait ?? usual.quietWait,
    dryRun: raw.dryRun === true,
  };
}

function remoteHosts({ hosts, addresses, family }: RawOptions): RemoteHosts | undefined {
  if (hosts === undefined && addresses === undefined) return undefined;
  if (hosts === undefined) throw new SpliceArgumentError('--addresses goes with --hosts CLIENT,PROXY,SERVER');
  const [client, proxy, server, ...more] = hosts;
  if (client === undefined || proxy === undefined || server === undefined || more.length > 0)
    throw new SpliceArgumentError('--hosts wants three names: CLIENT,PROXY,SERVER');
  if (addresses === undefined) return { hosts: [client, proxy, server] };
  const [sources, proxyAddress, target, ...rest] = addresses;
  if (sources === undefined || proxyAddress === undefined || target === undefined || rest.length > 0) {
    const example = family === 4 ? '10.0.1.100/16,10.0.1.1,10.0.2.2' : 'fd00:1::100/16,fd00:1::1,fd00:2::2';
    throw new SpliceArgumentError(
      `--addresses are three: the client's first and how many it has, the proxy's, the server's: ${example}`,
    );
  }
  return {
    hosts: [client, proxy, server],
    addresses: { sources, proxy: bracketed(proxyAddress), target: bracketed(target) },
  };
}
