/** The command line of splice-bench, with a lab in which nothing runs. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { chooseContestants } from '../../../src/bench/contestants/index.js';
import type { Lab, LoadResult, Machine } from '../../../src/bench/model.js';
import { readResults } from '../../../src/bench/results-file.js';
import type { BenchParts } from '../../../src/cli/bench-context.js';
import { benchMain } from '../../../src/cli/bench-main.js';
import { fakeEnvironment } from '../cli/fake-environment.js';
import type { FakeEnvironment } from '../cli/fake-environment.js';
import { fakeContestant, fakeLab, loadResult } from './fake-lab.js';
import type { Asked, FakeLab } from './fake-lab.js';

const MACHINE: Machine = {
  ...{ kernel: '6.18', distribution: 'Debian', processors: 2, model: 'a processor', memoryBytes: 1e9, node: 'v20' },
  ...{ mitigations: {}, virtual: 'kvm' },
};

let directory: string;
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'bench-cli-'))));
afterEach(() => rm(directory, { recursive: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function bench(
  argv: readonly string[],
  {
    lab = fakeLab(),
    parts = {},
    environment = fakeEnvironment(argv),
  }: { lab?: Lab; parts?: Partial<BenchParts>; environment?: FakeEnvironment } = {},
): Promise<Ran> {
  const code = await benchMain(environment, {
    openLab: () => Promise.resolve(lab),
    buildLoad: () => Promise.resolve('LOAD'),
    describeMachine: () => Promise.resolve(MACHINE),
    describeSymsplice: () => Promise.resolve({ version: '1.0.0', commit: 'c0ffee', modified: false }),
    chooseContestants: (names, oursArgs) => chooseContestants(names, oursArgs).map(({ name }) => fakeContestant(name)),
    localHost: () => lab.proxy,
    ...parts,
  });
  return { code, out: environment.out(), err: environment.err() };
}

const never = (): never => {
  throw new Error('must not be called');
};

/** A run of one mode without waiting. */
const small = (...more: string[]): string[] => [
  ...['--modes', 'down8,connect', '--only', 'router,ours-splice', '--reps', '2', '--quiet-wait', '0'],
  ...['--out', directory, ...more],
];

