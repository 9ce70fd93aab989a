// Is this kernel fit for the packet backend: its programs load, flows of both versions of IP are carried to the byte.
import { overManners } from '../support/packet-group.js';

await overManners({}, async ({ client, server, open, carried, test }) => {
  await test('2 MB in each direction, at once, and an orderly end', async (t) => {
    const flow = await open();
    const sending = [client.pour(flow.near, 2_000_000), server.pour(flow.far, 2_000_000)].map(
      async (pouring, index) => {
        const digest = await pouring;
        await (index === 0 ? client.end(flow.near) : server.end(flow.far));
        return digest;
      },
    );
    const [atClient, atServer] = await Promise.all([client.drain(flow.near), server.drain(flow.far)]);
    t.same([atServer, atClient], await Promise.all(sending));
    const line = await carried(t, flow, { young: false });
    t.equal(line['reason'], 'end');
  });
});
