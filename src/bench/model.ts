/** The words of the benchmark: who takes part, what is asked of them, what comes out. No code, so that everybody may import it. */

/**
 * How the load generator reaches the server. `relay` is a proxy with a fixed target, which is spoken to as if it were the
 * server; so is `http`, but it passes nothing on that is not HTTP.
 */
export type Via = 'direct' | 'relay' | 'socks5' | 'connect' | 'http';

/** Modes of the load generator; bench/README.md says what each of them does. */
export type LoadMode =
  'download' | 'upload' | 'ping' | 'connect' | 'fetch' | 'small' | 'idle' | 'mixed' | 'http' | 'web';

export interface Workload {
  readonly mode: LoadMode;
  readonly connections: number;
  /** Bytes of a message or of a fetched response; the mode's own default otherwise. */
  readonly size?: number;
  /** Further arguments of the load generator. */
  readonly args?: readonly string[];
}

/** Microseconds. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** With `--histogram`: middle of each bucket that is not empty, and how many fell into it, in order. */
  readonly buckets?: readonly (readonly [microseconds: number, count: number])[];
}

/** Seconds of processor time in the measured interval, over all processors. */
export interface CpuSeconds {
  /** Of the whole machine: user, system, softirq and irq. */
  readonly busy: number;
  readonly user: number;
  readonly system: number;
  readonly softirq: number;
  readonly irq: number;
  readonly steal: number;
  readonly idle: number;
  readonly client: number;
  readonly server: number;
  readonly proxy: number;
  /** Processes that have nothing to do with the trial. */
  readonly others: number;
}

/** What `splice-load run` prints. */
export interface LoadResult {
  readonly mode: LoadMode;
  readonly via: Via;
  readonly connections: number;
  /** Length of the measured interval. */
  readonly seconds: number;
  /** Payload bytes that came, every one of them compared. */
  readonly bytes: number;
  readonly gbps: number;
  readonly operations: number;
  readonly perSecond: number;
  readonly latencyUs: Percentiles;
  readonly handshakeUs: Percentiles;
  readonly responseUs?: Percentiles;
  /** HTTP: responses that were no copy of another one: they came from the origin. */
  readonly fresh?: number;
  /** HTTP: the greatest number that the origin has given one of them. */
  readonly lastSerial?: number;
  /** HTTP: connections that the other side ended between two responses. */
  readonly reopened?: number;
  readonly wire?: {
    readonly segmentsOut: number;
    readonly segmentsIn: number;
    readonly bytesOut: number;
    readonly bytesIn: number;
  };
  readonly cpu: CpuSeconds;
  readonly stalled: number;
  readonly corrupt: number;
  readonly errors: number;
  readonly firstError: string;
  readonly clean: boolean;
}

export interface Output {
  readonly out: string;
  readonly err: string;
  readonly code: number | null;
}

/** A process on a host, in a process group of its own; it ends with the benchmark, however that ends. */
export interface Running {
  /** On the host where it runs. */
  readonly pid: number;
  readonly ended: boolean;
  /** The last lines that it printed, for a message. */
  tail(): string;
  /** Ends the whole group: TERM first, KILL after two seconds. Twice is harmless. */
  stop(): Promise<void>;
}

export type HostName = 'client' | 'proxy' | 'server';

/** A machine, or a network namespace of this one. */
export interface Host {
  readonly name: HostName;
  /** Interface towards the client, the proxy or the server: names differ between real machines. */
  readonly links: Readonly<Partial<Record<HostName, string>>>;
  /** A directory on it that is the benchmark's own, removed with the lab. */
  readonly scratch: string;
  /** Why packets between client and server do not pass through it when nobody relays them; the proxy host alone has it. */
  readonly bypassed?: string;
  /** Runs a command to its end, whatever its exit code. `onError` sees every piece of standard error as it comes. */
  run(command: readonly string[], options?: { timeoutMs?: number; onError?: (text: string) => void }): Promise<Output>;
  start(
    command: readonly string[],
    options?: { env?: Readonly<Record<string, string>>; log?: string },
  ): Promise<Running>;
}

export type Family = 4 | 6;

/** Addresses of the family in use, IPv6 in brackets. */
export interface Addresses {
  readonly family: Family;
  /** What a proxy listens on. */
  readonly any: string;
  readonly proxy: string;
  readonly target: string;
  /** FIRST/COUNT for the load generator: so many clients. */
  readonly sources: string;
}

/** The lab: three hosts in a row. */
export interface Lab {
  readonly client: Host;
  readonly proxy: Host;
  readonly server: Host;
  readonly addresses: Addresses;
  /** Whether processes of the three hosts share one machine, so that one count of processor time holds for all. */
  readonly oneMachine: boolean;
  /** Share of segments lost on the server's leg, each way; 0 takes the impairment away. */
  setLoss(share: number): Promise<void>;
  /** Removes everything that was made. Twice is harmless. */
  close(): Promise<void>;
}

