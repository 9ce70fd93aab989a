// The wires that netem can make and a program at tc cannot: real delay with jitter, reordering by it, loss in bursts,
// duplication, and both at once, over each leg or one. Whoever relays, the same bytes arrive. Packet is spliced at once, so
// that the whole of a flow meets the wire relayed; splice, because its sockets see the same wire from both sides.
import { manners, moduleManners, overManners, type Manner } from '../support/packet-group.js';
import { exchange } from '../support/vm/flows.js';
import { Wires, type Netem } from '../support/vm/link.js';

const wires: readonly { name: string; client: Netem; server: Netem; bytes: number; loses: boolean }[] = [
  {
    name: '20 ms and 1 % loss on both legs',
    client: 'delay 10ms loss 1%',
    server: 'delay 10ms loss 1%',
    bytes: 400_000,
    loses: true,
  },
  {
    name: 'reordering: a quarter overtakes the rest by 10 ms',
    client: 'delay 10ms reorder 25% 50%',
    server: '',
    bytes: 600_000,
    loses: false,
  },
  {
    name: 'jitter that reorders on the server leg',
    client: '',
    server: 'delay 8ms 6ms',
    bytes: 600_000,
    loses: false,
  },
  { name: 'duplication', client: 'duplicate 5%', server: 'delay 2ms duplicate 5%', bytes: 600_000, loses: false },
  {
    name: 'loss in bursts',
    client: 'delay 5ms loss gemodel 1% 30% 70% 0.1%',
    server: 'delay 5ms',
    bytes: 400_000,
    loses: true,
  },
  { name: 'corruption', client: 'corrupt 0.5%', server: 'delay 2ms corrupt 0.5%', bytes: 400_000, loses: false },
  {
    name: 'everything',
    client: 'delay 5ms 3ms loss 0.5% duplicate 1% corrupt 0.2%',
    server: 'delay 10ms 5ms loss 0.5% duplicate 1%',
    bytes: 400_000,
    loses: true,
  },
];

const splice: Manner = { title: 'splice', backend: 'splice', args: [], always: true };
const [atOnce] = manners();

await overManners(
  { manners: [...(atOnce === undefined ? [] : [atOnce]), ...moduleManners(), splice] },
  async (group) => {
    const { lab, open, carried, test } = group;
    // The relay by sockets does not know which version of IP it carries.
    if (group.manner === splice && group.version === 6) return;
    const links = new Wires(lab);
    // Neither the wires nor what relays look at an IP header for anything but the way and the length; and what sockets do
    // with a wire is the kernel's own. There the last wire, which does all at once, is enough.
    const some = group.version === 6 || group.manner === splice ? wires.slice(-1) : wires;
    for (const { name, client, server, bytes, loses } of some) {
      await test(name, async (t) => {
        links.set('c', client);
        links.set('s', server);
        try {
          const flow = await open();
          await exchange(group, t, flow, bytes, bytes);
          t.equal((await carried(t, flow, { young: false }))['reason'], 'end');
          if (loses) t.ok(links.dropped() > 0, 'the wires have lost segments');
        } finally {
          links.set('c', '');
          links.set('s', '');
        }
      });
    }
  },
);
