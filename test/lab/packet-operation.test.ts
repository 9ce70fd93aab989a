// The data plane outlives the process: killed in the middle of a hundred transfers, adopted by the next one, taken off
// by hand. A full map, and thousands of connections, of which nothing must be left.
import t, { type Test } from 'tap';
import { startAgent } from '../support/agent-client.js';
import type { ConnectionId } from '../support/agent-api.js';
import { eventually } from '../support/children.js';
import { open5 } from '../support/handshake.js';
import { address } from '../support/lab.js';
import { proxyOf, readAnswers, serverOf, withLab, type Version } from '../support/packet-group.js';
import { planeOf, proxySockets, type ListedFlow } from '../support/packet-state.js';
import { greeting5, request5 } from '../support/socks-bytes.js';
import { command, splicectl, startProxy, type Proxy } from '../support/proxy.js';

const port = 7000;
const echoPort = 7001;
const atOnce = ['--open', '--packet-after-bytes', '0', '--packet-after-time', '0'];
const flowsAtOnce = 100;

await withLab(async (lab) => {
  const client = startAgent(lab.cli, 90_000);
  const server = startAgent(lab.srv, 90_000);
  await server.listen({ host: '::', port, mode: 'accept' });
  await server.listen({ host: '::', port: echoPort, mode: 'echo' });

  const started: Proxy[] = [];
  const test = (name: string, body: (t: Test) => Promise<void>) =>
    t.test(name, { timeout: 120_000 }, async (child) => {
      try {
        await body(child);
      } finally {
        await Promise.all([client.forget(), server.forget()]);
        // One data plane a host: the next test's proxy must find none.
        for (const proxy of started.splice(0)) await proxy.child.stop();
        await splicectl(lab, ['uninstall']);
      }
    });

  async function start(...more: string[]): Promise<Proxy> {
    const proxy = await startProxy(lab, { backend: 'packet', args: [...atOnce, ...more] });
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

  /** What is ours on the devices of the proxy host. */
  async function left(): Promise<string> {
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

  async function echoes(t: Test, flow: { near: ConnectionId; far: ConnectionId }): Promise<void> {
    await client.write(flow.near, Buffer.from('still?'));
    t.equal((await server.read(flow.far, 6)).length, 6);
    await server.write(flow.far, Buffer.from('there!'));
    t.equal((await client.read(flow.near, 6)).length, 6);
  }

  await test('SIGKILL in the middle of 100 transfers disturbs none; the next process adopts and ends them', async (t) => {
    const killed = await start();
    const flows = await openReleased(killed, flowsAtOnce);
    const received = flows.map(({ near }) => client.drain(near));
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
    t.ok(sentWhole < flowsAtOnce / 2, `${sentWhole} were over already`);
    const digests = await Promise.all(sent);

    // A server that adopts them and then cannot serve, for its own reasons, must not take them along.
    const nowhere = ['--control', `${lab.directory}/nowhere/control`, '--listen', `${address.proxy4}:1`];
    const failed = await lab.prx.exec(process.execPath, [
      command('splice-socks'),
      '--backend',
      'packet',
      '--open',
      ...nowhere,
    ]);
    t.equal(failed.code, 1, 'its control socket is not to be had');
    t.match(failed.stderr, /nowhere/);
    const next = await start();
    const adopted = await listed(next);
    t.equal(adopted.length, flowsAtOnce, 'adopted');
    t.ok(adopted.every((flow) => flow.backend === 'packet'));
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
    t.equal(await left(), '');
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
    t.equal(await left(), '');
    for (const { near, far } of flows) {
      t.match(await client.ending(near), { how: 'error' });
      t.match(await server.ending(far), { how: 'error' });
    }
  });

  await test('a full map sends further flows to the splice backend, and says so', async (t) => {
    const proxy = await start('--max-flows', '4');
    const flows = await openReleased(proxy, 4);
    const further = [];
    for (let index = 0; index < 4; index++) {
      further.push(await open(proxy, 4));
    }
    for (const flow of [...flows, ...further]) await echoes(t, flow);
    const backends = (await listed(proxy)).map((flow) => flow.backend).sort();
    t.same(backends, [...Array<string>(4).fill('packet'), ...Array<string>(4).fill('splice')]);
    t.equal((await planeOf(lab, proxy)).phases.released, 4);
  });

  await test('of thousands of connections nothing is left', async (t) => {
    const proxy = await start();
    const swarm = {
      proxyHost: address.proxy4,
      proxyPort: proxy.port,
      targetHost: address.server4,
      targetPort: echoPort,
    };
    t.same(await client.sequence({ ...swarm, count: 200 }), { done: 200, errors: [] });
    const descriptors = proxy.descriptors();
    t.same(await client.sequence({ ...swarm, count: 3_000 }), { done: 3_000, errors: [] });
    for (let round = 0; round < 3; round++) {
      t.same(await client.swarm({ ...swarm, flows: 300, bytes: 20_000 }), { done: 300, errors: [] });
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
    t.equal(await left(), '');
  });
});
