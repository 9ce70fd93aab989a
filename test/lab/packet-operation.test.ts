// The data plane outlives the process: killed in the middle of a hundred transfers, adopted by the next one, taken off
// by hand; beside the flows of another build. What a process that is told to end waits for, and what becomes of flows
// that are idle. A full map, and thousands of connections, of which nothing must be left.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { amount } from '../support/amount.js';
import { startAgent } from '../support/agent-client.js';
import type { ConnectionId } from '../support/agent-api.js';
import { eventually, patient, within } from '../support/children.js';
import { Forge } from '../support/forge.js';
import { open5 } from '../support/handshake.js';
import { address } from '../support/lab.js';
import { makeOtherBuild } from '../support/other-build.js';
import {
  clientOf,
  kernelManners,
  proxyOf,
  readAnswers,
  serverOf,
  withLab,
  type Version,
} from '../support/packet-group.js';
import { listedFlow, planeOf, proxySockets, untilReleased, type ListedFlow } from '../support/packet-state.js';
import { DisguisedHost } from '../support/peer-host.js';
import { Peer } from '../support/peer.js';
import { greeting5, request5 } from '../support/socks-bytes.js';
import { command, splicectl, startProxy, type Proxy } from '../support/proxy.js';

const port = 7000;
const echoPort = 7001;
const atOnce = ['--open', '--packet-after-bytes', '0', '--packet-after-time', '0'];
const flowsAtOnce = amount(100, 4);
const { backend } = kernelManners()[0]!;
const ofModule = (what: string): string => `/sys/module/symsplice/${what}`;
const usualRoom = backend === 'module' ? readFileSync(ofModule('parameters/flows'), 'utf8') : '';

/** Arguments for a server with room for so many flows; the module's is a parameter of its own, for all. */
function room(flows: number): string[] {
  if (backend === 'packet') return ['--max-flows', String(flows)];
  writeFileSync(ofModule('parameters/flows'), String(flows));
  return [];
}

