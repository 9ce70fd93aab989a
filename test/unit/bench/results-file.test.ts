import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseResults, readResults, writeResults } from '../../../src/bench/results-file.js';
import { ConfigError } from '../../../src/errors.js';
import { syntheticResults } from './fixture.js';

let directory: string;
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'results-'))));
afterAll(() => rm(directory, { recursive: true }));

const results = syntheticResults({ repetitions: 2 });

test('what is written is what is read, in a directory made for it, without a draft left behind', async () => {
  const file = join(directory, 'new/place/results.json');
  await writeResults(file, results);
  expect(await readResults(file)).toEqual(results);
  expect(await readdir(join(directory, 'new/place'))).toEqual(['results.json']);
});

test('an incomplete run says so after it was read', async () => {
  const file = join(directory, 'incomplete.json');
  await writeResults(file, { ...results, incomplete: 'stopped by SIGINT' });
  expect((await readResults(file)).incomplete).toBe('stopped by SIGINT');
});

test('what the load generator says beyond the model is kept', () => {
  const [first, ...others] = results.trials;
  if (first === undefined) throw new Error('the fixture has no trial');
  const load = { ...results.trials.find((trial) => trial.load !== undefined)?.load, closedEarly: 3 };
  const text = JSON.stringify({ ...results, trials: [{ ...first, load }, ...others] });
  expect(parseResults(text, 'f').trials[0]?.load).toMatchObject({ closedEarly: 3 });
});

test('a number that is none is absent afterwards', async () => {
  const file = join(directory, 'nan.json');
  const trials = results.trials.slice(0, 1).map((trial) => ({ ...trial, values: { a: NaN, b: 1, c: -Infinity } }));
  await writeResults(file, { ...results, trials });
  expect((await readResults(file)).trials[0]?.values).toEqual({ b: 1 });
});

test('a file that cannot be replaced stays as it was, without a draft beside it', async () => {
  const place = join(directory, 'taken');
  await writeResults(join(place, 'results.json/inside'), results);
  await expect(writeResults(join(place, 'results.json'), results)).rejects.toThrow(/EISDIR|directory/);
  expect(await readdir(place)).toEqual(['results.json']);
});

describe('unusable files are refused with their name and the next step', () => {
  const message = (text: string): string => {
    try {
      parseResults(text, 'old.json');
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      return (error as ConfigError).message;
    }
    throw new Error('it was accepted');
  };
  const changed = (changes: object): string => JSON.stringify({ ...results, ...changes });

  test.each([
    ['{"schema": 1', /^old\.json: not JSON.*splice-bench run/],
    ['', /^old\.json: not JSON/],
    ['[]', /^old\.json: JSON, but not a file of results/],
    ['{"rows": []}', /^old\.json: JSON, but not a file of results/],
    ['{"schema": 2}', /^old\.json: results of schema 2; this version reads schema 1/],
    ['{"schema": 1}', /^old\.json: damaged results \(begun: .*and \d+ more\)/],
  ])('%s', (text, expected) => {
    expect(message(text)).toMatch(expected);
  });
  test('a wrong value is named by its place', () => {
    const { method } = results;
    expect(message(changed({ method: { ...method, family: 5 } }))).toContain('method.family');
    const trial = { ...results.trials[0], values: { a: 'fast' } };
    expect(message(changed({ trials: [trial] }))).toContain('trials.0.values.a');
  });
  test('the id of a figure becomes the name of a file and must be one', () => {
    const figures = [{ ...results.figures[0], id: '../../etc/passwd' }];
    expect(message(changed({ figures }))).toContain('figures.0.id');
  });
  test('a file that is not there', async () => {
    await expect(readResults(join(directory, 'nowhere.json'))).rejects.toThrow(/nowhere\.json: .*ENOENT/);
  });
  test('a directory', async () => {
    await expect(readResults(directory)).rejects.toThrow(ConfigError);
  });
});

test('the file ends with a line break and begins like JSON', async () => {
  const file = join(directory, 'text.json');
  await writeFile(file, 'what was there before');
  await writeResults(file, results);
  expect(await readFile(file, 'utf8')).toMatch(/^\{\n "schema": 1,[\s\S]*\}\n$/);
});
