/** What the subcommands of splice-ctl share: finding servers, asking them, and how a failure ends. */
import { z } from 'zod';
import { askControl, findControlSockets } from '../control/control-client.js';
import type { ServerKind, Surroundings } from '../control/control-directory.js';
import { controlDirectories } from '../control/control-directory.js';
import type { FlowsAnswer, StatsAnswer } from '../control/control-server.js';
import type { Capability } from '../engine/doctor.js';
import { SpliceError } from '../errors.js';
import type { PacketRemains } from '../native.js';
import { httpShape, problemShape } from './ctl-http-shapes.js';
import type { Environment } from './environment.js';

export interface CtlParts {
  readonly surroundings: Surroundings;
  /** Loaded when used: the probes need more of the machine than the other commands. */
  probeMachine(): Promise<readonly Capability[]>;
  hashPassword(password: string): Promise<string>;
  /** Takes off this host what the packet backend of ended servers left. @throws as `Native.packetUninstall` */
  uninstallPacket(pinDirectory: string): Promise<PacketRemains>;
  /** Resets the flows that ended servers left in the kernel module: how many; undefined, it is not loaded. @throws as `Native.moduleAbort` */
  resetModule(): Promise<number | undefined>;
}

export interface CtlContext extends CtlParts {
  readonly environment: Environment;
}

/** For what changes something: the one server, or all of them if that is said. @throws SpliceError if it is not clear. */
export async function chooseTargets(
  context: CtlContext,
  { control, all }: { readonly control: string | undefined; readonly all: boolean },
  kinds?: readonly ServerKind[],
): Promise<string[]> {
  const sockets = await chooseSockets(context, control, kinds);
  if (sockets.length === 1 || all) return sockets;
  throw new SpliceError(
    'ERR_SPLICE_ARGUMENT',
    `${sockets.length} servers are running; name one with --control, or take --all:\n${sockets.map((s) => `  ${s}`).join('\n')}`,
  );
}

/** The socket asked for, or those of all living servers of these kinds. @throws SpliceError if no server runs. */
export async function chooseSockets(
  context: CtlContext,
  control: string | undefined,
  kinds: readonly ServerKind[] = ['socks', 'http'],
): Promise<string[]> {
  if (control !== undefined) return [control];
  const sockets = await findControlSockets(context.surroundings, kinds);
  if (sockets.length > 0) return sockets;
  const places = controlDirectories(context.surroundings).join(', ');
  throw new SpliceError(
    'ERR_SPLICE_SYSTEM',
    `no running ${kinds.map((kind) => `splice-${kind}`).join(' or ')} found in ${places}; start one, or name its socket with --control PATH`,
  );
}

const flowShape = z.object({
  id: z.string(),
  client: z.string(),
  server: z.string(),
  target: z.string(),
  user: z.string().optional(),
  backend: z.string(),
  state: z.string(),
  sides: z.object({ client: z.string(), server: z.string() }).optional(),
  packet: z
    .object({
      phase: z.string(),
      ways: z.object({ up: z.string(), down: z.string() }),
      segments: z.object({ up: z.number(), down: z.number() }),
    })
    .optional(),
  adopted: z.literal(true).optional(),
  bytesUp: z.number(),
  bytesDown: z.number(),
  ageMs: z.number(),
  idleMs: z.number(),
  refusals: z.array(z.object({ backend: z.string(), reason: z.string() })),
});

const flowsShape = z.object({ pid: z.number(), flows: z.array(flowShape) });

const totalsShape = z.object({
  accepted: z.number(),
  handshakesFailed: z.number(),
  connectsFailed: z.number(),
  denied: z.number(),
  limited: z.number(),
  authFailed: z.number(),
  flowsOpened: z.number(),
  flowsClosed: z.number(),
  bytesUp: z.number(),
  bytesDown: z.number(),
});

const packetShape = z.object({
  interfaces: z.array(z.string()),
  sourcePorts: z.tuple([z.number(), z.number()]),
  sourcePortsUsed: z.number(),
  maxFlows: z.number(),
  phases: z.object({ transit: z.number(), released: z.number(), ended: z.number() }),
  refused: z.number(),
  counters: z.record(z.string(), z.number()),
  tag: z.string(),
});

const moduleShape = z.object({
  sourcePorts: z.tuple([z.number(), z.number()]),
  sourcePortsUsed: z.number(),
  maxFlows: z.number().optional(),
  phases: z.object({ transit: z.number(), released: z.number(), ended: z.number() }),
  refused: z.number(),
  counters: z.record(z.string(), z.number()),
  more: z.record(z.string(), z.number()),
});

const statsShape = z.object({
  pid: z.number(),
  version: z.string(),
  state: z.enum(['running', 'draining']),
  uptimeMs: z.number(),
  listening: z.array(z.string()),
  backend: z.string(),
  backendReason: z.string(),
  flows: z.number(),
  handshakes: z.number(),
  descriptors: z.number(),
  descriptorLimit: z.number(),
  totals: totalsShape,
  packet: packetShape.optional(),
  module: moduleShape.optional(),
  http: httpShape.optional(),
});

export const askFlows = (path: string): Promise<FlowsAnswer> => ask(path, '/flows', flowsShape);
export const askStats = (path: string): Promise<StatsAnswer> => ask(path, '/stats', statsShape);

/** What a server answers to a question. @throws SpliceError with its own words, or when it is another version's answer. */
export async function ask<Answer>(
  path: string,
  route: string,
  shape: z.ZodType<Answer>,
  post?: unknown,
): Promise<Answer> {
  const { status, value } = await askControl(path, post === undefined ? 'GET' : 'POST', route, post);
  const answer = shape.safeParse(value);
  if (status === 200 && answer.success) return answer.data;
  const said = problemShape.safeParse(value);
  throw new SpliceError(
    'ERR_SPLICE_SYSTEM',
    said.success
      ? `${path}: ${said.data.error}; ${said.data.next}`
      : `control socket ${path}: the answer to ${route} is not understood (status ${status}); are server and splice-ctl of one version?`,
  );
}
