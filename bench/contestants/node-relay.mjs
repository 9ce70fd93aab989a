// SPDX-License-Identifier: MIT
//
// A relay with a fixed target the way a Node programmer would write it first: net.Server, net.connect, pipe. One
// process. It stays simple on purpose.
//
//   node node-relay.mjs PORT HOST:PORT
import net from 'node:net';

const [port, target = ''] = process.argv.slice(2);
const [, host, targetPort] = /^\[?(.*?)\]?:(\d+)$/.exec(target);

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const upstream = net.connect({ host, port: Number(targetPort), allowHalfOpen: true, noDelay: true });
  client.pipe(upstream);
  upstream.pipe(client);
  // The end of one direction is passed on by pipe(); only a failure ends both.
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
});

server.listen({ host: '::', port: Number(port), backlog: 4096 });