await withLab(async (lab) => {
  const client = startAgent(lab.cli, 90_000);
  const server = startAgent(lab.srv, 90_000);
  await server.listen({ host: '::', port, mode: 'accept' });
  await server.listen({ host: '::', port: echoPort, mode: 'echo' });

  const started: Proxy[] = [];
  const test = (name: string, body: (t: Test) => Promise<void>) =>
    t.test(name, { timeout: patient(120_000) }, async (child) => {
      try {
        await body(child);
      } finally {
        await Promise.all([client.forget(), server.forget()]);
        // One data plane a host: the next test's proxy must find none.
        for (const proxy of started.splice(0)) await proxy.child.stop();
        await splicectl(lab, ['uninstall']);
        if (backend === 'module') writeFileSync(ofModule('parameters/flows'), usualRoom);
      }
    });

  // Flows that have ended are the module's for as long as it is told, and they count as its own.
  if (backend === 'module') writeFileSync(ofModule('parameters/time_wait_ms'), '1000');

  const start = (...more: string[]): Promise<Proxy> => startFrom(command('splice-socks'), ...more);
  async function startFrom(program: string, ...more: string[]): Promise<Proxy> {
    const proxy = await startProxy(lab, { backend, program, args: [...atOnce, ...more] });
    started.push(proxy);
    return proxy;
  }

  async function open(proxy: Proxy, version: Version): Promise<{ near: ConnectionId; far: ConnectionId }> {
    const near = await client.connect({ host: proxyOf(version), port: proxy.port });
    await client.write(near, Buffer.concat([greeting5(0), request5(serverOf(version), port)]));
    const far = await server.accept(port);
    await readAnswers(client, near);
    return { near, far };
  }

  /** Flows that need no process: each has said a little each way, and is released. */
  async function openReleased(proxy: Proxy, count: number): Promise<{ near: ConnectionId; far: ConnectionId }[]> {
    const flows = [];
    for (let index = 0; index < count; index++) {
      const { near, far } = await open(proxy, index % 2 === 0 ? 4 : 6);
      await client.write(near, Buffer.from('?'));
      await server.read(far, 1);
      await server.write(far, Buffer.from('!'));
      await client.read(near, 1);
      flows.push({ near, far });
    }
    await eventually(
      async () => (await planeOf(lab, proxy)).phases.released,
      (released) => released === count,
      'not every flow is released',
    );
    return flows;
  }

  async function listed(proxy: Proxy): Promise<ListedFlow[]> {
    const { stdout } = await splicectl(lab, ['flows', '--json', '--control', proxy.control]);
    return JSON.parse(stdout.toString()) as ListedFlow[];
  }

  /** What is ours on the devices of the proxy host; or how many flows hold the module. */
  async function left(): Promise<string> {
    if (backend === 'module') return readFileSync(ofModule('refcnt'), 'utf8').trim().replace(/^0$/, '');
    const shown: string[] = [];
    for (const device of ['c', 's']) {
      for (const what of [
        ['qdisc', 'show', 'dev', device],
        ['filter', 'show', 'dev', device, 'ingress'],
        ['filter', 'show', 'dev', device, 'egress'],
      ]) {
        const { stdout } = await lab.prx.exec('tc', what);
        shown.push(
          ...stdout
            .toString()
            .split('\n')
            .filter((line) => /clsact|bpf/.test(line)),
        );
      }
    }
    return shown.join('\n');
  }

  /** What the proxy host has of ours goes with the process that it was for, or a moment later. */
  const untilNothingIsLeft = (): Promise<string> =>
    eventually(left, (shown) => shown === '', 'something of ours is left');

  async function echoes(t: Test, flow: { near: ConnectionId; far: ConnectionId }): Promise<void> {
    await client.write(flow.near, Buffer.from('still?'));
    t.equal((await server.read(flow.far, 6)).length, 6);
    await server.write(flow.far, Buffer.from('there!'));
    t.equal((await client.read(flow.near, 6)).length, 6);
  }

  await test(`SIGKILL in the middle of ${flowsAtOnce} transfers disturbs none; the next process adopts and ends them`, async (t) => {
    const killed = await start();
    const flows = await openReleased(killed, flowsAtOnce);
    // Half of the clients do not read yet: their transfers are not over, however long the others have been at it.
    const stopped = flows.slice(flowsAtOnce / 2);
    await Promise.all(stopped.map(({ near }) => client.pause(near)));
    const received = flows.slice(0, flowsAtOnce / 2).map(({ near }) => client.drain(near));
    let sentWhole = 0;
    const sent = flows.map(({ far }) => server.pour(far, 12_000_000).finally(() => sentWhole++));
    // The proxy says it: the agent is so busy with pouring that its answer would come behind the last byte.
    await eventually(
      () => listed(killed),
      (all) => all.every(({ bytesDown }) => bytesDown > 10_000),
      'not every transfer has begun',
    );
    killed.child.signal('SIGKILL');
    await killed.child.exited;
    t.ok(sentWhole <= flowsAtOnce - stopped.length, `${sentWhole} were over already`);
    received.push(...stopped.map(({ near }) => client.drain(near)));
    const digests = await Promise.all(sent);

    // A server that adopts them and then cannot serve, for its own reasons, must not take them along.
    const nowhere = ['--control', `${lab.directory}/nowhere/control`, '--listen', `${address.proxy4}:1`];
    const failed = await lab.prx.exec(process.execPath, [
      command('splice-socks'),
      '--backend',
      backend,
      '--open',
      ...nowhere,
    ]);
    t.equal(failed.code, 1, 'its control socket is not to be had');
    t.match(failed.stderr, /nowhere/);
    const next = await start();
    const adopted = await listed(next);
    t.equal(adopted.length, flowsAtOnce, 'adopted');
    t.ok(adopted.every((flow) => flow.backend === backend));
    // New flows beside the adopted ones: nobody's source port is taken twice.
    const fresh = await open5(client, next, address.server4, echoPort);
    await client.write(fresh, Buffer.from('new'));
    t.equal((await client.read(fresh, 3)).length, 3);
    await client.reset(fresh);

    await Promise.all(flows.map(({ far }) => server.end(far)));
    t.same(await Promise.all(received), digests);
    await Promise.all(flows.map(({ near }) => client.end(near)));
    for (const ending of await Promise.all(flows.map(({ far }) => server.ending(far)))) t.same(ending, { how: 'end' });
    await eventually(
      async () => (await listed(next)).length,
      (count) => count === 0,
      'adopted flows are still listed',
    );
    t.same(await proxySockets(lab), []);
    next.child.signal('SIGTERM');
    t.equal((await next.child.exited).code, 0);
    await untilNothingIsLeft();
  });

  await test('a server that was told to end leaves its released flows to the kernel; uninstall ends them', async (t) => {
    const proxy = await start('--drain-timeout', '1s');
    const flows = await openReleased(proxy, 4);
    proxy.child.signal('SIGTERM');
    t.equal((await proxy.child.exited).code, 0);
    for (const flow of flows) await echoes(t, flow);
    t.not(await left(), '');
    const { code, stderr } = await splicectl(lab, ['uninstall']);
    t.equal(code, 0, stderr);
    await untilNothingIsLeft();
    for (const { near, far } of flows) {
      t.match(await client.ending(near), { how: 'error' });
      t.match(await server.ending(far), { how: 'error' });
    }
  });

  await test('a drain waits for flows that need the process, and for no others', async (t) => {
    const patience = ['--drain-timeout', '100s'];
    const ended = (proxy: Proxy) =>
      within(proxy.child.exited, 10_000, () => `still runs:\n${proxy.child.transcript()}`);
    const left = async (proxy: Proxy) =>
      (await proxy.waitForLog(({ msg }) => /go on in the kernel without us/.test(String(msg))))['flows'];

    const proxy = await start(...patience, ...room(2));
    const [bulk, quick] = await openReleased(proxy, 2);
    if (bulk === undefined || quick === undefined) throw new Error('unreachable');
    // No place is left for it: it stays with the splice backend, and would end with the process.
    const needy = await open(proxy, 4);
    await echoes(t, needy);
    await client.pause(bulk.near);
    const sent = server.pour(bulk.far, 40_000_000);
    await eventually(
      () => server.taken(bulk.far),
      (bytes) => bytes > 100_000,
      'the download has not begun',
    );

    proxy.child.signal('SIGTERM');
    const waiting = await proxy.waitForLog(({ msg }) => /waiting for flows that need/.test(String(msg)));
    t.match(waiting, { flows: 1, in_the_kernel: 2 });
    await client.end(quick.near);
    t.same(await server.ending(quick.far), { how: 'end' });
    await server.end(quick.far);
    await client.ending(quick.near);
    await echoes(t, needy);
    await client.end(needy.near);
    await server.ending(needy.far);
    await server.end(needy.far);
    t.equal((await ended(proxy)).code, 0);
    t.equal(await left(proxy), 1, 'the download');

    const next = await start(...patience);
    t.equal((await listed(next)).length, 1, 'adopted');
    next.child.signal('SIGTERM');
    t.equal((await ended(next)).code, 0);
    t.equal(await left(next), 1, 'the download still');

    const received = client.drain(bulk.near);
    await client.resume(bulk.near);
    const digest = await sent;
    await server.end(bulk.far);
    t.same(await received, digest);
    await client.end(bulk.near);
    t.same(await server.ending(bulk.far), { how: 'end' });
  });

  await test('peers with keepalive do not make a flow last: it is idle without a byte', async (t) => {
    const proxy = await start('--idle-timeout', '10s');
    const peer = await Peer.start(lab, lab.cli);
    try {
      for (const version of [4, 6] as const) {
        const clientPort = await peer.connect(proxyOf(version), proxy.port);
        await peer.socks(serverOf(version), port);
        const far = await server.accept(port);
        await peer.pump({ send: 1 });
        await server.read(far, 1);
        await untilReleased(lab, proxy, clientPort);
        await peer.keepalive(1);
        const shown = await eventually(
          () => listedFlow(lab, proxy, clientPort),
          (flow) => (flow?.idleMs ?? 0) > 3_000 && (flow?.packet?.segments.up ?? 0) > 3,
          'its keepalives keep it from being idle',
          10_000,
        );
        t.equal(shown?.backend, backend);
        const own = version === 4 ? `${clientOf(4)}:${clientPort}` : `[${clientOf(6)}]:${clientPort}`;
        const line = await proxy.waitForLog((entry) => entry['client'] === own);
        t.match(line, { reason: 'idle', backend });
        t.match(await server.ending(far), { how: 'error', code: 'ECONNRESET' });
      }
    } finally {
      await peer.stop();
    }
  });

  await test('a reset by hand reaches a peer whose latest acknowledgements did not come through', async (t) => {
    const proxy = await start('--idle-timeout', '4s');
    const flows = await openReleased(proxy, 2);
    // Nothing that the client sends fits into this bucket.
    await lab.cli.exec('tc', ['qdisc', 'add', 'dev', 'c', 'root', 'tbf', 'rate', '8bit', 'burst', '10', 'limit', '1']);
    try {
      for (const { near, far } of flows) {
        await server.write(far, Buffer.alloc(1_000, 'unacknowledged'));
        await client.read(near, 1_000);
      }
      for (const { near, far } of flows) {
        t.match(await client.ending(near), { how: 'error', code: 'ECONNRESET' });
        t.match(await server.ending(far), { how: 'error', code: 'ECONNRESET' });
      }
    } finally {
      await lab.cli.exec('tc', ['qdisc', 'del', 'dev', 'c', 'root']);
    }
  });

  await test('quiet flows outlive keepalive, also where segments without timestamps are dropped', async (t) => {
    const pace = (time: number, interval: number, probes: number) =>
      lab.prx.sysctl(
        `net.ipv4.tcp_keepalive_time=${time}`,
        `net.ipv4.tcp_keepalive_intvl=${interval}`,
        `net.ipv4.tcp_keepalive_probes=${probes}`,
      );
    pace(1, 1, 3);
    const hosts = [await DisguisedHost.open(lab, lab.cli, 'c'), await DisguisedHost.open(lab, lab.srv, 's')];
    const atClient = await Forge.open(lab, lab.cli, 'c');
    try {
      for (const host of hosts) await host.wear({ strict: true });
      // The longer a flow is quiet before it goes over, the further relayed timestamps run ahead of the proxy's clock.
      const quiet = ['--packet-after-bytes', '1000000', '--packet-after-time', '3s'];
      const proxy = await startProxy(lab, { backend, args: ['--open', ...quiet] });
      started.push(proxy);
      const flows = await openReleased(proxy, 2);
      // More than a peer that answers none would get.
      for (const [index, version] of [4, 6].entries()) {
        const tuple = {
          source: clientOf(version as Version),
          sourcePort: await client.localPort(flows[index]!.near),
          target: proxyOf(version as Version),
          targetPort: proxy.port,
        };
        await eventually(
          async () => (await atClient.known(tuple)).to,
          ({ keepalives, rst }) => keepalives > 12 || rst > 0,
          'the client is not asked',
        );
      }
      for (const flow of flows) await echoes(t, flow);
      t.equal((await planeOf(lab, proxy)).phases.released, 2);
      // And whoever is gone, is noticed.
      lab.srv.ip('link', 'set', 's', 'down');
      for (const { near } of flows) t.match(await client.ending(near), { how: 'error', code: 'ECONNRESET' });
    } finally {
      lab.srv.ip('link', 'set', 's', 'up');
      lab.srv.ip('-6', 'addr', 'replace', `${address.server6}/64`, 'dev', 's', 'nodad');
      lab.srv.ip('-6', 'route', 'replace', 'default', 'via', address.proxyServerSide6);
      lab.srv.ip('route', 'replace', 'default', 'via', address.proxyServerSide4);
      await Promise.all([...hosts.map((host) => host.stop()), atClient.stop()]);
      pace(7200, 75, 9);
    }
  });

  // Of the module there is one.
  if (backend === 'packet') {
    await test('flows of another build go on beside ours, end when they are idle, and its programs with them', async (t) => {
      const other = await startFrom(makeOtherBuild(lab));
      const flows = await openReleased(other, 4);
      const [busy, ...idle] = flows;
      let quiet = false;
      // From now on: the next server may take its time to start.
      const beating = (async () => {
        while (!quiet) {
          await echoes(t, busy!);
          await sleep(500);
        }
      })();
      other.child.signal('SIGKILL');
      await other.child.exited;
      const proxy = await start('--idle-timeout', '4s');
      t.match(await proxy.waitForLog(({ msg }) => /programs of another version/.test(String(msg))), { flows: 4 });
      await openReleased(proxy, 2);
      const cut = async ({ near, far }: { near: ConnectionId; far: ConnectionId }): Promise<void> => {
        t.match(await client.ending(near), { how: 'error', code: 'ECONNRESET' });
        t.match(await server.ending(far), { how: 'error', code: 'ECONNRESET' });
      };
      await Promise.all(idle.map(cut));
      quiet = true;
      await beating;
      await echoes(t, busy!);
      t.match(await left(), /pref 10 /, 'the programs of the other build');
      await cut(busy!);
      await eventually(left, (shown) => !shown.includes('pref 10 '), 'they are still there');
      t.match(await left(), /pref 11 /, 'ours');
    });
  }

  await test('a full map sends further flows to the splice backend, and says so', async (t) => {
    const proxy = await start(...room(4));
    const flows = await openReleased(proxy, 4);
    const further = [];
    for (let index = 0; index < 4; index++) {
      further.push(await open(proxy, 4));
    }
    for (const flow of [...flows, ...further]) await echoes(t, flow);
    const backends = (await listed(proxy)).map((flow) => flow.backend).sort();
    t.same(backends, [...Array<string>(4).fill(backend), ...Array<string>(4).fill('splice')]);
    t.equal((await planeOf(lab, proxy)).phases.released, 4);
  });

  await test('of a great many connections nothing is left', async (t) => {
    const proxy = await start();
    const swarm = {
      proxyHost: address.proxy4,
      proxyPort: proxy.port,
      targetHost: address.server4,
      targetPort: echoPort,
    };
    t.same(await client.sequence({ ...swarm, count: 200 }), { done: 200, errors: [] });
    const descriptors = proxy.descriptors();
    const many = amount(3_000);
    t.same(await client.sequence({ ...swarm, count: many }), { done: many, errors: [] });
    for (let round = 0; round < 3; round++) {
      t.same(await client.swarm({ ...swarm, flows: many / 10, bytes: 20_000 }), { done: many / 10, errors: [] });
    }
    await eventually(
      async () => {
        const { transit, released } = (await planeOf(lab, proxy)).phases;
        return transit + released + (await proxySockets(lab)).filter((line) => !line.startsWith('TIME-WAIT')).length;
      },
      (count) => count === 0,
      'flows or sockets are left',
    );
    await eventually(
      () => proxy.descriptors(),
      (count) => count <= descriptors + 8,
      `descriptors are not back near ${descriptors}`,
    );
    proxy.child.signal('SIGTERM');
    t.equal((await proxy.child.exited).code, 0);
    await untilNothingIsLeft();
  });
});
