/**
 * Settings that every server has, with the same names and meaning: how bytes are relayed, the packet backend, who may use
 * it and how much of it, and how the process is operated. The tables of the servers (config-settings.ts,
 * http-settings*.ts) take these in.
 */
import { PREFERENCES, type Preference } from '../engine/options.js';
import { PIN_DIRECTORY } from '../engine/packet-options.js';
import { parseHostPort } from './config-address.js';
import type { HostPort } from './config-address.js';
import { duration, limit, onOff, path, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import {
  parseCount,
  parseCountOrAuto,
  parseDirectoryOrNone,
  parseInterfaces,
  parsePorts,
  parseWord,
} from './config-values.js';

export const BACKEND_CHOICES = ['auto', 'packet', 'splice', 'copy', 'sockmap', 'module'] as const;
export type BackendChoice = (typeof BACKEND_CHOICES)[number];

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['auto', 'json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** How flows (of splice-http: tunnels) are relayed. */
export interface RelayConfig {
  readonly backend: BackendChoice;
  /** Who repairs losses where `auto` has the choice. */
  readonly prefer: Preference;
  /** Control-plane threads, each with its own SO_REUSEPORT listener. */
  readonly workers: number;
  readonly relayThreads: number | 'auto';
}

export interface PacketConfig {
  /** A flow goes over to the packet or module backend when it has moved so many bytes, */
  readonly packetAfterBytes: number;
  /** or is so many milliseconds old, whichever is first. */
  readonly packetAfterTime: number;
  /** First and last source port of connections to targets, with the packet and module backends. */
  readonly sourcePorts: readonly [low: number, high: number] | 'auto';
  /** Flows that the packet backend has room for. */
  readonly maxFlows: number;
  /** Interfaces that the packet backend watches. */
  readonly interfaces: readonly string[] | 'auto';
  /** Directory on a bpffs in which the packet backend's data plane is pinned; '': nowhere. */
  readonly pinDirectory: string;
}

/** Who may use a proxy that takes its clients anywhere. */
export interface AccessConfig {
  /** Absolute path of the users file, or undefined: no password is asked for. */
  readonly users: string | undefined;
  /** Absolute path of the rules file, or undefined: everything is allowed. */
  readonly rules: string | undefined;
  /** The operator accepts that anyone who reaches the listening address may use the proxy. */
  readonly open: boolean;
}

export interface OperationConfig {
  /** Absolute path of the YAML file that was read, if any. */
  readonly config: string | undefined;
  /** Only check the configuration and the files it names. */
  readonly check: boolean;
  /** Where metrics and health are served over HTTP, or undefined: nowhere. */
  readonly admin: HostPort | undefined;
  /** Absolute path of the control socket, or undefined: the default place. */
  readonly control: string | undefined;
  readonly noControl: boolean;
  readonly logLevel: LogLevel;
  /** `auto` is pretty on a terminal and JSON elsewhere. */
  readonly logFormat: LogFormat;
}

/** What the command line and the life of a server need of its configuration. */
export interface ServerConfig extends OperationConfig {
  /** Addresses to listen on. Replaced by the sockets that systemd hands over, if it does. */
  readonly listen: readonly HostPort[];
  /** Milliseconds that a drain waits for flows to end; 0 = not at all. */
  readonly drainTimeout: number;
}

export const BACKEND_SETTING = {
  argument: 'NAME',
  schema: valueOf((value) => parseWord(value, BACKEND_CHOICES)),
  initial: 'auto',
  initialText: 'auto',
  needsRestart: true,
} as const;

export const PREFER_SETTING = {
  argument: 'NAME',
  help: 'Who repairs losses, where backend auto can choose: end-to-end (packet, module), split (splice), or auto, by the flow.',
  schema: valueOf((value) => parseWord(value, PREFERENCES)),
  initial: 'auto',
  initialText: 'auto',
  needsRestart: true,
} as const;

export const WORKERS_SETTING = {
  argument: 'N',
  schema: valueOf((value) => parseCount(value, 1, 256)),
  initial: 1,
  initialText: '1',
  needsRestart: true,
} as const;

export const RELAY_THREADS_SETTING = {
  argument: 'N',
  schema: valueOf((value) => parseCountOrAuto(value, 1, 256)),
  initial: 'auto',
  initialText: 'auto',
  needsRestart: true,
} as const;

export const USERS_SETTING = { argument: 'FILE', schema: path, initial: undefined, isPath: true } as const;

export const RULES_SETTING = {
  argument: 'FILE',
  help: 'Allow and deny by client, user, destination and port; the first match wins.',
  schema: path,
  initial: undefined,
  isPath: true,
} as const;

export const MAX_CONNECTIONS_SETTING = {
  group: 'Limits',
  argument: 'N',
  schema: valueOf((value) => parseCountOrAuto(value, 0, 10_000_000)),
  initial: 'auto',
  initialText: 'auto',
} as const;

export const MAX_PER_CLIENT_SETTING = {
  group: 'Limits',
  argument: 'N',
  help: 'Connections at one time of one client address; 0 = no limit.',
  schema: limit,
  initial: 0,
  initialText: '0',
} as const;

/** Of what the engine relays: flows, or tunnels. */
export const IDLE_TIMEOUT_SETTING = {
  group: 'Limits',
  argument: 'DURATION',
  schema: duration('allowed'),
  initial: 3_600_000,
  initialText: '1h',
} as const;

export const DRAIN_TIMEOUT_SETTING = {
  group: 'Limits',
  argument: 'DURATION',
  schema: duration('allowed'),
  initial: 30_000,
  initialText: '30s',
} as const;

export const PACKET_SETTINGS: SettingTable<PacketConfig> = {
  packetAfterBytes: {
    group: 'Packet backend',
    argument: 'N',
    help: 'A flow goes over to the packet or module backend when it has moved so many bytes: short ones never pay for it.',
    schema: valueOf((value) => parseCount(value, 0, Number.MAX_SAFE_INTEGER)),
    initial: 65_536,
    initialText: '65536',
    needsRestart: true,
  },
  packetAfterTime: {
    group: 'Packet backend',
    argument: 'DURATION',
    help: 'Or when it is so old. 0 = every flow at once.',
    schema: duration('allowed'),
    initial: 100,
    initialText: '100ms',
    needsRestart: true,
  },
  sourcePorts: {
    group: 'Packet backend',
    argument: 'LOW-HIGH',
    help: "Source ports of connections to targets, outside the kernel's own range; auto = the gap above it or below.",
    schema: valueOf(parsePorts),
    initial: 'auto',
    initialText: 'auto',
    needsRestart: true,
  },
  maxFlows: {
    group: 'Packet backend',
    argument: 'N',
    help: 'Flows that it has room for; further ones stay with the splice backend.',
    schema: valueOf((value) => parseCount(value, 1, 4_194_304)),
    initial: 65_536,
    initialText: '65536',
    needsRestart: true,
  },
  interfaces: {
    group: 'Packet backend',
    argument: 'NAMES',
    help: 'Interfaces that it watches, as in eth0,eth1; auto = all but loopback and ports of bridges and bonds.',
    schema: valueOf(parseInterfaces),
    initial: 'auto',
    initialText: 'auto',
    needsRestart: true,
  },
  pinDirectory: {
    group: 'Packet backend',
    argument: 'PATH',
    help: 'Where on a bpffs its maps and programs are pinned, for a next server without CAP_SYS_ADMIN; none = nowhere.',
    schema: valueOf(parseDirectoryOrNone),
    initial: PIN_DIRECTORY,
    initialText: PIN_DIRECTORY,
    needsRestart: true,
  },
};

/** `socket`: how the default name of the control socket begins. `admin`: what the admin endpoint is good for. */
export function operationSettings(socket: 'socks' | 'http', admin: string): SettingTable<OperationConfig> {
  return {
    config: {
      group: 'Operation',
      argument: 'FILE',
      help: 'Read settings from a YAML file; its keys are these flags without the dashes. Flags win over the file.',
      schema: path,
      initial: undefined,
      isPath: true,
      flagOnly: true,
    },
    check: {
      group: 'Operation',
      argument: undefined,
      help: 'Check the configuration and the files that it names, say what is wrong, and exit (0 = all well, 1 = not).',
      schema: onOff,
      initial: false,
      flagOnly: true,
    },
    admin: {
      group: 'Operation',
      argument: 'HOST:PORT',
      help: admin,
      schema: valueOf(parseHostPort),
      initial: undefined,
      needsRestart: true,
    },
    control: {
      group: 'Operation',
      argument: 'PATH',
      help: 'The unix socket for splice-ctl.',
      schema: path,
      initial: undefined,
      initialText: `${socket}-PID.sock in the runtime directory`,
      isPath: true,
      needsRestart: true,
    },
    noControl: {
      group: 'Operation',
      argument: undefined,
      help: 'Make no control socket.',
      schema: onOff,
      initial: false,
      needsRestart: true,
    },
    logLevel: {
      group: 'Operation',
      argument: 'LEVEL',
      help: `Least severe level to log: ${LOG_LEVELS.join(', ')}.`,
      schema: valueOf((value) => parseWord(value, LOG_LEVELS)),
      initial: 'info',
      initialText: 'info',
    },
    logFormat: {
      group: 'Operation',
      argument: 'FORMAT',
      help: 'json, pretty, or auto: pretty on a terminal, json elsewhere. Logs go to stderr.',
      schema: valueOf((value) => parseWord(value, LOG_FORMATS)),
      initial: 'auto',
      initialText: 'auto',
      needsRestart: true,
    },
  };
}
