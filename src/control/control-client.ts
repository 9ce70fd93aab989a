/** The client side of the control socket: finds the sockets of living servers and asks them. Used by splice-ctl. */
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { SpliceError } from '../errors.js';
import { controlDirectories, isTrusted } from './control-directory.js';
import type { ServerKind, Surroundings } from './control-directory.js';
import { probeSocket, removeDead } from './socket-file.js';

const ANSWER_TIMEOUT_MS = 10_000;

/** Sockets of living servers, in all default directories. Sockets that nobody listens on are removed on the way. */
export async function findControlSockets(
  surroundings: Surroundings,
  kinds: readonly ServerKind[] = ['socks', 'http'],
): Promise<string[]> {
  const ours = new RegExp(`^(${kinds.join('|')})-.*\\.sock$`);
  const living: string[] = [];
  for (const directory of controlDirectories(surroundings)) {
    if (!(await isTrusted(directory, surroundings.uid))) continue;
    const names = await readdir(directory).catch(() => []);
    for (const name of names.filter((entry) => ours.test(entry)).sort()) {
      const path = join(directory, name);
      const state = await probeSocket(path);
      if (state === 'living') living.push(path);
      else if (state === 'dead') await removeDead(path);
    }
  }
  return living;
}

export interface ControlReply {
  readonly status: number;
  readonly value: unknown;
}

/** One request to one server, `sent` as JSON with it. @throws SpliceError if nobody answers or the answer is not JSON. */
export function askControl(path: string, method: 'GET' | 'POST', route: string, sent?: unknown): Promise<ControlReply> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) =>
      reject(new SpliceError('ERR_SPLICE_SYSTEM', `control socket ${path}: ${why}`, { cause }));
    const call = request({ socketPath: path, method, path: route, timeout: ANSWER_TIMEOUT_MS, agent: false });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)));
    call.on('error', (error) => fail(`${error.message}; is the server running, and are you its owner or root?`, error));
    call.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => fail(error.message, error));
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, value: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
        } catch (error) {
          fail('the answer is not JSON; is another program listening there?', error);
        }
      });
    });
    call.end(sent === undefined ? undefined : JSON.stringify(sent));
  });
}
