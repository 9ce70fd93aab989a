/** What callers may ask of the packet backend, and the checks that need no machine. */
import { isAbsolute } from 'node:path';
import { SpliceArgumentError } from '../errors.js';
import { requireInteger, requireNumber } from './require.js';
import type { PortRange } from './source-ports.js';

export interface PacketOptions {
  /**
   * A flow goes over to this backend when it has moved so many bytes, or is `afterMs` old, whichever is first; until
   * then it is relayed as by `splice`, so that short flows never pay for the change. 0 for either: at once.
   * **Default:** 65536.
   */
  afterBytes?: number;
  /** **Default:** 100. */
  afterMs?: number;
  /** Flows at a time, over all engines of the process; the first engine decides. **Default:** 65536. */
  flows?: number;
  /**
   * Source ports of connections to servers, first and last. They must lie outside `net.ipv4.ip_local_port_range`, or be
   * reserved. **Default:** `'auto'`, the gap above that range or below it.
   */
  sourcePorts?: PortRange | 'auto';
  /** Names of the interfaces to watch. **Default:** `'auto'`, all but loopback and ports of bridges and bonds. */
  interfaces?: readonly string[] | 'auto';
  /**
   * Directory on a bpffs in which the data plane is pinned, so that a later process without CAP_SYS_ADMIN can adopt it, too.
   * One that cannot be made is passed over. `''`: nowhere. **Default:** `/sys/fs/bpf/symsplice`.
   */
  pinDirectory?: string;
  /** Milliseconds that an ended flow is still known, for what arrives late: 2 MSL. **Default:** 60000. */
  timeWaitMs?: number;
}

/** {@link PacketOptions} with nothing left open. */
export interface PacketChoice {
  readonly afterBytes: number;
  readonly afterMs: number;
  readonly flows: number;
  readonly sourcePorts: PortRange | 'auto';
  readonly interfaces: readonly string[] | 'auto';
  readonly pinDirectory: string;
  readonly timeWaitMs: number;
}

/** Where bpffs is mounted by systemd, and by everybody else. */
export const PIN_DIRECTORY = '/sys/fs/bpf/symsplice';

/** The kernel makes no larger table of this kind. */
const MOST_FLOWS = 2 ** 22;

/** @throws SpliceArgumentError */
export function packetChoice(options: PacketOptions = {}): PacketChoice {
  const { afterBytes = 65_536, afterMs = 100, flows = 65_536, timeWaitMs = 60_000 } = options;
  const { sourcePorts = 'auto', interfaces = 'auto', pinDirectory = PIN_DIRECTORY } = options;
  requireNumber('packet.afterBytes', afterBytes, 0, Infinity);
  requireNumber('packet.afterMs', afterMs, 0, Infinity);
  requireInteger('packet.flows', flows, 1, MOST_FLOWS);
  requireInteger('packet.timeWaitMs', timeWaitMs, 0, 600_000);
  if (sourcePorts !== 'auto') {
    if (!Array.isArray(sourcePorts) || sourcePorts.length !== 2) {
      throw new SpliceArgumentError('packet.sourcePorts: give "auto" or [first, last]');
    }
    requireInteger('packet.sourcePorts[0]', sourcePorts[0], 1, 65535);
    requireInteger('packet.sourcePorts[1]', sourcePorts[1], sourcePorts[0], 65535);
  }
  if (interfaces !== 'auto' && (!Array.isArray(interfaces) || interfaces.length === 0)) {
    throw new SpliceArgumentError('packet.interfaces: give "auto" or a list of at least one name');
  }
  if (pinDirectory !== '' && !isAbsolute(pinDirectory)) {
    throw new SpliceArgumentError(`packet.pinDirectory: "${pinDirectory}" is no absolute path`);
  }
  const atOnce = afterBytes === 0 || afterMs === 0;
  return {
    afterBytes: atOnce ? 0 : afterBytes,
    afterMs: atOnce ? 0 : afterMs,
    flows,
    sourcePorts,
    interfaces,
    pinDirectory,
    timeWaitMs,
  };
}