describe('run', () => {
  test('tables, results and report; the lab is gone; "run" may stand there or not', async () => {
    for (const command of [[], ['run']]) {
      const lab = fakeLab();
      const { code, out, err } = await bench([...command, ...small()], { lab });
      expect([code, lab.done.at(-1)]).toEqual([0, 'close']);
      const results = await readResults(join(directory, 'results.json'));
      expect(results).toMatchObject({
        symsplice: { commit: 'c0ffee' },
        method: { repetitions: 2, quick: false, hosts: ['three network namespaces'] },
        contestants: [{ name: 'router' }, { name: 'ours-splice' }],
        leftOut: [],
      });
      expect(results).not.toHaveProperty('incomplete');
      expect(results.trials).toHaveLength(8);
      expect(results.rows.map(({ figure, contestant }) => `${figure} ${contestant}`).sort()).toEqual(
        ['connect', 'down'].flatMap((figure) => ['ours-splice', 'router'].map((name) => `${figure} ${name}`)),
      );
      expect(await readdir(directory)).toContain('report.html');
      expect(out).toContain('ours-splice');
      expect(err).toContain('2/2 connect ours-splice: 10 connections/s');
    }
  });

  test('corrupt bytes: a line that says where, exit code 3, and the rest is there', async () => {
    const lab = fakeLab(({ contestant }: Asked): LoadResult =>
      loadResult({ corrupt: contestant === 'router' ? 0 : 1 }),
    );
    // The process of a contestant of the test is called as it is.
    const { code, err } = await bench(small(), { lab });
    expect(code).toBe(3);
    expect(err).toContain('failed: repetition 1, down, ours-splice, connections 8: 1 corrupt byte\n');
    expect(err).toContain('4 of 8 trials failed');
    expect((await readResults(join(directory, 'results.json'))).rows).toHaveLength(4);
  });

  test('who is left out is said before the run, and stands in the results', async () => {
    const parts: Partial<BenchParts> = {
      chooseContestants: (names) =>
        names!.map((name) =>
          fakeContestant(name, name === 'router' ? {} : { missing: () => Promise.resolve('not built') }),
        ),
    };
    const { code, err } = await bench(small(), { parts });
    expect(code).toBe(0);
    expect(err.indexOf('left out: ours-splice: not built')).toBeLessThan(err.indexOf('1/2 down router'));
    expect(err).toContain('left out: ours-splice: not built');
    const { leftOut } = await readResults(join(directory, 'results.json'));
    expect(leftOut).toEqual([{ contestant: 'ours-splice', reason: 'not built' }]);
  });

  test('SIGINT: what there is is written, marked, the lab is gone, exit code 1', async () => {
    const environment = fakeEnvironment(small());
    const lab: FakeLab = fakeLab(({ contestant }) => {
      if (contestant === 'router') return loadResult();
      environment.signal('SIGINT');
      environment.signal('SIGINT');
      return new Promise(() => undefined);
    });
    const { code, err } = await bench([], { lab, environment });
    expect([code, lab.done.slice(-2)]).toEqual([1, ['down ours-splice', 'close']]);
    expect(err.match(/SIGINT: stopping/g)).toHaveLength(1);
    const results = await readResults(join(directory, 'results.json'));
    expect(results.incomplete).toBe('stopped by SIGINT (repetition 1 of 2, figure down)');
    expect(results.trials).toHaveLength(1);
  });

  test('while a repetition runs, those before it are on the disk, and marked', async () => {
    let trials = 0;
    let kept: Promise<Awaited<ReturnType<typeof readResults>>> | undefined;
    const lab = fakeLab(() => {
      if (++trials === 5) kept = readResults(join(directory, 'results.json'));
      return loadResult();
    });
    expect((await bench(small(), { lab })).code).toBe(0);
    const results = await kept!;
    expect(results.incomplete).toBe('it got no further than repetition 1 of 2');
    expect(results.trials).toHaveLength(4);
  });

  test('SIGINT before the first trial: nothing is written', async () => {
    const environment = fakeEnvironment(small());
    const lab = fakeLab(() => {
      environment.signal('SIGINT');
      return new Promise(() => undefined);
    });
    const { code, err } = await bench([], { lab, environment });
    expect(code).toBe(1);
    expect(err).toContain('nothing was measured');
    expect(existsSync(join(directory, 'results.json'))).toBe(false);
  });

  test('a lab that does not go: a failure, but what was measured is there', async () => {
    const lab = { ...fakeLab(), close: () => Promise.reject(new Error('busy')) };
    const { code, err } = await bench(small(), { lab });
    expect([code, err.endsWith('splice-bench: busy\n')]).toEqual([1, true]);
    expect((await readResults(join(directory, 'results.json'))).trials).toHaveLength(8);
  });

  test('the lab goes when something else fails', async () => {
    const lab = fakeLab();
    const buildLoad = (): Promise<never> => Promise.reject(new Error('no compiler: install cc'));
    const { code, err } = await bench(small(), { lab, parts: { buildLoad } });
    expect([code, err.includes('splice-bench: no compiler'), lab.done.at(-1)]).toEqual([1, true, 'close']);
  });

  test('--dry-run: the plan, and nothing is started', async () => {
    const { code, out } = await bench(['--quick', '--dry-run'], { parts: { openLab: never, buildLoad: never } });
    expect(code).toBe(0);
    expect(out).toMatch(/^ *a {2}response-time .*\n/m);
    expect(out).toMatch(/^about 1m\d\ds: 1 repetition, trials of 0\.15 \+ 0\.3 s$/m);
  });

  test('hosts of their own are handed on, IPv6 in brackets', async () => {
    const openLab = vi.fn(() => Promise.reject(new Error('enough')));
    const remote = ['--hosts', 'a,b,c', '--addresses', 'fd00::5/4,fd00::1,[fd01::1]', '--family', '6'];
    await bench([...small(), ...remote], { parts: { openLab } });
    expect(openLab).toHaveBeenCalledWith(6, {
      hosts: ['a', 'b', 'c'],
      addresses: { sources: 'fd00::5/4', proxy: '[fd00::1]', target: '[fd01::1]' },
    });
    await bench([...small(), '--hosts', 'a,b,c'], { parts: { openLab } });
    expect(openLab).toHaveBeenLastCalledWith(4, { hosts: ['a', 'b', 'c'] });
  });

  test('where nothing can be written after a run, the tables are still printed', async () => {
    // As good as a full disk: the name of the file is that of a directory.
    await mkdir(join(directory, 'results.json', 'x'), { recursive: true });
    const { code, out, err } = await bench(small());
    expect(code).toBe(1);
    expect(out).toMatch(/^ours-splice +8\.00/m);
    expect(err).toMatch(/results\.json/);
  });
});

