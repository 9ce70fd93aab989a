// Backend `module` through the lives of its processes: killed in the middle of transfers, followed by another, drained while
// it owes bytes, killed while it owes them; ends of which no event tells. Only where the guest has symsplice.ko.
import t, { type Test } from 'tap';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { startAgent } from '../support/agent-client.js';
import type { Digest } from '../support/agent-api.js';
import { eventually } from '../support/children.js';
import { address } from '../support/lab.js';
import { closingLine, makeOpener, targetPort, withLab, type Opened, type Version } from '../support/packet-group.js';
import { listedFlow, proxySockets, untilReleased } from '../support/packet-state.js';
import { atOnce, command, startProxy, type Proxy } from '../support/proxy.js';

/** More than the sockets of both legs have room for, with the proxy's {@link buffers}. */
const much = 3_000_000;
/** More than a client that does not read takes. */
const due = 1_500_000;
const buffers = ['net.ipv4.tcp_wmem=4096 16384 262144', 'net.ipv4.tcp_rmem=4096 131072 262144'];
/** More than is under way at once. */
const bulky = 6_000_000;
const dueLate = ['--packet-after-bytes', String(due), '--packet-after-time', '1h'];
const reset = { how: 'error', code: 'ECONNRESET' } as const;

interface InDebt {
  readonly flow: Opened;
  readonly down: Promise<Digest>;
  readonly up: Promise<Digest>;
  /** What arrives at the server. */
  readonly rising: Promise<Digest>;
}

