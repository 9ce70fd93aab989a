#!/usr/bin/env node
/** The benchmark. Everything is in bench-main.ts; here it meets the real process. */
import { chooseContestants } from '../bench/contestants/index.js';
import { buildLoad } from '../bench/lab/build-load.js';
import { localHost } from '../bench/lab/local-host.js';
import { describeMachine, describeSymsplice } from '../bench/lab/machine.js';
import { openNamespaces } from '../bench/lab/namespaces.js';
import { openRemoteHosts } from '../bench/lab/remote-hosts.js';
import { benchMain } from './bench-main.js';
import { processEnvironment } from './environment.js';

const code = await benchMain(processEnvironment(), {
  openLab: (family, remote) =>
    remote === undefined ? openNamespaces({ family }) : openRemoteHosts({ ...remote, family }),
  buildLoad,
  describeMachine,
  describeSymsplice,
  chooseContestants,
  localHost,
  ...(process.stderr.isTTY ? { terminal: process.stderr } : {}),
});
process.exit(code);
