/**
 * A lab in which nothing runs. It keeps what would have been done as lines, in order, and answers for the load generator
 * as the test wants.
 */
import type {
  Contestant,
  Family,
  Host,
  HostName,
  Lab,
  LoadResult,
  Output,
  Percentiles,
  Running,
  Via,
} from '../../../src/bench/model.js';

const NO_TIMES: Percentiles = { count: 10, p50: 100, p90: 200, p99: 300, p999: 400, max: 500 };

/** A result that counts, with what the test wants different. */
export function loadResult(part: Partial<LoadResult> = {}): LoadResult {
  const { errors = 0, corrupt = 0 } = part;
  return {
    mode: 'download',
    via: 'socks5',
    connections: 1,
    seconds: 1,
    bytes: 1e9,
    gbps: 8,
    operations: 10,
    perSecond: 10,
    latencyUs: NO_TIMES,
    handshakeUs: NO_TIMES,
    cpu: {
      ...{ busy: 1, user: 0.25, system: 0.5, softirq: 0.25, irq: 0, steal: 0 },
      ...{ idle: 1, client: 0.3, server: 0.3, proxy: 0.2, others: 0.1 },
    },
    stalled: 0,
    corrupt,
    errors,
    firstError: '',
    clean: errors === 0 && corrupt === 0,
    ...part,
  };
}

export interface Asked {
  /** Name of the contestant that is up; `router` if none is. */
  readonly contestant: string;
  /** From 0, over all trials of this contestant (round trips that show that it is ready do not count). */
  readonly trial: number;
  readonly args: readonly string[];
  /** The contestant's process is gone from now on. */
  die(): void;
}

export interface FakeLab extends Lab {
  /** Caches that were filled: `NAME COUNT`. */
  readonly primes: string[];
  /** `up NAME`, `down NAME`, `load NAME ARGS`, `loss SHARE`, `close`. */
  readonly done: string[];
}

/** `answer` gives what the load generator prints. */
export function fakeLab(
  answer: (asked: Asked) => LoadResult | string | Promise<LoadResult | string> = () => loadResult(),
  { oneMachine = true, family = 4 }: { oneMachine?: boolean; family?: Family } = {},
): FakeLab {
  const done: string[] = [];
  const primes: string[] = [];
  let up: { name: string; ended: boolean } | undefined;
  const trials = new Map<string, number>();

  const generate = async (args: readonly string[]): Promise<string> => {
    const contestant = up?.name ?? 'router';
    const count = argument(args, '--count');
    if (args.includes('--count') && count !== '1') primes.push(`${contestant} ${count}`);
    if (args.includes('--count')) return JSON.stringify(loadResult({ mode: 'ping', clean: up?.ended !== true }));
    const trial = trials.get(contestant) ?? 0;
    trials.set(contestant, trial + 1);
    done.push(`load ${contestant} ${argument(args, '--mode')}${argument(args, '--connections')}`);
    const die = (): void => void (up !== undefined && (up.ended = true));
    const said = await answer({ contestant, trial, args, die });
    return typeof said === 'string' ? said : JSON.stringify(said);
  };

  const host = (name: HostName): Host => ({
    name,
    links: name === 'client' ? { proxy: 'toprx' } : {},
    scratch: `/scratch/${name}`,
    async run(command, options): Promise<Output> {
      // The load generator may be bound to some processors.
      const [program, ...args] = command[0] === 'taskset' && command.includes('LOAD') ? command.slice(3) : command;
      if (program === 'LOAD') {
        options?.onError?.('measuring\n');
        return { out: await generate(args), err: '', code: 0 };
      }
      if (program === 'sed') return { out: '0-5\n', err: '', code: 0 };
      if (program === 'nproc') return { out: name === 'proxy' ? '6\n' : '1\n', err: '', code: 0 };
      return { out: 'cpu 0 0 0 0 0 0 0 0 0 0\n', err: '', code: 0 };
    },
    start(command): Promise<Running> {
      const own = { name: (command[0] === 'taskset' ? command.slice(3) : command).join(' '), ended: false };
      if (name === 'proxy') {
        done.push(`up ${own.name}`);
        up = own;
      }
      return Promise.resolve({
        pid: 7,
        get ended() {
          return own.ended;
        },
        tail: () => 'its last words',
        stop() {
          if (name === 'proxy' && up === own) {
            done.push(`down ${own.name}`);
            up = undefined;
          }
          own.ended = true;
          return Promise.resolve();
        },
      });
    },
  });

  return {
    done,
    primes,
    client: host('client'),
    proxy: host('proxy'),
    server: host('server'),
    addresses: { family, any: '0.0.0.0', proxy: '10.0.1.1', target: '10.0.2.2', sources: '10.0.1.100/64' },
    oneMachine,
    setLoss: (share) => Promise.resolve(void done.push(`loss ${share}`)),
    close: () => Promise.resolve(void done.push('close')),
  };
}

/** What stands behind a flag. */
export const argument = (args: readonly string[], flag: string): string => args[args.indexOf(flag) + 1] ?? '';

/** Its process is called as it is. */
export function fakeContestant(name: string, part: Partial<Contestant> & { via?: Via } = {}): Contestant {
  return {
    name,
    title: name,
    via: name === 'router' ? 'direct' : 'socks5',
    missing: () => Promise.resolve(undefined),
    version: () => Promise.resolve('1'),
    prepare: () => Promise.resolve(name === 'router' ? undefined : { command: [name] }),
    ...part,
  };
}
