// Peers that are not like the proxy's own TCP: without timestamps, SACK or scaling, with small segments, with ECN on one
// leg, with numbers that wrap, with options elsewhere. Bulk both ways at once, on a good wire and on a bad one.
import t, { type Test } from 'tap';
import { patient } from '../support/children.js';
import { manners, withLab, type Manner, type Version } from '../support/packet-group.js';
import { PeerBed } from '../support/packet-peers.js';
import type { Backend, LogLine } from '../support/proxy.js';
import { DisguisedHost, setHabits, type Disguise, type Habits } from '../support/peer-host.js';

const versions: readonly Version[] = [4, 6];
const bytes = 2_000_000;

const habits: readonly (readonly [string, Habits])[] = [
  ['without timestamps', { timestamps: false }],
  ['without SACK', { sack: false }],
  ['without window scaling', { scaling: false }],
  ['with MSS 536', { mss: 536 }],
  ['with nothing of all that', { timestamps: false, sack: false, scaling: false, mss: 536 }],
];

/** Why flows between such peers cannot be carried by packet, if they cannot. */
function refusal(own: Habits, who: 'client' | 'server' | 'both', version: Version): RegExp | undefined {
  // The client's leg has timestamps, the server took them from us: two kinds of segments.
  if (who === 'server' && own.timestamps === false) return /timestamps/;
  // No packet-too-big may ask for less than 1280 bytes, and the client was told our MSS before the server's was known.
  // (A client's small MSS is refused alike, although our SYN passes it on.)
  return version === 6 && own.mss !== undefined ? /segments/ : undefined;
}

const inKernel = ({ backend }: Manner): boolean => backend === 'packet' || backend === 'module';

function expectCarrier(t: Test, line: LogLine, backend: Backend, refused: RegExp | undefined): void {
  t.equal(line['backend'], refused === undefined ? backend : 'splice', JSON.stringify(line));
  if (refused !== undefined) t.match(line['refused'], refused);
}

