/** The test's side of an agent (see agent-api.ts). Every call is bounded, so that a hang has a name. */
import { fileURLToPath } from 'node:url';
import { within, type Child } from './children.js';
import type { AgentApi, AgentReply, AgentRequest } from './agent-api.js';
import type { Host } from './lab.js';

const program = fileURLToPath(new URL('agent.js', import.meta.url));

export type Agent = AgentApi & { readonly child: Child };

/** Starts an agent on a host. `limitMs` bounds each call. */
export function startAgent(host: Host, limitMs = 30_000): Agent {
  const child = host.spawn(process.execPath, [program], { ipc: true });
  const pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  child.process.on('message', (message: unknown) => {
    const reply = message as AgentReply;
    const waiting = pending.get(reply.id);
    pending.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new Error(reply.message));
  });
  child.exited.then(
    () => pending.forEach((waiting) => waiting.reject(new Error(`the agent ended:\n${child.transcript()}`))),
    () => undefined,
  );
  const call = (method: keyof AgentApi, args: readonly unknown[]): Promise<unknown> => {
    const request: AgentRequest = { id: ++last, method, args };
    const answer = new Promise((resolve, reject) => pending.set(request.id, { resolve, reject }));
    child.process.send(request);
    return within(answer, limitMs, () => `agent.${method}(${JSON.stringify(args).slice(0, 200)}) has no answer`);
  };
  return new Proxy({ child } as Agent, {
    get: (target, name) => {
      // An agent is awaited by accident sooner or later; it must not look like a promise.
      if (name === 'then') return undefined;
      return name === 'child' ? target.child : (...args: unknown[]) => call(name as keyof AgentApi, args);
    },
  });
}
