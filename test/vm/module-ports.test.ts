// Source ports of flows that servers with `packet` and with `module` have left: the other backend's next server keeps clear of
// them. By name only: it takes as long as all else of the module, because the emulated machine's verifier is slow.
import t, { type Test } from 'tap';
import { startAgent } from '../support/agent-client.js';
import { makeOpener, targetPort, withLab, type Opened } from '../support/packet-group.js';
import { listedFlow, untilReleased } from '../support/packet-state.js';
import { atOnce, splicectl, startProxy, type Proxy } from '../support/proxy.js';

const gone = { how: 'error', code: 'ECONNRESET' } as const;

const ports = (): Promise<void> =>
  withLab(async (lab) => {
    const client = startAgent(lab.cli, 60_000);
    const server = startAgent(lab.srv, 60_000);
    await server.listen({ host: '::', port: targetPort, mode: 'accept' });
    const openOver = (proxy: Proxy): Promise<Opened> => makeOpener({ proxy, version: 4, client, server }).open();
    const echo = async (t: Test, { near, far }: Opened, word = 'still?'): Promise<void> => {
      await client.write(near, Buffer.from(word));
      t.equal(Buffer.from(await server.read(far, word.length)).toString(), word, 'up');
      await server.write(far, Buffer.from(word));
      t.equal(Buffer.from(await client.read(near, word.length)).toString(), word, 'down');
    };

    await t.test(
      'flows that servers with module and packet have left keep their source ports to themselves',
      async (t) => {
        // As many ports as are used: a connection more meets a flow that is there, if its port is given out.
        const start = (backend: 'module' | 'packet'): Promise<Proxy> =>
          startProxy(lab, { backend, args: ['--open', ...atOnce, '--source-ports', '9000-9002'] });
        const left: Opened[] = [];
        const fill = async (backend: 'module' | 'packet', count: number): Promise<void> => {
          const proxy = await start(backend);
          for (let i = 0; i < count; i++) {
            const flow = await openOver(proxy);
            await untilReleased(lab, proxy, flow.clientPort);
            t.match(await listedFlow(lab, proxy, flow.clientPort), { backend });
            left.push(flow);
          }
          const more = await openOver(proxy);
          await echo(t, more, 'more');
          const none = left.length === 3 ? [{ backend, reason: /source ports: none was free/ }] : [];
          t.match(await listedFlow(lab, proxy, more.clientPort), {
            backend: left.length === 3 ? 'splice' : backend,
            refusals: none,
          });
          await client.reset(more.near);
          t.same(await server.ending(more.far), gone);
          proxy.child.signal('SIGKILL');
          await proxy.child.exited;
          for (const flow of left) await echo(t, flow);
        };
        await fill('module', 1);
        await fill('packet', 2);
        await fill('module', 0);
        const { stdout } = await splicectl(lab, ['uninstall']);
        t.match(stdout.toString(), /; 2 flows reset\nsymsplice\.ko is loaded: 1 flow reset/);
        for (const { near, far } of left) {
          t.same(await client.ending(near), gone);
          t.same(await server.ending(far), gone);
        }
      },
    );
    await Promise.all([client.forget(), server.forget()]);
  });

if (process.env['SYMSPLICE_VM_MODULE'] === undefined) t.comment('no module here: nothing to ask');
else await ports();
