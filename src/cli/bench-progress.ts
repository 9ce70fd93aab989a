/** How far a run is: a bar on a terminal, otherwise a line for each contestant's trials of a figure. */
import cliProgress from 'cli-progress';
import type { FigureFacts, Trial } from '../bench/model.js';
import type { Plan, PlannedFigure } from '../bench/plan.js';
import type { Progress } from '../bench/run.js';
import type { Output } from './environment.js';
import { humanTime } from './format.js';

export interface ShownProgress extends Progress {
  /** After the last trial, also after a failure. Twice is harmless. */
  end(): void;
}

/** `terminal` is where a bar can be drawn; undefined: lines to `stderr`. */
export function showProgress(
  plan: Plan,
  repetitions: number,
  stderr: Output,
  terminal: NodeJS.WritableStream | undefined,
): ShownProgress {
  return terminal === undefined ? lines(repetitions, stderr) : bar(plan, repetitions, stderr, terminal);
}

const title = ({ letter, id }: FigureFacts): string => (letter === '' ? id : `${letter} ${id}`);

/** What is under way: `2/5 b throughput dante`. */
const headOf = (rep: number, repetitions: number, facts: FigureFacts, contestant: string | undefined): string =>
  [`${rep}/${repetitions}`, title(facts), ...(contestant === undefined ? [] : [contestant])].join(' ');

function headline(trial: Trial, { metrics: [metric] }: FigureFacts): string {
  if (trial.failure !== undefined) return 'FAILED';
  const value = metric === undefined ? undefined : trial.values[metric.id];
  return metric === undefined || value === undefined ? '-' : value.toFixed(metric.digits);
}

/** What went wrong, on a line of its own: nobody should have to look for it in the file of results. */
function failureLine({ rep, contestant, point, failure }: Trial, facts: FigureFacts): string {
  const where = Object.entries(point).map(([axis, value]) => `${axis} ${value}`);
  return `failed: ${[`repetition ${rep}`, title(facts), contestant, ...where].join(', ')}: ${failure}\n`;
}

function lines(repetitions: number, stderr: Output): ShownProgress {
  let head: string | undefined;
  let values: string[] = [];
  let unit = '';
  const flush = (): void => {
    const shown = values.some((value) => /\d/.test(value)) ? [...values, unit] : values;
    if (head !== undefined && values.length > 0) stderr.write(`${head}: ${shown.join(' ')}\n`);
    values = [];
  };
  return {
    at: (rep, { figure: { facts } }, contestant) => {
      flush();
      head = headOf(rep, repetitions, facts, contestant);
      unit = facts.metrics[0]?.title ?? '';
    },
    text: () => undefined,
    trial: (trial, { figure: { facts } }) => {
      values.push(headline(trial, facts));
      if (trial.failure !== undefined) stderr.write(failureLine(trial, facts));
    },
    advance: () => undefined,
    end: flush,
  };
}

function bar(plan: Plan, repetitions: number, stderr: Output, terminal: NodeJS.WritableStream): ShownProgress {
  const drawn = new cliProgress.SingleBar({
    stream: terminal,
    format: '[{bar}] {percentage}%  {left}  {what}',
    barsize: 24,
    clearOnComplete: true,
    hideCursor: true,
    linewrap: true,
    fps: 5,
    // Signals end the run, which then ends the bar.
    gracefulExit: false,
  });
  const begun = Date.now();
  let behind = 0;
  let [what, words] = ['', ''];
  const left = (): string => {
    const ahead = Math.max(0, plan.seconds - behind);
    const elapsed = (Date.now() - begun) / 1000;
    // The plan's own estimate, until so much has been seen that this machine's speed is known.
    const seconds = elapsed < 20 || behind === 0 ? ahead : (elapsed / behind) * ahead;
    return `${humanTime(seconds * 1000)} left`;
  };
  const update = (): void => {
    drawn.update(Math.min(behind, plan.seconds), { left: left(), what: [what, words].filter(Boolean).join(': ') });
  };
  drawn.start(Math.max(1, plan.seconds), 0, { left: left(), what });
  const aside = (text: string): void => {
    terminal.write('\r\u001b[K');
    stderr.write(text);
    update();
  };
  let open = true;
  return {
    at: (rep, { figure: { facts } }: PlannedFigure, contestant) => {
      what = headOf(rep, repetitions, facts, contestant);
      words = '';
      update();
    },
    text: (text) => {
      words = text;
      update();
    },
    trial: (trial, { figure: { facts } }) => {
      words = `${headline(trial, facts)} ${facts.metrics[0]?.title ?? ''}`;
      if (trial.failure !== undefined) aside(failureLine(trial, facts));
      else update();
    },
    advance: (seconds) => {
      behind += seconds;
      update();
    },
    end: () => {
      if (open) drawn.stop();
      open = false;
    },
  };
}
