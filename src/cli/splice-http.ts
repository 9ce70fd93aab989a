#!/usr/bin/env -S UV_THREADPOOL_SIZE=32 node
/** The HTTP proxy. Everything is in http-main.ts; here it meets the real process. */
import { processEnvironment } from './environment.js';
import { httpChecks } from './http-checks.js';
import { httpMain } from './http-main.js';

const code = await httpMain(processEnvironment(), {
  checks: httpChecks,
  loadServer: async () => {
    const { startHttpServer } = await import('../server/http-start.js');
    const { native } = await import('../native.js');
    return { start: startHttpServer, notify: (path, text) => native().notify(path, text) };
  },
});
// Not exitCode: a timer or handle that some library left behind must not keep a stopped server alive.
process.exit(code);
