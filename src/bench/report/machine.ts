/** What was measured, where and how, in words: the head of every report. Pure. */
import { humanBytes, humanTime } from '../../cli/format.js';
import type { Results } from '../model.js';
import { NOISE, explainReferences } from '../statistics.js';

export type Fact = readonly [what: string, value: string];

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

export function machineFacts({ machine, symsplice, begun, seconds }: Results): Fact[] {
  const mitigated = Object.entries(machine.mitigations)
    .filter(([, state]) => state !== 'Not affected')
    .map(([name, state]) => `${name}: ${state.replace(/^Mitigation: /, '')}`);
  return [
    ['Measured', `${begun.replace('T', ' ').replace(/(:\d\d)\.\d+/, '$1')}, in ${humanTime(seconds * 1000)}`],
    ['symsplice', `${symsplice.version}, commit ${symsplice.commit}${symsplice.modified ? ', with changes' : ''}`],
    ['Processor', `${machine.model}, ${count(machine.processors, 'processor')}`],
    ['Memory', humanBytes(machine.memoryBytes)],
    ['Virtual', machine.virtual],
    ['System', `${machine.distribution}, ${machine.kernel}, Node ${machine.node}`],
    ['Mitigations', mitigated.join('; ') || 'none needed'],
  ];
}

export function methodFacts({ method, rows }: Results): Fact[] {
  const references = explainReferences(rows);
  return [
    ['Repetitions', `${method.repetitions}, interleaved: every contestant once, then every contestant again`],
    [
      'Trial',
      `${method.warmup} s of load unmeasured, then ${method.seconds} s measured${method.quick ? ' (--quick)' : ''}`,
    ],
    ['Hosts', `${method.hosts.join(', ')}; IPv${method.family}`],
    ['Ratios', 'formed inside each repetition, then summarized'],
    ...(references === '' ? [] : [['References', references] as const]),
    ['Numbers', 'median [least-greatest] of the repetitions'],
    ['~', `other processes used more than ${NOISE * 100} % of the machine during at least one of the trials`],
    ['!', 'at least one of the trials failed and counts for nothing; the reasons stand below the tables'],
  ];
}

/** What must not be overlooked. */
export function warnings({ incomplete, method, rows }: Results): string[] {
  const failed = rows.reduce((sum, row) => sum + row.failures.length, 0);
  const noisy = rows.reduce((sum, row) => sum + row.noisy, 0);
  return [
    ...(incomplete === undefined ? [] : [`The run is incomplete: ${incomplete}`]),
    ...(method.quick ? ['A quick run: it shows that everything works, not how fast it is.'] : []),
    ...(!method.quick && method.repetitions < 3 ? ['Fewer than three repetitions: the spread is not known.'] : []),
    ...(failed > 0 ? [`${count(failed, 'trial')} failed; the reasons stand with the figures.`] : []),
    ...(noisy > 0 ? [`${count(noisy, 'trial')} had other processes beside them; they are marked with ~.`] : []),
  ];
}
