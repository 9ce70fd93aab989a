/**
 * THE list of settings. Flags, YAML keys, help text, defaults, checks and what SIGHUP can change all come from
 * this table; nothing else names a setting a second time. Read at start and at each reload.
 */
import { z } from 'zod';
import { PIN_DIRECTORY } from '../engine/packet-options.js';
import { parseHostPort, parseListen, ValueMistake } from './config-address.js';
import type { HostPort } from './config-address.js';
import {
  parseCount,
  parseCountOrAuto,
  parseDirectoryOrNone,
  parseDuration,
  parseInterfaces,
  parsePath,
  parsePorts,
  parseSwitch,
  parseWord,
} from './config-values.js';

export const BACKEND_CHOICES = ['auto', 'packet', 'splice', 'copy', 'sockmap', 'module'] as const;
export type BackendChoice = (typeof BACKEND_CHOICES)[number];

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['auto', 'json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** The configuration of one splice-socks process, after flags, file and defaults are merged and checked. */
export interface SocksConfig {
  /** Addresses to listen on, at least one. Replaced by the sockets that systemd hands over, if it does. */
  readonly listen: readonly HostPort[];
  readonly backend: BackendChoice;
  /** Absolute path of the users file, or undefined: no password is asked for. */
  readonly users: string | undefined;
  /** Absolute path of the rules file, or undefined: everything is allowed. */
  readonly rules: string | undefined;
  /** The operator accepts that anyone who reaches the listening address may use the proxy. */
  readonly open: boolean;
  /** Milliseconds from accept to a complete request; never 0. */
  readonly handshakeTimeout: number;
  /** Milliseconds for resolving and connecting to the target, all attempts together; never 0. */
  readonly connectTimeout: number;
  /** Milliseconds without a byte either way until a flow is closed; 0 = never. */
  readonly idleTimeout: number;
  /** Milliseconds that a drain waits for flows to end; 0 = not at all. */
  readonly drainTimeout: number;
  /** Connections at one time; 0 = no limit; `auto` = what the descriptor limit allows. */
  readonly maxConnections: number | 'auto';
  /** Connections at one time of one client address; 0 = no limit. */
  readonly maxPerClient: number;
  /** Connections at one time of one user; 0 = no limit. */
  readonly maxPerUser: number;
  /** Control-plane threads, each with its own SO_REUSEPORT listener. */
  readonly workers: number;
  readonly relayThreads: number | 'auto';
  /** A flow goes over to the packet backend when it has moved so many bytes, */
  readonly packetAfterBytes: number;
  /** or is so many milliseconds old, whichever is first. */
  readonly packetAfterTime: number;
  /** First and last source port of connections to targets, with the packet backend. */
  readonly sourcePorts: readonly [low: number, high: number] | 'auto';
  /** Flows that the packet backend has room for. */
  readonly maxFlows: number;
  /** Interfaces that the packet backend watches. */
  readonly interfaces: readonly string[] | 'auto';
  /** Directory on a bpffs in which the packet backend's data plane is pinned; '': nowhere. */
  readonly pinDirectory: string;
  /** Where metrics and health are served over HTTP, or undefined: nowhere. */
  readonly admin: HostPort | undefined;
  /** Absolute path of the control socket, or undefined: the default place. */
  readonly control: string | undefined;
  readonly noControl: boolean;
  readonly logLevel: LogLevel;
  /** `auto` is pretty on a terminal and JSON elsewhere. */
  readonly logFormat: LogFormat;
  /** Absolute path of the YAML file that was read, if any. */
  readonly config: string | undefined;
  /** Only check the configuration and the files it names. */
  readonly check: boolean;
}

export type SettingName = keyof SocksConfig;

export const SETTING_GROUPS = ['Listening', 'Relaying', 'Packet backend', 'Access', 'Limits', 'Operation'] as const;

export interface Setting<T> {
  readonly group: (typeof SETTING_GROUPS)[number];
  /** What stands after the flag in the help text; undefined = a switch. */
  readonly argument: string | undefined;
  readonly help: string;
  readonly schema: z.ZodType<T>;
  readonly initial: T;
  /** How the help text shows the default; undefined = none is shown. */
  readonly initialText?: string;
  readonly repeatable?: true;
  /** The value is a path: relative to the file it is written in, else to the working directory. */
  readonly isPath?: true;
  /** Cannot stand in the YAML file. */
  readonly flagOnly?: true;
  /** SIGHUP cannot change it in a running server. */
  readonly needsRestart?: true;
}

/** A zod schema from one of the parse functions. */
function valueOf<T>(parse: (value: unknown) => T): z.ZodType<T> {
  return z.unknown().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof ValueMistake)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

const duration = (zero: 'allowed' | 'forbidden') => valueOf((value) => parseDuration(value, zero));
const limit = valueOf((value) => parseCount(value, 0, 10_000_000));
const path: z.ZodType<string | undefined> = valueOf(parsePath);
const onOff = valueOf(parseSwitch);

/** One address, or a list of them: `listen: 1080` is as good as `listen: [1080]`. */
const listen: z.ZodType<readonly HostPort[]> = z.preprocess(
  (value) => (Array.isArray(value) ? value : [value]),
  z.array(valueOf(parseListen)).min(1, 'name at least one address, or leave the setting out'),
);

type SettingTable = { readonly [Name in SettingName]: Setting<SocksConfig[Name]> };

export const SETTINGS: SettingTable = {
  listen: {
    group: 'Listening',
    argument: '[HOST:]PORT',
    help:
      'Listen here; repeatable. A port alone means 127.0.0.1; [::1]:1080 is IPv6; ' +
      ':1080 or *:1080 is every address, IPv4 and IPv6. Port 0 lets the kernel choose.',
    schema: listen,
    initial: [{ host: '127.0.0.1', port: 1080 }],
    initialText: '127.0.0.1:1080',
    repeatable: true,
    needsRestart: true,
  },
  open: {
    group: 'Listening',
    argument: undefined,
    help: 'Let everyone who can reach the listening address use the proxy, without users and rules.',
    schema: onOff,
    initial: false,
  },
  backend: {
    group: 'Relaying',
    argument: 'NAME',
    help: `How bytes are relayed: ${BACKEND_CHOICES.join(', ')}. A backend named here is used or the start fails.`,
    schema: valueOf((value) => parseWord(value, BACKEND_CHOICES)),
    initial: 'auto',
    initialText: 'auto',
    needsRestart: true,
  },
  workers: {
    group: 'Relaying',
    argument: 'N',
    help: 'Threads that accept and do handshakes, each with its own listener (SO_REUSEPORT).',
    schema: valueOf((value) => parseCount(value, 1, 256)),
    initial: 1,
    initialText: '1',
    needsRestart: true,
  },
  relayThreads: {
    group: 'Relaying',
    argument: 'N',
    help: 'Native threads that move bytes on the splice backend, or auto.',
    schema: valueOf((value) => parseCountOrAuto(value, 1, 256)),
    initial: 'auto',
    initialText: 'auto',
    needsRestart: true,
  },
  packetAfterBytes: {
    group: 'Packet backend',
    argument: 'N',
    help: 'A flow goes over to the packet backend when it has moved so many bytes: short ones never pay for it.',
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
  users: {
    group: 'Access',
    argument: 'FILE',
    help: 'Ask for a name and password (RFC 1929); FILE is made by "splice-ctl passwd".',
    schema: path,
    initial: undefined,
    isPath: true,
  },
  rules: {
    group: 'Access',
    argument: 'FILE',
    help: 'Allow and deny by client, user, destination and port; the first match wins.',
    schema: path,
    initial: undefined,
    isPath: true,
  },
  handshakeTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'From accept to a complete request.',
    schema: duration('forbidden'),
    initial: 10_000,
    initialText: '10s',
  },
  connectTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'For the name look-up and all attempts to connect to the target.',
    schema: duration('forbidden'),
    initial: 15_000,
    initialText: '15s',
  },
  idleTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'Close a flow after this time without a byte either way; 0 = never.',
    schema: duration('allowed'),
    initial: 3_600_000,
    initialText: '1h',
  },
  drainTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'How long a drain waits for flows that need the process to end.',
    schema: duration('allowed'),
    initial: 30_000,
    initialText: '30s',
  },
  maxConnections: {
    group: 'Limits',
    argument: 'N',
    help: 'Connections at one time; 0 = no limit; auto = what the descriptor limit allows.',
    schema: valueOf((value) => parseCountOrAuto(value, 0, 10_000_000)),
    initial: 'auto',
    initialText: 'auto',
  },
  maxPerClient: {
    group: 'Limits',
    argument: 'N',
    help: 'Connections at one time of one client address; 0 = no limit.',
    schema: limit,
    initial: 0,
    initialText: '0',
  },
  maxPerUser: {
    group: 'Limits',
    argument: 'N',
    help: 'Connections at one time of one user; 0 = no limit.',
    schema: limit,
    initial: 0,
    initialText: '0',
  },
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
    help: 'Serve /metrics (Prometheus) and /health here. Anyone who reaches it can read them: keep it private.',
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
    initialText: 'socks-PID.sock in the runtime directory',
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

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** `idleTimeout` -> `idle-timeout`: the name in YAML, and with two dashes the flag. */
export function keyOf(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
