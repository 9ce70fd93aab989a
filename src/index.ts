/**
 * symsplice: proxies that think in TypeScript and move bytes in the Linux kernel.
 * This is the public API of the package, and nothing else.
 */
export { SpliceEngine } from './engine/engine.js';
export type { CloseOptions, Destination, EngineOptions, SpliceNowOptions, SpliceOptions } from './engine/options.js';
export type { PacketOptions } from './engine/packet-options.js';
export { Flow, type FlowCounters, type FlowEnd, type FlowEnds } from './engine/flow.js';
export type { BackendCapability, BackendName, PacketDetails, Refusal } from './engine/backend.js';
export type { CloseReason, FlowStateName, PacketPhase, PacketWay, SideState } from './abi.gen.js';
export {
  BackendUnavailableError,
  ConfigError,
  SpliceArgumentError,
  SpliceError,
  SpliceStateError,
  VerifierError,
  type SpliceErrorCode,
} from './errors.js';
