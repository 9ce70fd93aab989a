// SPDX-License-Identifier: MIT
//
// A SOCKS5 relay the way a Node programmer would write it first: net.Server, streams, pipe. One
// process. It is the baseline for what symsplice replaces, so it stays simple on purpose; it handles
// CONNECT without authentication and nothing else.
import net from 'node:net';

const REPLY_OK = Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
const REPLY_FAILED = Buffer.from([5, 1, 0, 1, 0, 0, 0, 0, 0, 0]);

/** Target of a complete CONNECT request and its size, or undefined while bytes are missing. */
function parseRequest(data) {
  if (data.length < 5) return undefined;
  const sizes = { 1: 4, 3: 1 + data[4], 4: 16 };
  const size = 4 + (sizes[data[3]] ?? NaN) + 2;
  if (data[0] !== 5 || data[1] !== 1 || Number.isNaN(size)) throw new Error('not a CONNECT request');
  if (data.length < size) return undefined;
  const address = data.subarray(4, size - 2);
  const host =
    data[3] === 1
      ? address.join('.')
      : data[3] === 3
        ? address.toString('latin1', 1)
        : [0, 2, 4, 6, 8, 10, 12, 14].map((i) => address.readUInt16BE(i).toString(16)).join(':');
  return { host, port: data.readUInt16BE(size - 2), size };
}

function relay(client, target, rest) {
  const upstream = net.connect({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true });
  upstream.once('connect', () => {
    client.write(REPLY_OK);
    if (rest.length > 0) upstream.write(rest);
    client.pipe(upstream);
    upstream.pipe(client);
  });
  upstream.on('error', () => (client.bytesWritten > 2 ? client.destroy() : client.end(REPLY_FAILED)));
  client.on('error', () => upstream.destroy());
  client.on('close', () => upstream.destroy());
}

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  let data = Buffer.alloc(0);
  let greeted = false;
  client.on('error', () => client.destroy());
  client.on('data', function onData(chunk) {
    data = Buffer.concat([data, chunk]);
    if (!greeted && data.length >= 2 && data.length >= 2 + data[1]) {
      greeted = true;
      data = data.subarray(2 + data[1]);
      client.write(Buffer.from([5, 0]));
    }
    if (!greeted) return;
    try {
      const target = parseRequest(data);
      if (!target) return;
      client.off('data', onData);
      client.pause();
      relay(client, target, data.subarray(target.size));
    } catch {
      client.destroy();
    }
  });
});

server.listen({ host: '::', port: Number(process.argv[2] ?? 1080), backlog: 4096 });
