import { defineConfig } from 'vitest/config';

// Rings 0 and 2. Forks, because the addon keeps state per process; two of them, because the
// smallest machine we test on has two cores.
export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts', 'test/bpf/**/*.test.ts'],
    pool: 'forks',
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    // Only what bounds a hang: a machine that is busy with other things may need ten times as long as an idle one.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    retry: 0,
    passWithNoTests: false,
  },
});