describe('mistakes are explained, exit code 2, nothing is started', () => {
  test.each([
    [['--reps', '0'], /whole number from 1 to 1000/],
    [['--reps', '1.5'], /whole number/],
    [['--seconds', 'soon'], /number from 0.1 to 3600/],
    [['--family', '5'], /4 or 6/],
    [['--figures', 'a,z'], /no figure "z"; there are a \(response-time\)/],
    [['--figures', 'a,,b'], /commas between/],
    [['--modes', 'sideways'], /no mode "sideways"/],
    [['--modes', 'ping', '--figures', 'a'], /cannot be used with/],
    [['--only', 'squid'], /"squid"; there are router/],
    [['--hosts', 'a,b'], /three names/],
    [['--hosts', 'a,b,c', '--addresses', '10.0.0.1,10.0.0.2'], /--addresses are three/],
    [['--addresses', 'a,b,c'], /--hosts/],
    [['--nonsense'], /unknown option '--nonsense'/],
    [['nonsense'], /no command "nonsense"; there are run, compare, report, list/],
    [['compare', 'one.json'], /missing required argument 'NEW'/],
  ])('%j', async (argv, message) => {
    const { code, err, out } = await bench([...argv, '--dry-run'].slice(0, argv[0] === 'compare' ? -1 : undefined), {
      parts: { openLab: never },
    });
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
  });
});

describe('files', () => {
  test('report writes again what a run has written; compare finds nothing that moved', async () => {
    await bench(small());
    const file = join(directory, 'results.json');
    const out = join(directory, 'again');
    expect((await bench(['report', file, '--out', out])).code).toBe(0);
    expect(await readFile(join(out, 'report.html'), 'utf8')).toBe(
      await readFile(join(directory, 'report.html'), 'utf8'),
    );
    const compared = await bench(['compare', file, file]);
    expect(compared.code).toBe(0);
    expect(compared.out).not.toBe('');
    expect(JSON.parse((await bench(['compare', '--json', file, file])).out)).toBeTypeOf('object');
  });

  test('a file that is not there: exit code 1, with its name', async () => {
    const { code, err } = await bench(['report', join(directory, 'nothing.json')]);
    expect(code).toBe(1);
    expect(err).toContain('nothing.json');
  });
});

test('list: everybody with the reason, figures, modes', async () => {
  const parts: Partial<BenchParts> = {
    chooseContestants: () => [
      fakeContestant('router'),
      fakeContestant('dante', { missing: () => Promise.resolve('apt-get install dante-server') }),
    ],
  };
  const { code, out } = await bench(['list'], { parts });
  expect(code).toBe(0);
  expect(out).toMatch(/^router +here/m);
  expect(out).toMatch(/^dante +apt-get install dante-server/m);
  expect(out).toMatch(/^h +loss/m);
  expect(out).toMatch(/^fetch\[C\]\[:SIZE\]/m);
});

test('--help teaches: options of a run, examples, exit codes', async () => {
  const { code, out } = await bench(['--help']);
  expect(code).toBe(0);
  for (const text of ['compare', 'Options of a run:', '--quick', '--ours-args', 'Examples:', 'Exit codes:', '3 trials'])
    expect(out).toContain(text);
});
