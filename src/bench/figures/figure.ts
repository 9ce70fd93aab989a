/**
 * What a figure of the benchmark is: a table of trials with axes. Most are load through a contestant at several points;
 * a few measure something else (memory of idle flows, the kernel's own cost) and bring their trials themselves.
 * src/bench/run.ts goes through them, repetition by repetition.
 */
import type { Contestant, FigureFacts, Lab, LoadResult, Output, Point, Running, Trial, Workload } from '../model.js';

/** Load through contestants: one trial for each contestant, point and repetition. */
export interface LoadFigure {
  readonly kind: 'load';
  readonly facts: FigureFacts;
  /** Who takes part unless the user names others. */
  contestants(quick: boolean): readonly string[];
  /** In the order in which one contestant goes through them. */
  points(quick: boolean): readonly Point[];
  workload(point: Point): Workload;
  /** How many times longer than others this point is measured; 1 if absent. */
  stretch?(point: Point): number;
  /** What is spoken; without it any stream of bytes, which HTTP fronts do not pass on. They take part with it, and the router. */
  readonly traffic?: 'http';
  /** So many processors the contestant may use at this point, bound to them, and the load the others; all of them if absent. */
  processors?(point: Point): number;
  /** Asked for once, before the first point that needs it, of a contestant that has just been started: fills its cache. */
  prime?(point: Point): Prime;
  /** Why a result does not count although every byte was right; undefined if it does. */
  flaw?(result: LoadResult, contestant: string): string | undefined;
  /** Why a contestant is not measured at a point where it cannot do what the load needs; undefined if it can. */
  omits?(contestant: string, point: Point): string | undefined;
  /** Before a point is measured, after the contestant is ready: impairments. */
  before?(lab: Lab, point: Point): Promise<void>;
  /** After all points of a contestant, also after a failure: takes away what `before` did. */
  after?(lab: Lab): Promise<void>;
  /** By metric. Those that are not finite are left out. */
  values(result: LoadResult, point: Point): Readonly<Record<string, number>>;
}

/** A workload with an end. */
export interface Prime extends Workload {
  readonly count: number;
}

/** A measurement that is not a row of load trials. */
export interface OwnFigure {
  readonly kind: 'own';
  readonly facts: FigureFacts;
  /** Contestants that it wants (empty: it needs none, whatever the user names). Those that are missing do not come. */
  contestants(quick: boolean): readonly string[];
  /** Whether it can measure a contestant that the user names instead; any of them if absent. */
  takes?(contestant: string): boolean;
  /** Repetitions in which it is measured, the first ones; all of them if absent. */
  readonly repetitions?: number;
  /** About how long one repetition takes with so many contestants; for the plan and the progress bar. */
  seconds(quick: boolean, contestants: number): number;
  /** Why it cannot be measured in this lab, with the next step; undefined if it can. */
  missing?(lab: Lab): Promise<string | undefined>;
  /** A trial as soon as it is there. A failure of one contestant is a trial with `failure`; what it throws ends the figure. */
  measure(bench: Bench): AsyncIterable<Trial>;
}

export type Figure = LoadFigure | OwnFigure;

/** What a figure that measures by itself is given. */
export interface Bench {
  readonly lab: Lab;
  /** The load generator, at the same path on all hosts. */
  readonly load: string;
  readonly quick: boolean;
  /** From 1. */
  readonly rep: number;
  readonly seconds: number;
  readonly warmup: number;
  /** Those that take part in this figure, in order; all of them can be started. */
  readonly contestants: readonly Contestant[];
  /** A directory for files, which stays afterwards: logs and the like. */
  readonly scratch: string;
  /** Aborted when the user stops the run; a session that is up is closed all the same. */
  readonly signal: AbortSignal;
  /** Starts a contestant and gives it when a round trip through it works. Rejects with a message for people. */
  open(contestant: Contestant): Promise<Session>;
  /** A few words for the progress bar. */
  progress(text: string): void;
}

/** A contestant that is up and ready. Only one at a time. */
export interface Session {
  readonly contestant: Contestant;
  /** Undefined if nothing runs, as for the router. */
  readonly running: Running | undefined;
  /** Arguments of `splice-load run` that say how it gets to the server: --via, --target, --proxy, --source. */
  readonly route: readonly string[];
  /** Fills its cache. Rejects unless all of it was answered. */
  prime(prime: Prime): Promise<void>;
  /** Load through it, `--warmup` and `--seconds` as given. Rejects when the load generator prints no result. */
  run(workload: Workload, interval?: { readonly seconds: number; readonly warmup: number }): Promise<LoadResult>;
  /** The load generator with arguments of one's own behind the route, on the client. */
  generate(
    args: readonly string[],
    options?: { timeoutMs?: number; onError?: (text: string) => void },
  ): Promise<Output>;
  /** Ends it. Twice is harmless. */
  close(): Promise<void>;
}
