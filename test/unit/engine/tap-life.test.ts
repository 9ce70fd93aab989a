/** The tap at the limits of its process, and at its end. Runs the built package in processes of their own. */
import { describe, expect, test } from 'vitest';
import { BEGINNING, EXIT_WHEN_TOLD, built, endWorkers, runProgram } from '../../support/life.js';

const COMMON = `${BEGINNING}
  import { createHash, randomBytes } from 'node:crypto';
  import { tmpdir } from 'node:os';
  import { join } from 'node:path';
  import { Tap } from ${built('engine/tap.js')};
  import { FileGrowth } from ${built('engine/file-growth.js')};
  const MIB = 1024 * 1024;
  const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const read = async (socket, length) => {
    const chunks = [];
    for (let left = length; left > 0; ) {
      const chunk = socket.read(Math.min(left, socket.readableLength || left));
      if (chunk === null) await once(socket, 'readable');
      else chunks.push(chunk), (left -= chunk.length);
    }
    return Buffer.concat(chunks);
  };
  const directory = mkdtempSync(join(tmpdir(), 'splice-tap-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  let names = 0;
  const file = () => openSync(join(directory, String(names++)), 'wx+');
  const live = async (tap) => {
    const [o, c] = [await pair(), await pair()];
    o.far.write(Buffer.alloc(MIB));
    const body = tap.relayBody(o.near, c.near, { file: file(), growth: new FileGrowth() });
    const growth = new FileGrowth();
    const f = await pair();
    const follower = tap.sendFile(file(), f.near, { growth });
    await until(() => body.counters().received > 0);
    return { body, follower, growth, client: c.far };
  };
`;

const run = (program: string, limits?: string, flags?: readonly string[]): string =>
  runProgram(COMMON + program, limits, flags);

describe('a file that reaches its limit in the middle of a body', () => {
  // In blocks of 512 bytes, as POSIX has it.
  const LIMIT = 6 * 1024 * 1024;
  const limits = `ulimit -f ${LIMIT / 512}`;

  const prelude = `
    const LIMIT = ${LIMIT};
    const SIZE = 20 * MIB + 1;
    const tap = new Tap();
    const sent = randomBytes(SIZE);
    const limited = async (offset, move) => {
      const [o, c] = [await pair(), await pair()];
      const fd = file();
      const body = tap.relayBody(o.near, c.near, { length: SIZE, offset, file: fd, withoutClient: true });
      const got = await move(o.far, c.far, body);
      const [r, s, d] = [await body.received, await body.stored, await body.delivered];
      const words = [digest(got) === digest(sent), r.end, r.bytes === SIZE, d.end, d.bytes === SIZE, s.end, s.errno];
      const inFile = readFileSync('/proc/self/fd/' + fd).subarray(offset);
      words.push(s.bytes === LIMIT - offset, digest(inFile) === digest(sent.subarray(0, s.bytes)));
      for (const socket of [o.near, o.far, c.near, c.far]) socket.destroy();
      closeSync(fd);
      return words.join(' ');
    };
  `;
  const RIGHT = 'true complete true complete true error 27 true true';

  test('a client that keeps pace gets the whole body', () => {
    const program = `${prelude}
      // In step, so that nothing is left for it in the file: what was teed must not come again.
      for (const step of [700, 300_000, 900_000]) {
        console.log(await limited(LIMIT - 2 * MIB, async (source, client) => {
          const got = [];
          for (let at = 0; at < SIZE; at += step) {
            source.write(sent.subarray(at, at + step));
            got.push(await read(client, Math.min(step, SIZE - at)));
            if (at > 3 * MIB) {
              source.write(sent.subarray(at + step));
              got.push(await read(client, SIZE - at - step));
              break;
            }
          }
          return Buffer.concat(got);
        }));
      }
      process.exit(0);
    `;
    expect(run(program, limits)).toBe([RIGHT, RIGHT, RIGHT].join('\n'));
  });

  test('a client that is far behind gets the whole body', () => {
    const program = `${prelude}
      console.log(await limited(0, async (source, client, body) => {
        source.write(sent);
        await body.stored;
        return read(client, SIZE);
      }));
      process.exit(0);
    `;
    expect(run(program, limits)).toBe(RIGHT);
  });

  test('a client gets the whole body that has stopped to read just then', () => {
    const program = `${prelude}
      const settled = async (value) => {
        for (let last = -1, same = 0; same < 8; await new Promise((resolve) => setTimeout(resolve, 10))) {
          same = value() === last ? same + 1 : 0;
          last = value();
        }
        return value();
      };
      let room = 0;
      const stopped = async (source, client, body) => {
        source.write(sent);
        room = await settled(() => body.counters().delivered);
        return read(client, SIZE);
      };
      // How much its sockets hold; then the file's limit is moved over that place.
      await limited(0, stopped);
      const right = new Set();
      for (let away = -800_000; away <= 800_000; away += 200_000) {
        right.add(await limited(Math.max(0, LIMIT - room - away), stopped));
      }
      console.log(room < LIMIT, ...right);
      process.exit(0);
    `;
    expect(run(program, limits)).toBe(`true ${RIGHT}`);
  });

  test('and without a client there is nobody left', () => {
    const program = `
      const tap = new Tap();
      const o = await pair();
      o.far.write(Buffer.alloc(20 * MIB));
      const body = tap.relayBody(o.near, undefined, { length: 20 * MIB, file: file() });
      console.log((await body.received).end, (await body.stored).bytes);
      process.exit(0);
    `;
    expect(run(program, limits)).toBe(`unwanted ${LIMIT}`);
  });
});