const lifeOfModule = (): Promise<void> =>
  withLab(async (lab) => {
    const client = startAgent(lab.cli, 60_000);
    const server = startAgent(lab.srv, 60_000);
    await server.listen({ host: '::', port: targetPort, mode: 'accept' });
    lab.prx.sysctl(...buffers);
    const start = (...args: string[]): Promise<Proxy> =>
      startProxy(lab, { backend: 'module', args: ['--open', ...args] });
    const openerOf = (proxy: Proxy, version: Version = 4): ReturnType<typeof makeOpener> =>
      makeOpener({ proxy, version, client, server });
    const echo = async (t: Test, { near, far }: Opened, word = 'still?'): Promise<void> => {
      await client.write(near, Buffer.from(word));
      t.equal(Buffer.from(await server.read(far, word.length)).toString(), word, 'up');
      await server.write(far, Buffer.from(word));
      t.equal(Buffer.from(await client.read(near, word.length)).toString(), word, 'down');
    };
    const onceClosed = (proxy: Proxy, { clientPort }: Opened): boolean =>
      proxy.log().filter((line) => line['msg'] === 'flow closed' && `${line['client']}`.endsWith(`:${clientPort}`))
        .length === 1;
    /**
     * A flow whose client does not read: the process has read what it cannot write, and goes over with a debt, when what
     * the client sends makes it due.
     */
    const inDebt = async (proxy: Proxy): Promise<InDebt> => {
      const flow = await openerOf(proxy).open();
      await client.pause(flow.near);
      const down = server.pour(flow.far, much);
      const rising = server.drain(flow.far);
      // The client's window is closed, and so is that of the proxy to the server: what is read cannot be written.
      for (const [host, ends] of [
        [lab.prx, `dport = :${flow.clientPort}`],
        [lab.srv, `sport = :${targetPort}`],
      ] as const) {
        await eventually(
          async () => (await host.exec('ss', ['-Htno', 'state', 'established', ends])).stdout.toString(),
          (shown) => shown.includes('timer:(persist'),
          'bytes are still taken',
        );
      }
      const up = client.pour(flow.near, due);
      for (const each of [down, up, rising]) each.catch(() => undefined);
      await eventually(
        async () => (await listedFlow(lab, proxy, flow.clientPort))?.backend,
        (backend) => backend === 'module',
        'the flow does not go over',
      );
      return { flow, down, up, rising };
    };

    const first = await start(...atOnce);
    const flows: Opened[] = [];
    for (const version of [4, 6, 4, 6] as const) {
      const flow = await openerOf(first, version).open();
      await untilReleased(lab, first, flow.clientPort);
      flows.push(flow);
    }
    const [ends, resets, bulk, stays] = flows as [Opened, Opened, Opened, Opened];

    await t.test('who may not have the module is told why', async (t) => {
      t.same(await proxySockets(lab), [], 'flows have no sockets');
      const asks = `import(${JSON.stringify(pathToFileURL(path.resolve('dist/index.js')).href)})
        .then(({ SpliceEngine }) => SpliceEngine.open({ backend: 'module' }))
        .catch((error) => console.log(error.code, error.message));`;
      const [second, nobody] = await Promise.all([
        lab.prx.exec(process.execPath, [
          command('splice-socks'),
          ...['--backend', 'module', '--no-control', '--listen', '127.0.0.1:0'],
        ]),
        lab.prx.exec('setpriv', ['--bounding-set=-all', '--inh-caps=-all', process.execPath, '-e', asks]),
      ]);
      t.equal(second.code, 1);
      t.match(second.stderr, `process ${first.child.pid} has the packet or module backend of this network namespace`);
      t.match(nobody.stdout.toString(), /^ERR_SPLICE_BACKEND .*not permitted \(EPERM\): needs root, or CAP_NET_ADMIN/);
    });

    let second!: Proxy;
    await t.test(
      'killed in the middle of transfers both ways: they go on to the byte, and the next adopts them',
      async (t) => {
        const begun = server.pour(bulk.far, 500_000);
        const beginning = await client.read(bulk.near, 500_000);
        t.equal(createHash('sha256').update(beginning).digest('hex'), (await begun).sha256);
        const down = server.pour(bulk.far, bulky).then(async (sent) => (await server.end(bulk.far), sent));
        const up = client.pour(bulk.near, bulky).then(async (sent) => (await client.end(bulk.near), sent));
        first.child.signal('SIGKILL');
        await first.child.exited;
        const [received, taken] = await Promise.all([
          client.drain(bulk.near),
          server.drain(bulk.far),
          (second = await start(...dueLate)),
        ]);
        t.same(received, await down);
        t.same(taken, await up);
        for (const flow of [ends, resets, stays]) await echo(t, flow);
        const adopted = second.log().find((line) => /adopted flows/.test(String(line['msg'])));
        t.ok(Number(adopted?.['flows']) >= 3, JSON.stringify(adopted));
      },
    );

    await t.test('ends of adopted flows are logged, once each', async (t) => {
      await client.end(ends.near);
      t.same(await server.ending(ends.far), { how: 'end' });
      await server.end(ends.far);
      await client.reset(resets.near);
      t.same(await server.ending(resets.far), reset);
      const [end, cut] = await Promise.all([
        closingLine(second, 4, ends.clientPort, 0),
        closingLine(second, 6, resets.clientPort, 0),
      ]);
      t.match(end, { reason: 'end', backend: 'module', bytes_up: 6, bytes_down: 6 });
      t.match(cut, { reason: 'client-reset', backend: 'module' });
      t.ok(onceClosed(second, ends) && onceClosed(second, resets), 'once');
      await echo(t, stays);
    });

    await t.test('drained while it owes bytes: it stays until they are written, and no longer', async (t) => {
      const { flow, down, up, rising } = await inDebt(second);
      t.equal((await listedFlow(lab, second, flow.clientPort))?.packet?.phase, 'transit');
      second.child.signal('SIGTERM');
      t.match(await second.waitForLog((line) => /waiting for flows/.test(String(line['msg']))), {
        flows: 1,
        in_the_kernel: 1,
      });
      await client.resume(flow.near);
      const draining = client.drain(flow.near);
      t.equal((await second.child.exited).code, 0);
      t.match(await second.waitForLog((line) => /go on in the kernel/.test(String(line['msg']))), { flows: 2 });
      const [sentDown, sentUp] = await Promise.all([down, up]);
      await Promise.all([client.end(flow.near), server.end(flow.far)]);
      t.same(await draining, sentDown);
      t.same(await rising, sentUp);
      await echo(t, stays);
    });

    await t.test('a process that dies in debt: a reset, and no end', async (t) => {
      const third = await start(...dueLate);
      const { flow } = await inDebt(third);
      third.child.signal('SIGKILL');
      await third.child.exited;
      t.same(await server.ending(flow.far), reset);
      await client.resume(flow.near);
      t.same(await client.ending(flow.near), reset);
      await echo(t, stays);
    });

    await t.test('ends whose events found no room are found by a look at all flows', async (t) => {
      const program = lab.file('few-events.mjs', fewEvents());
      const child = lab.prx.spawn(process.execPath, [program]);
      await child.waitForOutput(/READY/);
      const pairs = [];
      for (let i = 0; i < 24; i++) {
        const near = await client.connect({ host: address.proxy4, port: 9000 });
        const far = await server.accept(targetPort);
        await client.write(near, Buffer.from('x'));
        await server.read(far, 1);
        pairs.push({ near, far });
      }
      child.signal('SIGSTOP');
      // By FIN: how a reset flow ended the module forgets after two seconds.
      for (const { near, far } of pairs) {
        await client.end(near);
        await server.ending(far);
        await server.end(far);
        await client.ending(near);
      }
      child.signal('SIGCONT');
      await child.waitForOutput(/END 24 /);
      t.equal(child.stdout.match(/^END \d+ end$/gm)?.length, 24);
      await child.stop();
      t.match(child.stdout, `adopted [${address.client6}]:${stays.clientPort}\n`, 'of the server before');
      await client.end(stays.near);
      t.same(await server.ending(stays.far), { how: 'end' });
      await server.end(stays.far);
      t.same(await client.ending(stays.near), { how: 'end' });
    });
    await Promise.all([client.forget(), server.forget()]);
  });