/** Where a contestant is to run. */
export interface Place {
  /** The proxy host: what a contestant needs is made there. */
  readonly host: Host;
  readonly addresses: Addresses;
  readonly proxyPort: number;
  readonly targetPort: number;
  /** A directory on the proxy host that the contestant may write to. */
  readonly scratch: string;
  /** That it may use; where it has fewer than the machine, it is bound to them. */
  readonly processors: number;
}

export interface Start {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Contestant {
  /** As on the command line and in every table: `ours-packet`, `haproxy-splice`. */
  readonly name: string;
  /** For the legend of a picture. */
  readonly title: string;
  readonly via: Via;
  /** Of its configuration in bench/contestants, if it has one. */
  readonly config?: string;
  /** Why it cannot take part, with what to do about it; undefined if it can. */
  missing(host: Host): Promise<string | undefined>;
  /** As the program says it. */
  version(host: Host): Promise<string>;
  /** After its end: takes away what it left on the host, which would cost those after it. */
  tidy?(host: Host): Promise<void>;
  /** Prepares what it needs in the scratch directory (keys, certificates), and says how it is started; undefined: nothing runs. */
  prepare(place: Place): Promise<Start | undefined>;
}

/** One number that a figure is about. */
export interface Metric {
  /** Stable, in the JSON: `gbps`, `p50us`. */
  readonly id: string;
  /** For people, with the unit: `Gbit/s`, `p50 (us)`. */
  readonly title: string;
  readonly digits: number;
  readonly lowerIsBetter: boolean;
  /** Stands in the tables of ratios; the first metric of a figure always does. */
  readonly compared?: boolean;
}

/** Where a trial stands on the axes of its figure: `{ connections: 8, direction: 'down' }`. */
export type Point = Readonly<Record<string, number | string>>;

export interface Trial {
  readonly figure: string;
  readonly rep: number;
  readonly contestant: string;
  readonly point: Point;
  /** By metric; what could not be measured is absent. */
  readonly values: Readonly<Record<string, number>>;
  /** Share of the machine that other processes used meanwhile. */
  readonly othersShare?: number;
  /** Why there is no result, or why it does not count: errors, corrupt bytes. */
  readonly failure?: string;
  readonly load?: LoadResult;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** All repetitions of one contestant at one point. */
export interface Row {
  readonly figure: string;
  readonly contestant: string;
  readonly point: Point;
  readonly values: Readonly<Record<string, Summary>>;
  /** By reference, then by metric: formed inside each repetition, then summarized. */
  readonly ratios: Readonly<Record<string, Readonly<Record<string, Summary>>>>;
  /** Repetitions during which other processes used more of the machine than is good. */
  readonly noisy: number;
  readonly failures: readonly string[];
}

export interface FigureFacts {
  /** `response-time`. */
  readonly id: string;
  /** `a` to `l`, `g2` for a table beside `g`; empty for trials of one's own (`--modes`). */
  readonly letter: string;
  readonly title: string;
  /** What one sees in it, in a sentence or two. */
  readonly about: string;
  readonly metrics: readonly Metric[];
  /** The axes of a point, in the order in which tables sort. The last one is the x axis of the picture. */
  readonly axes: readonly Axis[];
}

export interface Axis {
  readonly id: string;
  readonly title: string;
  readonly scale: 'log' | 'linear' | 'names';
  /** How numbers of this axis are written: bytes as `64 KiB`, shares as `1 %`. */
  readonly unit?: 'bytes' | 'share';
}

/** One file of results; `schema` grows when a reader of the old one would misunderstand the new one. */
export interface Results {
  readonly schema: 1;
  /** ISO 8601. */
  readonly begun: string;
  readonly seconds: number;
  /** Why the run ended early, if it did: fewer repetitions than `method` says. */
  readonly incomplete?: string;
  readonly symsplice: { readonly version: string; readonly commit: string; readonly modified: boolean };
  readonly machine: Machine;
  readonly method: Method;
  readonly contestants: readonly {
    readonly name: string;
    readonly title: string;
    readonly via: Via;
    readonly version: string;
    readonly config?: string;
  }[];
  readonly leftOut: readonly { readonly contestant: string; readonly reason: string }[];
  readonly figures: readonly FigureFacts[];
  readonly rows: readonly Row[];
  readonly trials: readonly Trial[];
}

export interface Machine {
  /** With the name of the system: `Linux 6.1.0 x86_64`. */
  readonly kernel: string;
  readonly distribution: string;
  readonly processors: number;
  readonly model: string;
  readonly memoryBytes: number;
  readonly node: string;
  /** As the kernel says it: what its own work costs depends on them. */
  readonly mitigations: Readonly<Record<string, string>>;
  readonly virtual: string;
}

export interface Method {
  readonly family: Family;
  readonly repetitions: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly quick: boolean;
  /** Three namespaces, or the three machines by name. */
  readonly hosts: readonly string[];
}