await withLab(async (lab) => {
  for (const manner of manners()) {
    const bed = await PeerBed.open(lab, manner);
    const test = (name: string, body: (t: Test) => Promise<void>) =>
      t.test(`${manner.title}: ${name}`, { timeout: patient(100_000) }, body);

    for (const [name, own] of habits) {
      for (const who of ['client', 'server', 'both'] as const) {
        await test(`${who} ${name}`, async (t) => {
          const undo = [
            ...(who === 'server' ? [] : [setHabits(lab.cli, 'c', own)]),
            ...(who === 'client' ? [] : [setHabits(lab.srv, 's', own)]),
          ];
          for (const version of versions) {
            const flow = await bed.open(version);
            await bed.exchange(t, bytes);
            await bed.wires.set({ loss: 0.005, hold: 0.01 });
            await bed.exchange(t, bytes / 4);
            await bed.wires.set({});
            const { client, toServer, toClient } = await bed.seen(flow);
            if (inKernel(manner) && who !== 'server') {
              // The SYN to the server offers no more than the client's leg has.
              if (own.timestamps === false) t.notOk(toServer.timestamps, 'no timestamps towards the server');
              if (own.sack === false) t.notOk(toServer.sackPermitted, 'no SACK towards the server');
              if (own.scaling === false) t.equal(toServer.scale, -1, 'no scaling towards the server');
            }
            if (own.mss !== undefined && who !== 'server') t.ok(toClient.biggest <= 536, `${toClient.biggest}`);
            t.ok(client.segments > 0);
            const line = await bed.close(flow);
            if (inKernel(manner)) expectCarrier(t, line, manner.backend, refusal(own, who, version));
          }
          for (const back of undo) back();
        });
      }
    }

    for (const timestamps of [true, false]) {
      await test(`SACK with ${timestamps ? '1 to 3' : '1 to 4'} blocks goes through both mappings`, async (t) => {
        const undo = [setHabits(lab.cli, 'c', { timestamps }), setHabits(lab.srv, 's', { timestamps })];
        for (const version of versions) {
          const flow = await bed.open(version);
          await bed.exchange(t, 100_000);
          await bed.wires.set({ loss: 0.02, hold: 0.05 }, { seed: version });
          await bed.exchange(t, bytes);
          await bed.wires.set({});
          const seen = await bed.seen(flow);
          const most = timestamps ? 3 : 4;
          t.equal(Math.max(seen.client.sackBlocks, seen.server.sackBlocks), most, 'sent');
          if (inKernel(manner)) {
            t.equal(Math.max(seen.toClient.sackBlocks, seen.toServer.sackBlocks), most, 'relayed');
          }
          await bed.close(flow);
        }
        for (const back of undo) back();
      });
    }

    await test('ECN on the client leg only, on the server leg only, and on both', async (t) => {
      for (const [client, server] of [
        [true, false],
        [false, true],
        [true, true],
      ] as const) {
        const undo = [setHabits(lab.cli, 'c', { ecn: client }), setHabits(lab.srv, 's', {})];
        // The proxy host asks its servers, or does not.
        lab.prx.sysctl(`net.ipv4.tcp_ecn=${server ? 1 : 2}`);
        for (const version of versions) {
          const flow = await bed.open(version);
          await bed.exchange(t, 200_000);
          await bed.wires.set({ congest: 0.01 });
          await bed.exchange(t, bytes);
          await bed.wires.set({});
          const seen = await bed.seen(flow);
          t.equal(seen.client.ect > 0, client, 'the client leg');
          t.equal(seen.server.ect > 0, server, 'the server leg');
          // A leg that did not negotiate it must see nothing of it.
          if (!client) t.match(seen.toClient, { ect: 0, ce: 0, ece: 0 });
          if (!server) t.match(seen.toServer, { ect: 0, ce: 0, ece: 0 });
          const line = await bed.close(flow);
          t.equal(line['backend'], manner.backend, JSON.stringify(line));
        }
        lab.prx.sysctl('net.ipv4.tcp_ecn=2');
        for (const back of undo) back();
      }
    });

    const disguises = [await DisguisedHost.open(lab, lab.cli, 'c'), await DisguisedHost.open(lab, lab.srv, 's')];
    for (const [name, worn] of [
      ['sequence numbers wrap in the middle of a transfer', { sequence: 2 ** 32 - 1_000_000 }],
      ['sequence numbers pass 2^31', { sequence: 2 ** 31 - 1_000_000 }],
      ['timestamps wrap in the middle of a transfer', { clock: 2 ** 32 - 100 }],
      ['timestamps stand before the NOPs', { order: 'first' }],
      ['timestamps stand at an odd offset', { order: 'middle' }],
    ] as const satisfies readonly (readonly [string, Disguise])[]) {
      await test(name, async (t) => {
        for (const who of [[disguises[0]], [disguises[1]], disguises]) {
          for (const disguise of who) await disguise?.wear(worn);
          for (const version of versions) {
            const flow = await bed.open(version);
            for (let part = 0; part < 4; part++) {
              await bed.wires.set(part === 3 ? { loss: 0.005, hold: 0.01 } : {});
              await bed.exchange(t, bytes / 4);
              // A clock that wraps within 100 ms of the SYN has wrapped by the last part.
              await new Promise((resolve) => setTimeout(resolve, 30));
            }
            await bed.wires.set({});
            const line = await bed.close(flow);
            t.equal(line['backend'], manner.backend, JSON.stringify(line));
          }
          for (const disguise of disguises) await disguise.wear({});
        }
      });
    }
    for (const disguise of disguises) await disguise.stop();

    // A relay by read and write has no place for it.
    if (inKernel(manner)) {
      await test('urgent data stays where it is, from the first byte on', async (t) => {
        for (const version of versions) {
          // What a young flow's pump reads and writes has no urgent place yet.
          for (const bulk of manner.always ? [0, 300_000] : [300_000]) {
            const flow = await bed.open(version);
            await bed.exchange(t, bulk);
            for (let round = 0; round < 20; round++) {
              await bed.client.pump({ send: 1_000 });
              await bed.client.urgent();
              await bed.server.urgent();
              const far = await bed.server.pump({ receive: 1_001, send: 1_000 });
              const near = await bed.client.pump({ receive: 1_001 });
              for (const end of [near, far]) t.match(end, { wrong: -1, ended: 'no' });
              if (near.ended !== 'no' || far.ended !== 'no') return;
            }
            await bed.exchange(t, 300_000);
            const seen = await bed.seen(flow);
            t.ok(seen.toServer.urgent > 0 && seen.toClient.urgent > 0, 'relayed as urgent');
            await bed.close(flow);
          }
        }
      });
    }

    await test('nothing but keepalives: both ends hear each other', async (t) => {
      for (const version of versions) {
        const flow = await bed.open(version);
        await bed.exchange(t, 300_000);
        await Promise.all([bed.client.keepalive(1), bed.server.keepalive(1)]);
        const before = await bed.seen(flow);
        await new Promise((resolve) => setTimeout(resolve, 3_500));
        const after = await bed.seen(flow);
        t.ok(after.client.keepalives - before.client.keepalives >= 2, 'sent by the client');
        t.ok(after.toClient.segments - before.toClient.segments >= 2, 'answered');
        t.equal(after.toClient.rst + after.toServer.rst, 0);
        await bed.exchange(t, 1_000);
        await bed.close(flow);
      }
    });

    await test('a small receive buffer that nobody reads: zero window, probes, and on', async (t) => {
      for (const version of versions) {
        const flow = await bed.open(version, { rcvbuf: 8_192 });
        await bed.exchange(t, 300_000);
        // The server sends on until nothing moves; the client does not read.
        const sending = bed.server.pump({ send: 30_000_000 });
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        // The proxy's larger scale rounds what little the client still offers to nothing.
        const { client, toServer } = await bed.seen(flow);
        t.ok(client.zeroWindows + toServer.zeroWindows > 0, 'the window is closed');
        t.match(await bed.client.pump({ receive: 30_000_000 }), { wrong: -1, ended: 'no' });
        t.match(await sending, { ended: 'no' });
        await bed.exchange(t, 1_000);
        await bed.close(flow);
      }
    });

    await test('afterwards the proxy runs and complained of nothing', async (t) => {
      t.ok(bed.proxy.child.running, bed.proxy.child.transcript());
      t.same(
        bed.proxy.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal'),
        [],
      );
      await bed.wires.close();
      await bed.stop();
    });
  }
});