/** A proxy to one target on the engine's inner parts, with room for hardly an event. */
const fewEvents = (): string => `
import net from 'node:net';
const dist = (name) => import(${JSON.stringify(`${pathToFileURL(path.resolve('dist')).href}/`)} + name);
const { native } = await dist('native.js');
const { ModuleBackend } = await dist('engine/module-backend.js');
const { MODULE_MACHINE } = await dist('engine/module-plane.js');
const { makeRelay } = await dist('engine/kernel-backend.js');
const { packetChoice } = await dist('engine/packet-options.js');
const { prepareUpstream } = await dist('engine/intend.js');
const plane = {
  ...MODULE_MACHINE,
  open: (settings, onReports) => new (native().KernelModule)({ ...settings, eventBytes: 1 }, onReports),
};
const relay = { threads: 1, pipeSize: 65536, spliceAfter: 65536 };
const backend = new ModuleBackend(relay, packetChoice({ afterBytes: 0 }), { plane, relay: makeRelay });
for (const { ends } of backend.adopted()) console.log('adopted ' + ends.client);
const end = (socket) => ({ kind: 'socket', socket });
let ended = 0;
net
  .createServer({ pauseOnConnect: true, allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ host: '${address.server4}', port: ${targetPort}, allowHalfOpen: true });
    prepareUpstream(backend.plane.kernel, end(client), end(upstream), undefined);
    upstream.once('connect', () => {
      upstream.pause();
      const flow = { client: end(client), upstream: end(upstream), idleMs: 0, prepared: false };
      backend.start(flow, ({ reason }) => console.log('END', ++ended, reason));
    });
  })
  .listen(9000, '${address.proxy4}', () => console.log('READY'));
`;

if (process.env['SYMSPLICE_VM_MODULE'] === undefined) t.comment('no module here: nothing to ask');
else await lifeOfModule();
