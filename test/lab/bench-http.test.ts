// The figures of HTTP caches, in a hurry: that splice-http, as the benchmark sets it up, answers every request rightly,
// hits with copies, and that nothing is left.
import t from 'tap';
import { runBench } from '../support/bench-run.js';

t.setTimeout(3_600_000);

const bench = await runBench('http', '--figures', 'http');
bench.endsWell();

t.test('ours has values in every figure', (t) => {
  const figuresOf = (name: string): string[] => [
    ...new Set(
      bench.results.rows.flatMap(({ figure, contestant, values }) =>
        contestant === name && Object.keys(values).length > 0 ? [figure] : [],
      ),
    ),
  ];
  t.same(figuresOf('ours-http'), ['hit-bulk', 'miss-bulk', 'hit-small', 'mixed-web']);
  t.same(figuresOf('ours-http-nocache'), ['miss-bulk']);
  t.end();
});

bench.leavesNothing();
