/** Stage accept, once at the start: what packet and module backend are told by the configuration, and the operator of them. */
import { ABI_VERSION } from '../abi.gen.js';
import type { SpliceEngine } from '../engine/engine.js';
import type { ModulePlane, ModulePresence } from '../engine/module-plane.js';
import { moduleSnapshot, type ModuleSnapshot } from '../engine/module-snapshot.js';
import type { PacketOptions } from '../engine/packet-options.js';
import { packetSnapshot, type PacketSnapshot } from '../engine/packet-snapshot.js';
import { VerifierError } from '../errors.js';
import type { Connection } from '../flow/connection.js';
import { DeadlineQueue } from '../flow/deadlines.js';
import { SEAT_LOOK_MS } from '../flow/seats.js';
import type { PacketConfig } from './config-common.js';
import type { SocksConfig } from './config.js';
import type { Logger } from './logging.js';

export function packetOptions(config: PacketConfig): PacketOptions {
  return {
    afterBytes: config.packetAfterBytes,
    afterMs: config.packetAfterTime,
    flows: config.maxFlows,
    sourcePorts: config.sourcePorts,
    interfaces: config.interfaces,
    pinDirectory: config.pinDirectory,
  };
}

/** With `auto` seats are what the descriptors afford, and flows without descriptors need none. */
export function seatsOf(
  { maxConnections }: SocksConfig,
  { kernelFlows }: SpliceEngine,
): DeadlineQueue<Connection> | undefined {
  return maxConnections === 'auto' && kernelFlows !== undefined ? new DeadlineQueue(SEAT_LOOK_MS) : undefined;
}

/** The state of whichever backend's flows need no process. Not to be asked of an engine that is closed. */
export function kernelSnapshots({ packetPlane, modulePlane }: SpliceEngine): {
  packet: PacketSnapshot | undefined;
  module: ModuleSnapshot | undefined;
} {
  return {
    packet: packetPlane && packetSnapshot(packetPlane),
    module: modulePlane && moduleNow(modulePlane),
  };
}

/** A module that was unloaded meanwhile has no numbers any more; those of another version have other names. */
function moduleNow(plane: ModulePlane): ModuleSnapshot | undefined {
  if (plane.presence !== 'there') return undefined;
  try {
    return moduleSnapshot(plane);
  } catch {
    return undefined;
  }
}

/** Says when the kernel module goes and comes, while the server runs. */
export class ModuleNews {
  readonly #plane: ModulePlane | undefined;
  readonly #logger: Logger;
  #known: ModulePresence = 'there';

  constructor({ modulePlane }: SpliceEngine, logger: Logger) {
    this.#plane = modulePlane;
    this.#logger = logger;
  }

  /** Now and then; not of an engine that is closed. */
  look(): void {
    const now = this.#plane?.presence ?? 'there';
    if (now === this.#known) return;
    this.#known = now;
    switch (now) {
      case 'there':
        this.#logger.info('symsplice.ko is loaded again: flows go over to it');
        break;
      case 'gone':
        this.#logger.warn('symsplice.ko was unloaded: until it is loaded again, flows stay with splice');
        break;
      case 'other-version':
        this.#logger.warn(
          { abi: this.#plane?.kernel.abi(), our_abi: ABI_VERSION },
          'symsplice.ko of another version was loaded: flows stay with splice',
        );
    }
  }
}

/** What an operator should know of the data plane at the start. */
export function tellOfPlane({ packetPlane: plane, capabilities }: SpliceEngine, adopted: number, logger: Logger): void {
  if (adopted > 0) logger.info({ flows: adopted }, 'adopted flows that an earlier server left in the kernel');
  for (const { abi, tag, flows } of plane?.foreign ?? []) {
    logger.warn(
      { abi, tag, flows, our_abi: ABI_VERSION, our_tag: plane?.kernel.usage().tag },
      'programs of another version are on the interfaces: they stay until their flows have ended',
    );
  }
  for (const reason of plane?.unwatched ?? []) logger.warn({ reason }, 'an interface is not watched');
  const cause = capabilities.find(({ backend }) => backend === 'packet')?.cause;
  if (cause instanceof VerifierError) logger.error({ err: cause, log: cause.log }, 'the kernel refused a BPF program');
}
