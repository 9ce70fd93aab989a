// Backend `module` as it is met in operation: chosen by `auto` where `packet` is impossible, under several workers, unloaded and
// loaded again while the server runs, and in tunnels of splice-http.
import t, { type Test } from 'tap';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import { startAgent } from '../support/agent-client.js';
import { eventually } from '../support/children.js';
import { startHttp } from '../support/http-proxy.js';
import { address } from '../support/lab.js';
import { closingLine, makeOpener, targetPort, withLab, type Opened, type Version } from '../support/packet-group.js';
import { atOnce, command, splicectl, Proxy } from '../support/proxy.js';

/** All that packet needs and the module does not. */
const withoutBpf = '--bounding-set=-bpf,-perfmon,-sys_admin';
const gone = { how: 'error', code: 'ECONNRESET' } as const;

interface Listed {
  readonly id: string;
  readonly client: string;
  readonly target: string;
  readonly backend: string;
  readonly adopted?: true;
  readonly refusals: readonly { readonly backend: string; readonly reason: string }[];
  readonly packet?: { readonly phase: string };
}

interface Stats {
  readonly backend: string;
  readonly backendReason: string;
  readonly flows: number;
  readonly totals: { readonly [key: string]: unknown };
  readonly module?: {
    readonly phases: { readonly released: number };
    readonly sourcePortsUsed: number;
    readonly more: Readonly<Record<string, number>>;
  };
}

function ask<T>(control: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: control, path, agent: false }, (response) => {
      json(response).then((value) => resolve(value as T), reject);
    });
    asking.on('error', reject).end();
  });
}

const flowsOf = async (control: string): Promise<readonly Listed[]> =>
  (await ask<{ flows: readonly Listed[] }>(control, '/flows')).flows;

