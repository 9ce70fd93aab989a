/**
 * A relay on the proxy host whose flows begin as Node streams and are spliced in the middle: by lines (LineTool).
 *
 *   packet-middle.js ENGINE-OPTIONS-AS-JSON
 *
 *   relay PORT HOST TARGET-PORT BYTES   copies to the target until BYTES have passed, both directions together
 *   flows                               what became of all flows so far
 *   close                               closes the engine
 */
import net from 'node:net';
import { createInterface } from 'node:readline';
import { SpliceEngine, type Flow } from 'symsplice';
import type { MiddleFlow } from './packet-middle-api.js';

const engine = await SpliceEngine.open(JSON.parse(process.argv[2] ?? '{}') as Parameters<typeof SpliceEngine.open>[0]);
const flows: { -readonly [Key in keyof MiddleFlow]: MiddleFlow[Key] }[] = [];

function relay(port: number, host: string, targetPort: number, bytes: number): void {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = new net.Socket({ allowHalfOpen: true });
    upstream.setNoDelay(true);
    const told: (typeof flows)[number] = {
      clientPort: client.remotePort ?? 0,
      copied: 0,
      backend: 'none',
      refusals: [],
    };
    flows.push(told);
    const fail = (error: Error): void => {
      told.failed ??= error.message;
      client.destroy();
      upstream.destroy();
    };
    client.on('error', fail);
    upstream.on('error', fail);
    engine.intendSplice(client, upstream);
    upstream.connect({ host, port: targetPort }, () => {
      const stops = [copy(client, upstream), copy(upstream, client)];
      if (bytes === 0) hand();
      function hand(): void {
        for (const stop of stops) stop();
        engine.splice(client, upstream).then((flow) => watch(flow), fail);
      }
      function watch(flow: Flow): void {
        flow.closed.then((closed) => {
          told.backend = flow.backend;
          told.refusals = flow.refusals.map(({ backend, reason }) => `${backend}: ${reason}`);
          told.reason = closed.reason;
          told.bytes = closed.bytesUp + closed.bytesDown;
        }, fail);
      }
      function copy(from: net.Socket, to: net.Socket): () => void {
        const more = (): void => void from.resume();
        const data = (chunk: Buffer): void => {
          told.copied += chunk.length;
          if (!to.write(chunk)) from.pause();
          if (told.copied >= bytes) hand();
        };
        const end = (): void => void to.end();
        from.on('data', data);
        from.on('end', end);
        to.on('drain', more);
        from.resume();
        return () => {
          from.pause();
          from.off('data', data);
          from.off('end', end);
          to.off('drain', more);
        };
      }
    });
  });
  server.listen({ host: '::', port }, () => console.log('{}'));
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.split(' ');
  switch (verb) {
    case 'relay':
      relay(Number(words[0]), words[1] ?? '', Number(words[2]), Number(words[3]));
      break;
    case 'flows':
      console.log(JSON.stringify(flows));
      break;
    default:
      await engine.close();
      process.exit();
  }
}
