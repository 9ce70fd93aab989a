/** splice-socks on each of its backends. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { BACKENDS, type BackendName } from '../../engine/backend.js';
import type { Contestant, Host } from '../model.js';
import { ROOT } from '../lab/paths.js';
import { NODE, nodeMissing } from './node.js';
import { listenOf, saidBy } from './on-host.js';

const PROGRAM = path.join(ROOT, 'dist/cli/splice-socks.js');
const CONTROL = path.join(ROOT, 'dist/cli/splice-ctl.js');
const PATTERN = /^ours-([a-z]+)(-now)?$/;

/** What `-now` behind a backend's name stands for: every flow is spliced at once, however short it may be. */
const NOW = ['--packet-after-bytes', '0', '--packet-after-time', '0'];

const ENGINE = pathToFileURL(path.join(ROOT, 'dist/index.js')).href;

/** Opens the backend, as the server would, and says why it cannot. */
const PROBE = `import(process.argv[1])
  .then(({ SpliceEngine }) => SpliceEngine.open({ backend: process.argv[2] }))
  .then((engine) => engine.close())
  .catch((error) => { console.log(error.message); process.exitCode = 1; });`;

async function backendMissing(host: Host, backend: BackendName): Promise<string | undefined> {
  if ((await host.run([NODE, PROGRAM, '--version'])).code !== 0) return 'symsplice is not built: scripts/build';
  // A backend may attach something to every interface that it finds: in a lab only.
  if (Object.keys(host.links).length === 0) return undefined;
  const { code, out, err } = await host.run([NODE, '-e', PROBE, ENGINE, backend]);
  return code === 0 ? undefined : out.trim() || err.trim().slice(-500);
}

/**
 * Ours by name, `ours-BACKEND` or `ours-BACKEND-now`, with more arguments behind it, separated by spaces: "ours-packet
 * --packet-after-time 20ms". Undefined if it is no such name.
 */
export function ours(name: string, further: readonly string[]): Contestant | undefined {
  const [first = '', ...words] = name.split(' ').filter(Boolean);
  const match = PATTERN.exec(first);
  const backend = BACKENDS.find((one) => one === match?.[1]);
  if (backend === undefined) return undefined;
  const now = match?.[2] !== undefined;
  return {
    name: [first, ...words].join(' '),
    title: ['symsplice', backend, ...(now ? ['(at once)'] : []), ...words].join(' '),
    via: 'socks5',
    missing: async (host) => (await nodeMissing(host)) ?? backendMissing(host, backend),
    // A flow that outlives its load by a moment is left to the kernel, and the programs with it.
    tidy: async (host) => {
      if (backend !== 'packet') return;
      const { code, err } = await host.run([NODE, CONTROL, 'uninstall']);
      if (code !== 0) throw new Error(`splice-ctl uninstall: ${err.trim()}`);
    },
    version: async (host) => `symsplice ${await saidBy(host, [NODE, PROGRAM, '--version'])}`,
    prepare: async (place) => ({
      command: [
        ...[NODE, PROGRAM, '--backend', backend, '--listen', listenOf(place), '--open'],
        ...(now ? NOW : []),
        ...words,
        ...further,
      ],
    }),
  };
}