const module = (): Promise<void> =>
  withLab(async (lab) => {
    const client = startAgent(lab.cli, 60_000);
    const server = startAgent(lab.srv, 60_000);
    await server.listen({ host: '::', port: targetPort, mode: 'accept' });
    const openerOf = (proxy: Proxy, version: Version = 4): ReturnType<typeof makeOpener> =>
      makeOpener({ proxy, version, client, server });
    const echo = async (t: Test, { near, far }: Pick<Opened, 'near' | 'far'>, word = 'still?'): Promise<void> => {
      await client.write(near, Buffer.from(word));
      t.equal(Buffer.from(await server.read(far, word.length)).toString(), word, 'up');
      await server.write(far, Buffer.from(word));
      t.equal(Buffer.from(await client.read(near, word.length)).toString(), word, 'down');
    };
    const listed = async (proxy: Proxy, { clientPort }: Opened): Promise<Listed | undefined> =>
      (await flowsOf(proxy.control)).find((flow) => flow.client.endsWith(`:${clientPort}`));
    const released = (proxy: Proxy, flow: Opened): Promise<Listed | undefined> =>
      eventually(
        () => listed(proxy, flow),
        (found) => found?.packet?.phase === 'released',
        'the flow is not released',
      );
    const said = (proxy: Proxy, what: RegExp): number =>
      proxy.log().filter((line) => what.test(String(line['msg']))).length;

    // Ended flows hold the module for this long.
    writeFileSync('/sys/module/symsplice/parameters/time_wait_ms', '300');
    const child = lab.prx.spawn('setpriv', [
      withoutBpf,
      ...[process.execPath, command('splice-socks'), '--listen', `${address.proxy4}:1`],
      ...['--listen', `[${address.proxy6}]:1`, '--control', `${lab.directory}/auto`, '--log-format', 'json', '--open'],
      ...['--backend', 'auto', '--workers', '2', '--idle-timeout', '10s', ...atOnce],
    ]);
    await child.waitForOutput(/^try: /m);
    const auto = new Proxy(child, { port: 1, backend: 'auto', control: `${lab.directory}/auto` });

    await t.test('auto takes the module where packet cannot be had, on every worker, and says why', async (t) => {
      const flows: Opened[] = [];
      const workers = new Set<string>();
      // The kernel spreads connections over the workers by their ports.
      while (workers.size < 2 && flows.length < 40) {
        const flow = await openerOf(auto, flows.length % 2 === 0 ? 4 : 6).open();
        await echo(t, flow, 'x');
        flows.push(flow);
        const found = await released(auto, flow);
        workers.add(found?.id.split('-')[0] ?? '');
        t.match(found, { backend: 'module', refusals: [{ backend: 'packet', reason: /^needs root, or CAP_BPF/ }] });
      }
      t.equal(workers.size, 2, 'both workers have flows');
      const { backend, backendReason, module } = await ask<Stats>(auto.control, '/stats');
      t.equal(backend, 'module');
      t.match(backendReason, /^a kernel module .*; not packet: needs root, or CAP_BPF/);
      t.equal(module?.more['releases'], flows.length);
      const doctor = await lab.prx.exec('setpriv', [withoutBpf, process.execPath, command('splice-ctl'), 'doctor']);
      t.match(doctor.stdout.toString(), /programs +packet: the kernel did not load/);
      t.match(doctor.stdout.toString(), /ok +symsplice\.ko +loaded, ABI \d+, \d+ flows here/);

      // Nobody says anything more.
      for (const flow of flows) t.same(await client.ending(flow.near), gone);
      const [first] = flows;
      if (first === undefined) return;
      t.match(await closingLine(auto, 4, first.clientPort, 0), {
        reason: 'idle',
        backend: 'module',
        refused: /^packet: needs root/,
        bytes_up: 1,
      });
      await eventually(
        () => said(auto, /^flow closed$/),
        (count) => count === flows.length,
        'not every end is logged',
      );
      t.match(await ask<Stats>(auto.control, '/stats'), {
        flows: 0,
        // Of both workers.
        totals: {
          flowsOpened: flows.length,
          flowsClosed: flows.length,
          bytesUp: flows.length,
          bytesDown: flows.length,
        },
        module: { phases: { released: 0 }, sourcePortsUsed: 0 },
      });
    });

    await t.test('the module goes and comes while the server runs', async (t) => {
      await eventually(
        async () => (await lab.prx.exec('rmmod', ['symsplice'])).code,
        (code) => code === 0,
        'the module is not unloaded',
      );
      await auto.waitForLog((line) => /symsplice\.ko was unloaded/.test(String(line['msg'])));
      const between = await openerOf(auto).open();
      await echo(t, between);
      t.match(await listed(auto, between), {
        backend: 'splice',
        refusals: [{ backend: 'packet' }, { backend: 'module', reason: /^symsplice\.ko was unloaded/ }],
      });
      t.equal((await ask<Stats>(auto.control, '/stats')).module, undefined);
      await lab.prx.exec('insmod', ['/module/symsplice.ko', 'time_wait_ms=300']);
      await eventually(
        () => said(auto, /symsplice\.ko is loaded again/),
        (count) => count === 2,
        'not both workers have it again',
      );
      // Flows are counted from 1 again.
      const flows = [];
      for (const version of [4, 6] as const) {
        const flow = await openerOf(auto, version).open();
        await echo(t, flow);
        t.match(await released(auto, flow), { backend: 'module' });
        flows.push(flow);
      }
      for (const { near, far } of flows) {
        await client.end(near);
        t.same(await server.ending(far), { how: 'end' });
        await server.end(far);
      }
      for (const [i, { clientPort }] of flows.entries()) {
        t.match(await closingLine(auto, i === 0 ? 4 : 6, clientPort, 0), { reason: 'end', backend: 'module' });
      }
      await client.reset(between.near);
      t.same(await server.ending(between.far), gone);
    });

    await t.test('a drain leaves flows of all workers in the kernel', async (t) => {
      const flow = await openerOf(auto).open();
      await released(auto, flow);
      auto.child.signal('SIGTERM');
      t.equal((await auto.child.exited).code, 0);
      t.equal(said(auto, /flows go on in the kernel without us/), 1);
      await echo(t, flow);
      await client.end(flow.near);
      t.same(await server.ending(flow.far), { how: 'end' });
      await server.end(flow.far);
      t.same(await client.ending(flow.near), { how: 'end' });
    });

    await t.test(
      'splice-http: CONNECT goes to the module and outlives the process, an upgrade stays with splice',
      async (t) => {
        const proxy = await startHttp({
          host: lab.prx,
          listen: [`${address.proxy4}:0`],
          args: ['--forward', '--open', '--connect-ports', 'any', ...atOnce],
          backend: 'module',
        });
        const place = `${address.server4}:${targetPort}`;
        const near = await client.connect({ host: address.proxy4, port: proxy.port });
        const answer = 'HTTP/1.1 200 Connection established\r\n\r\n';
        await client.write(near, Buffer.from(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\nearly`));
        const far = await server.accept(targetPort);
        t.equal(Buffer.from(await client.read(near, answer.length)).toString(), answer);
        t.equal(Buffer.from(await server.read(far, 5)).toString(), 'early');
        await echo(t, { near, far });
        const tunnel = await eventually(
          async () => (await flowsOf(proxy.control))[0],
          (found) => found?.packet?.phase === 'released',
          'the tunnel is not released',
        );
        t.match(tunnel, { backend: 'module', target: place });
        const socket = await client.connect({ host: address.proxy4, port: proxy.port });
        const fields = `Host: ${place}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
        await client.write(socket, Buffer.from(`GET http://${place}/socket HTTP/1.1\r\n${fields}`));
        const origin = await server.accept(targetPort);
        await untilHead(server.read, origin);
        const agreed = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
        await server.write(origin, Buffer.from(agreed));
        t.match(await untilHead(client.read, socket), /^HTTP\/1\.1 101 /);
        await echo(t, { near: socket, far: origin });
        t.match(
          (await flowsOf(proxy.control)).find(({ backend }) => backend !== 'module'),
          { backend: 'splice', refusals: [{ backend: 'module', reason: /none of our source ports/ }] },
        );
        await client.end(socket);
        t.same(await server.ending(origin), { how: 'end' });
        await server.end(origin);

        proxy.child.signal('SIGTERM');
        t.equal((await proxy.child.exited).code, 0);
        t.same(proxy.complaints(), []);
        t.ok(proxy.log().some((line) => /tunnels go on in the kernel/.test(String(line['msg']))));
        await echo(t, { near, far });
        t.match((await splicectl(lab, ['uninstall'])).stdout.toString(), /symsplice\.ko is loaded: 1 flow reset/);
        t.same(await client.ending(near), gone);
        t.same(await server.ending(far), gone);
      },
    );

    await Promise.all([client.forget(), server.forget()]);
  });

/** Up to the empty line. */
async function untilHead(read: (id: number, count: number) => Promise<Uint8Array>, id: number): Promise<string> {
  // No head here is shorter.
  let head = Buffer.from(await read(id, 70)).toString();
  while (!head.endsWith('\r\n\r\n')) head += Buffer.from(await read(id, 1)).toString();
  return head;
}

if (process.env['SYMSPLICE_VM_MODULE'] === undefined) t.comment('no module here: nothing to ask');
else await module();
