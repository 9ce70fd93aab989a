/**
 * Stage handshake, before the upstream connects: the connection to the server is made so that the packet or module
 * backend can carry it. It gets a source port of ours, the client's MSS, and offers no option that the client lacks. What
 * cannot be prepared connects as it would without us, and is refused for that backend later. Called by
 * SpliceEngine.intendSplice.
 */
import { isIP, type Socket } from 'node:net';
import { native, type KernelFlows } from '../native.js';
import { openHandle, peekDescriptor, type Endpoint } from './endpoint.js';
import type { Destination } from './options.js';

/** Prepares `upstream` for `client`, now or when its attempts begin; changes nothing of one that is connected. */
export function prepareUpstream(
  kernel: KernelFlows,
  client: Endpoint,
  upstream: Endpoint,
  destination: Destination | undefined,
): void {
  const fd = peekDescriptor(client);
  if (fd === undefined || fd < 0) return;
  if (upstream.kind === 'socket') prepareAttempts(kernel, fd, upstream.socket);
  else if (destination !== undefined && native().connectedStream(upstream.fd) === 'ENOTCONN') {
    kernel.intend(fd, upstream.fd, destination.host, destination.port);
  }
}

// Node makes the descriptor inside of connect(), one for each address that it tries, and says so just before. It
// connects over the descriptor that its handle has then.
function prepareAttempts(kernel: KernelFlows, client: number, upstream: Socket): void {
  if (!upstream.connecting && !upstream.pending) return;
  const prepare = (host: string, port: number): void => {
    if (isIP(host) === 0) return;
    openHandle(upstream, () => kernel.socket(client, host, port));
  };
  upstream.on('connectionAttempt', prepare);
  const done = (): void => void upstream.off('connectionAttempt', prepare);
  upstream.once('connect', done);
  upstream.once('close', done);
}
