// The fourteen surprises that the prototypes met (S1 to S14), each provoked here by its name. Most need a direction that
// stays slow while the other is fast: a reader that does not read keeps the local socket's queue full.
import t, { type Test } from 'tap';
import { amount } from '../support/amount.js';
import { eventually, patient } from '../support/children.js';
import { plus } from '../support/forge.js';
import { kernelManners, withLab, type Version } from '../support/packet-group.js';
import { PeerBed, setSegments, type PeerFlow } from '../support/packet-peers.js';
import {
  countersDuring,
  kernelCount,
  listedFlow,
  planeOf,
  proxySockets,
  untilReleased,
} from '../support/packet-state.js';

const versions: readonly Version[] = [4, 6];
const whole = { wrong: -1, ended: 'no' };

await withLab(async (lab) => {
  // A flow that is installed in its middle has a queue behind it, which one that is installed at once never has.
  const manner = kernelManners().find(({ always }) => !always)!;
  const { backend } = manner;
  // BPF turns each direction by itself. The module pumps both until it can turn both at once.
  const oneByOne = backend === 'packet';
  /** What the log says of a flow that proves something here. */
  const carried = { backend, reason: 'end' };
  // The time is long enough for a busy machine to fill a queue first.
  const bed = await PeerBed.open(lab, manner, ['--packet-after-time', '3s']);
  const { client, server, proxy } = bed;
  const test = (name: string, body: (t: Test) => Promise<void>) => t.test(name, { timeout: patient(100_000) }, body);

  const stuckBytes = 3_000_000;
  // Far beyond any window.
  const long = amount(30_000_000, 10_000_000);

  /** A flow whose one reader will have no room: what the other side sends is stuck in the local socket. */
  async function openNarrow(version: Version, slow: 'up' | 'down'): Promise<PeerFlow> {
    const narrow = { rcvbuf: 4_096 };
    await bed.listen(slow === 'up' ? narrow : {});
    return bed.open(version, slow === 'down' ? narrow : {});
  }

  async function untilInstalled({ clientPort }: PeerFlow): Promise<void> {
    await eventually(
      async () => (await listedFlow(lab, proxy, clientPort))?.packet?.phase,
      (phase) => phase === 'transit',
      `the flow from port ${clientPort} is not in transit`,
    );
  }

  /** Waits until one way is stuck in the local socket while the other goes by packets, where that can be. */
  async function untilOneWay(flow: PeerFlow, slow: 'up' | 'down'): Promise<void> {
    const other = slow === 'up' ? 'down' : 'up';
    const meant = `${slow} slow, ${other} ${oneByOne ? 'fast' : 'slow'}`;
    const ways = async (): Promise<string> => {
      const told = (await listedFlow(lab, proxy, flow.clientPort))?.packet?.ways;
      return told === undefined ? 'nothing' : `${slow} ${told[slow]}, ${other} ${told[other]}`;
    };
    await eventually(ways, (seen) => seen === meant, 'the ways are not as they should be');
  }

  await test('S1: a local socket whose acknowledgements are stale is still believed', async (t) => {
    for (const version of versions) {
      let opened: PeerFlow | undefined;
      const raised = await countersDuring(lab, proxy, async () => {
        // Now: a flow that is quiet for a while is released with empty queues.
        const flow = (opened = await openNarrow(version, 'down'));
        // Down: more than all buffers, unread. Up: far beyond the window, past the local socket.
        const far = server.pump({ send: stuckBytes, receive: long });
        await untilInstalled(flow);
        t.match(await client.pump({ send: long }), whole);
        await untilOneWay(flow, 'down');
        t.match(await client.pump({ receive: stuckBytes }), whole);
        t.match(await far, whole);
      });
      t.ok(raised(oneByOne ? 'guard-ack-raised' : 'pumped') > 0, 'there were stale ones, or the pump did it');
      if (opened !== undefined) await bed.close(opened);
    }
  });

  await test('S2: acknowledgements of a local socket count although their sequence number is stale', async (t) => {
    for (const version of versions) {
      let opened: PeerFlow | undefined;
      const raised = await countersDuring(lab, proxy, async () => {
        // Now: a flow that is quiet for a while is released with empty queues.
        const flow = (opened = await openNarrow(version, 'up'));
        const near = client.pump({ send: stuckBytes, receive: long });
        await untilInstalled(flow);
        t.match(await server.pump({ send: long }), whole);
        await untilOneWay(flow, 'up');
        t.match(await server.pump({ receive: stuckBytes }), whole);
        t.match(await near, whole);
      });
      t.ok(raised(oneByOne ? 'guard-seq-raised' : 'pumped') > 0, 'there were stale ones, or the pump did it');
      if (opened !== undefined) await bed.close(opened);
    }
  });

  // What a pump carries has no cut, and a flow of the module has no cut before its release.
  if (oneByOne) {
    await test('S3: a flow that cannot be released carries more than 4 GiB past its cut', async (t) => {
      setSegments(lab, 65_535);
      try {
        const flow = await openNarrow(4, 'down');
        const much = 4_600_000_000;
        const far = server.pump({ send: stuckBytes, receive: much });
        await untilInstalled(flow);
        t.match(await client.pump({ send: much }), whole);
        await untilOneWay(flow, 'down');
        t.match(await client.pump({ receive: stuckBytes }), whole);
        t.match(await far, whole);
        await bed.close(flow);
      } finally {
        setSegments(lab, 1);
      }
    });
  }

  await bed.listen();
  await test('S4: a receiver with less room than the local socket had promised loses nothing for good', async (t) => {
    const waits = await countersDuring(lab, proxy, async () => {
      for (const version of versions) {
        for (const rcvbuf of [4_096, 20_000, 100_000]) {
          for (let round = 0; round < amount(3); round++) {
            const flow = await bed.open(version, { rcvbuf });
            await bed.exchange(t, 100_000, 2_000_000);
            const line = await bed.close(flow);
            t.match(line, carried, JSON.stringify(line));
          }
        }
      }
    });
    t.ok(waits(oneByOne ? 'wait-room' : 'pumped') > 0, 'cuts waited for room, or the pump for a reader');
  });

  await test('S5: a stopped reader on the fast way is probed through, while the other way is slow', async (t) => {
    // Stuck in the local socket, but no more than the buffers take: the server reads only when it has sent all.
    const stuck = 200_000;
    for (const version of versions) {
      let opened: PeerFlow | undefined;
      const probes = await countersDuring(lab, proxy, async () => {
        // Now: a flow that is quiet for a while is released with empty queues.
        const flow = (opened = await openNarrow(version, 'down'));
        const down = server.pump({ send: stuck, receive: 1_000_000 });
        await untilInstalled(flow);
        // Nobody reads on either side: down is stuck in the local socket, up in the server.
        const up = client.pump({ send: long });
        await untilOneWay(flow, 'down');
        await eventually(
          async () => (await bed.seen(flow)).server.zeroWindows,
          (count) => count > 0,
          'the window of the server is not closed',
        );
        // Long enough for probes, each of which must be answered: unanswered ones end the connection in the end.
        const before = await bed.seen(flow);
        await eventually(
          async () => (await bed.seen(flow)).toClient.segments - before.toClient.segments,
          (answers) => answers >= 3,
          'probes are not answered',
        );
        const far = down.then(() => server.pump({ receive: long - 1_000_000 }));
        t.match(await up, whole);
        t.match(await client.pump({ receive: stuck }), whole);
        t.match(await far, whole);
      });
      t.ok(probes(oneByOne ? 'relayed-transit' : 'pumped') > 0, 'in transit all the time');
      if (opened !== undefined) await bed.close(opened);
    }
  });

  await test('S6: FINs that took different paths complete', async (t) => {
    for (const version of versions) {
      for (const slow of ['down', 'up'] as const) {
        const flow = await openNarrow(version, slow);
        const [stuck, reader, free, other] =
          slow === 'down' ? [server, client, client, server] : [client, server, server, client];
        // The slow way ends by the pump's shutdown(), the fast way by a relayed FIN.
        const ended = stuck.pump({ send: stuckBytes, receive: 5_000_000 });
        await untilInstalled(flow);
        t.match(await free.pump({ send: 5_000_000 }), whole);
        await untilOneWay(flow, slow);
        await free.fin();
        const read = reader.pump({ receive: stuckBytes });
        t.match(await ended, whole);
        await stuck.fin();
        t.match(await read, whole);
        for (const end of [reader, other]) t.match(await end.drain(), { ended: 'fin' });
        const line = await bed.logged(flow);
        t.match(line, carried);
      }
    }
    await eventually(
      () => proxySockets(lab),
      (sockets) => sockets.length === 0,
      'sockets are left on the proxy host',
    );
  });

  await bed.listen();
  await test('S7: what a local socket has acknowledged selectively is never taken back', async (t) => {
    const reneging = async (): Promise<number> =>
      (await kernelCount(lab.cli, 'TcpExtTCPSACKReneging')) + (await kernelCount(lab.srv, 'TcpExtTCPSACKReneging'));
    const before = await reneging();
    const rounds = amount(20);
    let taken = 0;
    for (let round = 0; round < rounds; round++) {
      await bed.wires.set({ loss: 0.01, hold: 0.03 }, { seed: round });
      const flow = await bed.open(round % 2 === 0 ? 4 : 6);
      await bed.exchange(t, 300_000);
      const line = await bed.close(flow);
      t.match(line, { reason: 'end' });
      if (line['backend'] === backend) taken++;
    }
    await bed.wires.set({});
    // One that lost nothing may be over before its sockets were ever at rest, on a busy machine.
    t.ok(taken > rounds / 2, `${taken} of ${rounds} were taken over`);
    t.equal((await reneging()) - before, 0);
  });

  /** How far relayed timestamps are from those that the peers sent, both ways; when nothing is under way between the two looks. */
  async function shifts(t: Test, flow: PeerFlow): Promise<string> {
    let before = '';
    const look = async (): Promise<string> => {
      await bed.exchange(t, 1);
      const { client, toServer, server, toClient } = await bed.seen(flow);
      const seen = `up ${plus(toServer.tsval, -client.tsval)}, down ${plus(toClient.tsval, -server.tsval)}`;
      const twice = seen === before;
      before = seen;
      return twice ? seen : '';
    };
    return eventually(look, (seen) => seen !== '', 'the clocks are never the same twice');
  }

  await test('S8: the clock of a released flow never jumps', async (t) => {
    const old = async (): Promise<number> =>
      (await kernelCount(lab.cli, 'TcpExtPAWSEstab')) + (await kernelCount(lab.srv, 'TcpExtPAWSEstab'));
    for (const version of versions) {
      const flow = await bed.open(version);
      await bed.exchange(t, 300_000);
      await untilReleased(lab, proxy, flow.clientPort);
      const [before, first] = [await old(), await shifts(t, flow)];
      for (let round = 0; round < 3; round++) {
        await bed.exchange(t, 500_000);
        await new Promise((resolve) => setTimeout(resolve, 300));
        t.equal(await shifts(t, flow), first, 'the shift of timestamps');
      }
      // An emulated processor that stands still for milliseconds is overtaken by the other one: there old acknowledgements
      // are refused whoever relays, by packet as by the module.
      if (process.env['SYMSPLICE_VM_MODULE'] === undefined) {
        t.equal((await old()) - before, 0, 'segments refused for their timestamps');
      }
      await bed.close(flow);
    }
  });

  await test('S9: the same four-tuple is used again at once', async (t) => {
    for (const version of versions) {
      let port: number | undefined;
      let taken = 0;
      for (let round = 0; round < 10; round++) {
        const flow: PeerFlow = await bed.open(version, port === undefined ? {} : { port });
        port = flow.clientPort;
        await bed.exchange(t, 100_000);
        // The server ends first, so that the client's side has no TIME_WAIT of its own.
        await server.fin();
        t.match(await client.drain(), { ended: 'fin' });
        await client.fin();
        t.match(await server.drain(), { ended: 'fin' });
        const { from } = await bed.atClient.known(flow.client);
        const line = await bed.logged(flow);
        t.match(line, { reason: 'end' });
        if (line['backend'] === backend) taken++;
        // The first SYN may meet a local socket on its last milliseconds, whose challenge makes Linux try again at once.
        t.ok(from.syn <= 2, `round ${round}: ${from.syn} SYNs`);
      }
      // On a busy machine one may be over before its sockets were ever at rest.
      t.ok(taken >= 8, `${taken} of 10 were taken over`);
    }
  });

  await test('S10: no segment to a released flow makes the proxy host answer', async (t) => {
    for (const version of versions) {
      const flow = await bed.open(version);
      await bed.exchange(t, 100_000);
      await untilReleased(lab, proxy, flow.clientPort);
      const before = await bed.seen(flow);
      const { client: own, toClient } = before;
      const sane = {
        seq: own.end,
        ack: toClient.end,
        tsval: plus(own.tsval, 1),
        tsecr: toClient.tsval,
        window: own.window,
      };
      for (const distance of [0, -1, 1, -50_000, 50_000, 2 ** 31, -(2 ** 31 - 5)]) {
        for (const flags of ['A', 'S', 'SA', 'FA', 'R', 'RA', 'PA', '', 'FSRPAU']) {
          if (distance === 0 && /[RF]/.test(flags)) continue;
          await bed.atClient.send(flow.client, { ...sane, flags, seq: plus(own.end, distance) });
        }
      }
      for (const more of [{ options: true }, { fragment: 24 }, { bad: true }, { ttl: 1 }]) {
        await bed.atClient.send(flow.client, { ...sane, flags: 'PA', seq: plus(own.end, -64), data: 64, ...more });
      }
      // The end hosts challenge what is wrong; the proxy's own stack, which knows no such connection, stays out of it.
      await bed.exchange(t, 300_000);
      const after = await bed.seen(flow);
      t.equal(after.toClient.rst - before.toClient.rst, 0, 'no reset to the client');
      t.equal((await listedFlow(lab, proxy, flow.clientPort))?.packet?.phase, 'released');
      t.same(await proxySockets(lab), []);
      await bed.close(flow);
    }
  });

  await test('S11: the reply of the handshake is acknowledged and a quiet flow released', async (t) => {
    for (const version of versions) {
      const flow = await bed.open(version);
      await bed.exchange(t, 1);
      await untilReleased(lab, proxy, flow.clientPort);
      await eventually(
        () => proxySockets(lab),
        (sockets) => sockets.length === 0,
        'a released flow has a socket',
      );
      t.match((await listedFlow(lab, proxy, flow.clientPort))?.sides, { client: 'SPLICED', server: 'SPLICED' });
      const { client: own, toClient } = await bed.seen(flow);
      t.equal(own.rst + toClient.rst + own.fin + toClient.fin, 0, 'closing the sockets said nothing');
      await bed.exchange(t, 100_000);
      await bed.close(flow);
    }
  });

  await test('S12: flows that end before their release leave nothing', async (t) => {
    const descriptors = proxy.descriptors();
    const bytes = 70_000;
    for (let round = 0; round < amount(60, 4); round++) {
      const flow = await bed.open(round % 2 === 0 ? 4 : 6);
      const [near] = await Promise.all([
        client.pump({ send: bytes, receive: bytes }),
        server.pump({ send: bytes, receive: bytes }),
      ]);
      t.match(near, whole);
      const [first, second] = round % 4 < 2 ? [client, server] : [server, client];
      await first.fin();
      t.match(await second.drain(), { ended: 'fin' });
      await second.fin();
      t.match(await first.drain(), { ended: 'fin' });
      t.match(await bed.logged(flow), { reason: 'end' });
    }
    await eventually(
      async () => (await proxySockets(lab)).length + Math.max(0, proxy.descriptors() - descriptors),
      (left) => left === 0,
      'sockets or descriptors are left',
    );
    const { phases } = await planeOf(lab, proxy);
    t.match(phases, { transit: 0, released: 0 });
  });

  await test('S13: a reset on the slow way ends the other side, whatever is stuck', async (t) => {
    for (const version of versions) {
      for (const slow of ['down', 'up'] as const) {
        const flow = await openNarrow(version, slow);
        const [stuck, resetter] = slow === 'down' ? [server, client] : [client, server];
        const stuckEnd = stuck.pump({ send: stuckBytes, receive: 1_000_000 });
        await untilInstalled(flow);
        t.match(await resetter.pump({ send: 1_000_000 }), whole);
        await resetter.reset();
        const seen = await stuckEnd;
        t.equal(seen.ended === 'no' ? (await stuck.drain()).ended : seen.ended, 'reset');
        t.match((await bed.logged(flow))['reason'], /reset/);
      }
    }
    await eventually(
      () => proxySockets(lab),
      (sockets) => sockets.length === 0,
      'sockets are left on the proxy host',
    );
  });

  await bed.listen();
  await test('S14: a leg with a smaller MTU, either one', async (t) => {
    for (const small of ['c', 's'] as const) {
      const end = small === 'c' ? lab.cli : lab.srv;
      for (const host of [end, lab.prx]) host.ip('link', 'set', 'dev', small, 'mtu', '1400');
      for (const version of versions) {
        const flow = await bed.open(version);
        const told = await countersDuring(lab, proxy, async () => {
          await bed.exchange(t, 2_000_000);
          // The relay may have carried most of it, in segments of its own; from here on they are the client's.
          await untilReleased(lab, proxy, flow.clientPort);
          await bed.exchange(t, 2_000_000);
        });
        // The client had its answer before anybody knew of the server's MTU, and must be told.
        if (small === 's') t.ok(told('too-big') > 0, 'packet too big');
        const { toClient, toServer } = await bed.seen(flow);
        const { biggest } = small === 'c' ? toClient : toServer;
        t.ok(biggest > 1_000 && biggest <= 1_400 - (version === 4 ? 40 : 60), `${biggest}`);
        const line = await bed.close(flow);
        t.equal(line['backend'], backend, JSON.stringify(line));
      }
      for (const host of [end, lab.prx]) host.ip('link', 'set', 'dev', small, 'mtu', '1500');
    }
  });

  await test('afterwards the proxy runs and complained of nothing', async (t) => {
    t.ok(proxy.child.running, proxy.child.transcript());
    t.same(
      proxy.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal'),
      [],
    );
    await bed.wires.close();
    await bed.stop();
  });
});
