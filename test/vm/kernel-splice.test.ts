// Is this kernel fit for the packet backend, and for the module where that was built for it? Its programs load (the verifier of every kernel judges anew), the handshake
// aligns, and flows of both versions of IP are carried to the byte, through each kind of end. The short set: every kernel.
import { manners, moduleManners, overManners, readAnswers } from '../support/packet-group.js';
import { exchange, pourAndEnd } from '../support/vm/flows.js';

await overManners({ manners: [...manners().slice(0, 1), ...moduleManners()] }, async (group) => {
  const { client, server, open, openUnread, carried, test } = group;

  await test('bulk both ways at once, and an orderly end', async (t) => {
    const flow = await open();
    await exchange(group, t, flow, 4_000_000, 4_000_000);
    t.equal((await carried(t, flow, { young: false }))['reason'], 'end');
  });

  await test('what the client sends unasked and the server says first arrive whole', async (t) => {
    const early = Buffer.alloc(60_000, 'early');
    const flow = await openUnread(early);
    // Longer than the early data takes, so that both are under way at the same time.
    const sending = pourAndEnd(server, flow.far, 300_000);
    t.ok(Buffer.from(await server.read(flow.far, early.length)).equals(early));
    await readAnswers(client, flow.near);
    t.same(await client.drain(flow.near), await sending);
    await client.end(flow.near);
    await carried(t, flow);
  });

  await test('after a half-close the other direction goes on', async (t) => {
    const flow = await open();
    await client.end(flow.near);
    t.same(await server.ending(flow.far), { how: 'end' });
    const [sent, received] = await Promise.all([pourAndEnd(server, flow.far, 3_000_000), client.drain(flow.near)]);
    t.same(received, sent);
    t.equal((await carried(t, flow, { young: false }))['reason'], 'end');
  });

  await test('a reset is a reset on the other side', async (t) => {
    const flow = await open();
    const pouring = server.pour(flow.far, 500_000);
    await client.read(flow.near, 500_000);
    await pouring;
    await server.reset(flow.far);
    t.same(await client.ending(flow.near), { how: 'error', code: 'ECONNRESET' });
    t.match((await carried(t, flow, { young: false }))['reason'], /reset/);
  });
});
