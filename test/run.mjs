// node test/run.mjs [ring...]: compiles the runner and the lab, then runs the rings (see support/runner/main.ts).
// Plain JavaScript, because it has to run before anything is compiled; the last line is the count in every case.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'test/tsconfig.json'], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
if (tsc.status === 0) {
  const { main } = await import('../build/test/support/runner/main.js');
  process.exitCode = await main(process.argv.slice(2));
} else {
  console.log('the tests do not compile');
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
}
