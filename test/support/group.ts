/** Runs the same tests over every backend, and after each group asks what must hold whatever was tested. */
import t, { type Test } from 'tap';
import { startAgent, type Agent } from './agent-client.js';
import { eventually, patient } from './children.js';
import { Lab } from './lab.js';
import { atOnce, backends, startProxy, type Backend, type Proxy, type ProxyOptions } from './proxy.js';

export interface Group {
  readonly lab: Lab;
  readonly backend: Backend;
  readonly proxy: Proxy;
  /** An agent on the client host and one on the server host. */
  readonly client: Agent;
  readonly server: Agent;
  /** A test named after what must happen; the backend is put before it. */
  readonly test: (name: string, body: (t: Test) => Promise<void>) => Promise<void>;
}

export interface GroupOptions {
  /** Backends of this file, by default all. */
  readonly backends?: readonly Backend[];
  /** How the proxy is started. */
  readonly proxy?: (lab: Lab, backend: Backend) => Omit<ProxyOptions, 'backend'>;
  /** Bounds each call of an agent, in milliseconds. **Default:** 30 s. */
  readonly limitMs?: number;
}

// The library's own clock covers the whole file; ours covers one test, and the runner's the file.
t.setTimeout(3_600_000);
const testLimitMs = patient(120_000);

/** Called once a file. `prepare` starts servers and runs once, `body` runs once a backend. */
export async function overBackends<Prepared>(
  options: GroupOptions,
  prepare: (lab: Lab, server: Agent) => Promise<Prepared>,
  body: (group: Group, prepared: Prepared) => Promise<void>,
): Promise<void> {
  const lab = Lab.open();
  try {
    const client = startAgent(lab.cli, options.limitMs);
    const server = startAgent(lab.srv, options.limitMs);
    const prepared = await prepare(lab, server);
    for (const backend of options.backends ?? backends()) {
      const test: Group['test'] = async (name, run) => {
        await t.test(`${backend}: ${name}`, { timeout: testLimitMs }, async (child) => {
          try {
            await run(child);
          } finally {
            await Promise.all([client.forget(), server.forget()]);
          }
        });
      };
      let proxy: Proxy | undefined;
      await test('the proxy starts', async (child) => {
        const { args = ['--open'], ...more } = options.proxy?.(lab, backend) ?? {};
        // Whoever asks for the module wants to see what it does, with the short flows of these tests, too.
        const asked = backend === 'module' ? [...args, ...atOnce] : args;
        proxy = await startProxy(lab, { backend, ...more, args: asked });
        child.ok(proxy.child.running);
      });
      if (proxy === undefined) continue;
      const started = proxy;
      const baseline = started.descriptors();
      await body({ lab, backend, proxy: started, client, server, test }, prepared);
      await test('afterwards the proxy still runs, complained of nothing and kept no descriptor', async (child) => {
        child.ok(started.child.running, `it ended: ${started.child.transcript()}`);
        // A few descriptors are opened once, on first use: pipes of the pool, the resolver.
        await eventually(
          () => started.descriptors(),
          (count) => count <= baseline + spareDescriptors,
          `descriptors are not back near ${baseline}`,
          20_000,
        );
        const complaints = started.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal');
        child.same(complaints, []);
        if (backend === 'module') {
          const carriers = started.log().map((line) => line['backend']);
          child.ok(carriers.includes(backend), `it has carried flows: ${carriers.join(' ')}`);
        }
      });
      await started.child.stop();
    }
    await Promise.all([client.child.stop(), server.child.stop()]);
  } finally {
    lab.close();
  }
}

/** What a proxy may keep for reuse after load: the splice backend's pool of pipes has a fixed bound. */
export const spareDescriptors = 64;
