/** The backends that carry whole flows, as the tests of the relay run them. */
import type { EngineOptions } from '../../src/engine/options.js';
import type { BackendName } from '../../src/engine/backend.js';

export interface BackendUnderTest {
  readonly title: string;
  readonly name: BackendName;
  readonly options: EngineOptions;
  /** It watches a side even while that is not read: a reset is passed on at once. Node's streams do not. */
  readonly watchesUnread: boolean;
  /** Who carries a pair that has a FIN behind it already, where that is somebody else. */
  readonly afterFin?: BackendName;
}

const SOCKMAP: BackendUnderTest = {
  title: 'sockmap',
  name: 'sockmap',
  options: { backend: 'sockmap' },
  watchesUnread: true,
  afterFin: 'splice',
};

const UNPRIVILEGED: readonly BackendUnderTest[] = [
  { title: 'splice', name: 'splice', options: { backend: 'splice', relayThreads: 2 }, watchesUnread: true },
  // Goes over to splice(2) as early as it can: what the default reaches only with bulk.
  {
    title: 'splice, at once',
    name: 'splice',
    options: { backend: 'splice', relayThreads: 1, spliceAfter: 0 },
    watchesUnread: true,
  },
  {
    title: 'splice, never by pipe',
    name: 'splice',
    options: { backend: 'splice', relayThreads: 1, spliceAfter: Infinity },
    watchesUnread: true,
  },
  { title: 'copy', name: 'copy', options: { backend: 'copy' }, watchesUnread: false },
];

/** Ring 2, which has the privilege, runs the same tests over sockmap: test/bpf/relay.test.ts. */
export const BACKENDS_UNDER_TEST = process.env['SYMSPLICE_TEST_RELAY'] === 'sockmap' ? [SOCKMAP] : UNPRIVILEGED;