test('without descriptors a body is not taken, and with few it is copied', () => {
  const program = `
    const tap = new Tap({ fillThreads: 1, sendThreads: 1 });
    const [o, c] = [await pair(), await pair()];
    const fd = file();
    const pipes = () => open('pipe');
    // The threads run, and no pipe was needed so far.
    o.far.write('x');
    await tap.relayBody(o.near, c.near, { length: 1, file: fd }).closed;
    await read(c.far, 1);
    const before = pipes();
    const sent = randomBytes(8 * MIB);
    const taken = [];
    for (;;) try { taken.push(openSync('/dev/null')); } catch { break; }
    try { tap.relayBody(o.near, c.near, { length: sent.length, file: fd }); } catch (error) { console.log(error.code); }
    // Three for the body, and none for a pipe.
    for (let i = 0; i < 3; i++) closeSync(taken.pop());
    const body = tap.relayBody(o.near, c.near, { length: sent.length, file: fd });
    o.far.write(sent);
    console.log(digest(await read(c.far, sent.length)) === digest(sent), (await body.stored).bytes === sent.length);
    await body.closed;
    console.log(pipes() - before);
    process.exit(0);
  `;
  expect(run(program, 'ulimit -n 64')).toBe('ERR_SPLICE_SYSTEM\ntrue true\n0');
});

describe('the end of the process', () => {
  test('a tap without bodies keeps no process alive, nor does one whose bodies have ended', () => {
    expect(run(`const tap = new Tap(); console.log('done');`)).toBe('done');
    const program = `
      const tap = new Tap();
      const { body, follower, growth } = await live(tap);
      body.abort(); growth.fail();
      await Promise.all([body.closed, follower.closed]);
      for (const end of process._getActiveHandles()) end.destroy?.();
      console.log('done');
    `;
    expect(run(program)).toBe('done');
  });

  test('process.exit() with live bodies leaves at once', () => {
    expect(
      run(
        `const tap = new Tap(); for (let i = 0; i < 8; i++) await live(tap); console.log('leaving'); process.exit(0);`,
      ),
    ).toBe('leaving');
  });

  test.each(['terminate', 'exit', 'close'])('a worker with live bodies: %s', (how) => {
    const worker = `${COMMON}
      const tap = new Tap();
      for (let i = 0; i < 5; i++) await live(tap);
      parentPort.postMessage('live');
      if ('${how}' === 'exit') ${EXIT_WHEN_TOLD}
      if ('${how}' === 'close') await tap.close(), process._getActiveHandles().forEach((end) => end.destroy?.());
    `;
    expect(run(endWorkers(worker, how))).toBe('clean');
  });

  test('a body that is cut by the end of its process does not look whole', () => {
    const child = `${COMMON}
      const tap = new Tap();
      const [port] = process.argv.slice(1);
      const client = net.connect({ port: Number(port), host: '127.0.0.1' });
      await once(client, 'connect');
      const o = await pair();
      o.far.write('some');
      tap.relayBody(o.near, client, { file: file() });
      setInterval(() => undefined, 1000);
    `;
    const program = `
      const { spawn } = await import('node:child_process');
      const listener = net.createServer().listen(0, '127.0.0.1');
      await once(listener, 'listening');
      const child = spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(child)}, String(listener.address().port)], { stdio: 'inherit' });
      const [client] = await once(listener, 'connection');
      client.once('data', (bytes) => { console.log(bytes.toString()); child.kill('SIGKILL'); });
      client.on('end', () => console.log('FIN')).on('error', (error) => { console.log(error.code); process.exit(0); });
    `;
    expect(run(program)).toBe('some\nECONNRESET');
  });
});

describe('a growth', () => {
  test('is followed from another worker, and its end is heard there', () => {
    const worker = `${COMMON}
      const tap = new Tap();
      const body = tap.sendFile(workerData.fd, workerData.client, { growth: workerData.growth });
      parentPort.postMessage('following');
      const { end, bytes } = await body.delivered;
      await tap.close();
      parentPort.postMessage(end + ' ' + bytes);
    `;
    const program = `
      const tap = new Tap();
      const growth = new FileGrowth();
      const [o, c] = [await pair(), await pair()];
      const client = native().duplicate(c.near._handle.fd);
      const fd = file();
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData: { fd, client, growth: growth.number } });
      await once(worker, 'message');
      const sent = randomBytes(12 * MIB);
      const body = tap.relayBody(o.near, undefined, { length: sent.length, file: fd, growth });
      o.far.write(sent);
      const got = await read(c.far, sent.length);
      await body.stored;
      growth.complete();
      console.log((await once(worker, 'message'))[0] === 'complete ' + sent.length, digest(got) === digest(sent));
      process.exit(0);
    `;
    expect(run(program)).toBe('true true');
  });

  test('that nobody holds fails, and is not found any more; one that a body fills is held', () => {
    const program = `
      const tap = new Tap();
      const [o, c] = [await pair(), await pair()];
      const fd = file();
      let growth = new FileGrowth();
      const { number } = growth;
      const body = tap.relayBody(o.near, undefined, { length: 8, file: fd, growth });
      const follower = tap.sendFile(fd, c.near, { growth: number });
      growth = undefined;
      const collect = async () => { for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)); } };
      await collect();
      o.far.write('half');
      console.log((await read(c.far, 4)).toString());
      o.far.write('half');
      await body.stored;
      await read(c.far, 4);
      await collect();
      await until(() => { gc(); return follower.counters().delivered === 8; });
      console.log((await follower.delivered).end);
      await collect();
      try { tap.sendFile(fd, c.near, { growth: number }); } catch (error) { console.log(error.code); }
      process.exit(0);
    `;
    expect(run(program, ':', ['--expose-gc'])).toBe('half\nshort\nERR_SPLICE_STATE');
  });
});
