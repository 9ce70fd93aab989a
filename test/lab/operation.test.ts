// Operating splice-socks: signals, configuration, metrics, control socket. The same on every backend, so one is enough.
import path from 'node:path';
import t from 'tap';
import { startAgent } from '../support/agent-client.js';
import { eventually, type Finished } from '../support/children.js';
import { ask5, connectToProxy, open5 } from '../support/handshake.js';
import { address, Lab } from '../support/lab.js';
import { backends, command, isOurs, splicectl, startProxy, usersLine, type Proxy } from '../support/proxy.js';
import { greeting5, password5 } from '../support/socks-bytes.js';

t.setTimeout(3_600_000);
const port = 7000;
// Not packets: how they behave at a stop and in flows is in packet-operation.test.ts.
const backend = backends().find((name) => isOurs(name) && name !== 'packet') ?? 'splice';
const lab = Lab.open();
t.teardown(() => lab.close());
const client = startAgent(lab.cli);
const server = startAgent(lab.srv);
await server.listen({ host: '::', port, mode: 'echo' });

const socks = (...args: string[]): Promise<Finished> =>
  lab.prx.exec(process.execPath, [command('splice-socks'), ...args], { limitMs: 20_000 });

/** One byte there and back. */
async function echoes(id: number): Promise<boolean> {
  await client.write(id, Buffer.from('?'));
  return (await client.read(id, 1)).length === 1;
}

const exitOf = async (proxy: Proxy): Promise<number | null> => (await proxy.child.exited).code;

await t.test('SIGTERM: nobody new is let in, open flows go on, and the last one to end ends the proxy', async (t) => {
  const proxy = await startProxy(lab, { backend });
  const id = await open5(client, proxy, address.server4, port);
  proxy.child.signal('SIGTERM');
  await proxy.waitForLog((line) => String(line['msg']).startsWith('draining'));
  await t.rejects(client.connect({ host: address.proxy4, port: proxy.port }), /ECONNREFUSED/);
  t.ok(await echoes(id), 'the open flow still works');
  t.ok(proxy.child.running);
  await client.reset(id);
  t.equal(await exitOf(proxy), 0);
});

await t.test('SIGTERM ends a proxy without flows at once', async (t) => {
  const proxy = await startProxy(lab, { backend });
  proxy.child.signal('SIGTERM');
  t.equal(await exitOf(proxy), 0);
});

await t.test('a second SIGTERM ends the flows too', async (t) => {
  const proxy = await startProxy(lab, { backend });
  const id = await open5(client, proxy, address.server4, port);
  proxy.child.signal('SIGTERM');
  await proxy.waitForLog((line) => String(line['msg']).startsWith('draining'));
  proxy.child.signal('SIGTERM');
  t.equal(await exitOf(proxy), 0);
  await client.ending(id);
});

await t.test('the drain timeout ends flows that do not end themselves', async (t) => {
  const proxy = await startProxy(lab, { backend, args: ['--open', '--drain-timeout', '1s'] });
  const id = await open5(client, proxy, address.server4, port);
  proxy.child.signal('SIGTERM');
  t.equal(await exitOf(proxy), 0);
  await client.ending(id);
});

await t.test('SIGKILL of the proxy ends its flows: nobody hangs on a dead proxy', async (t) => {
  const proxy = await startProxy(lab, { backend });
  const id = await open5(client, proxy, address.server4, port);
  proxy.child.signal('SIGKILL');
  await client.ending(id);
  t.pass();
});

await t.test('SIGHUP reads users again: a new one is let in, a removed one is not', async (t) => {
  /** The status of RFC 1929: 0 is welcome. */
  const login = async (user: string, proxy: Proxy): Promise<number | undefined> => {
    const id = await connectToProxy(client, proxy);
    await client.write(id, Buffer.concat([greeting5(2), password5(user, 'secret')]));
    const [, method, , status] = await client.read(id, 4);
    t.equal(method, 2);
    await client.reset(id);
    return status;
  };
  const proxy = await startProxy(lab, { backend, credentials: { user: 'ada', password: 'secret' }, args: [] });
  t.equal(await login('ada', proxy), 0);
  t.not(await login('bob', proxy), 0);
  lab.file(`users-${proxy.port}`, await usersLine(lab, 'bob', 'secret'), 0o600);
  proxy.child.signal('SIGHUP');
  await proxy.waitForLog((line) => line['msg'] === 'configuration reloaded');
  t.equal(await login('bob', proxy), 0);
  t.not(await login('ada', proxy), 0);
  await proxy.child.stop();
});

await t.test('SIGHUP with a mistake keeps the old rules, says so, and goes on', async (t) => {
  const rules = lab.file('changing.yaml', '- allow: {}\n');
  const proxy = await startProxy(lab, { backend, args: ['--rules', rules] });
  const old = await open5(client, proxy, address.server4, port);
  lab.file('changing.yaml', '- allwo: {}\n');
  proxy.child.signal('SIGHUP');
  const complaint = await proxy.waitForLog((line) => line['level'] === 'error');
  t.match(JSON.stringify(complaint), /changing\.yaml/);
  t.equal((await ask5(client, proxy, address.server4, port)).code, 0);
  lab.file('changing.yaml', `- deny: { to: ${address.server4} }\n- allow: {}\n`);
  proxy.child.signal('SIGHUP');
  await proxy.waitForLog((line) => line['msg'] === 'configuration reloaded');
  t.equal((await ask5(client, proxy, address.server4, port)).code, 2);
  t.ok(await echoes(old), 'a flow that was open before goes on');
  await proxy.child.stop(100);
});

await t.test('--admin serves health and metrics that count what happened', async (t) => {
  const proxy = await startProxy(lab, { backend, args: ['--open', '--admin', `${address.proxy4}:9090`] });
  const get = async (what: string): Promise<string> =>
    (await lab.cli.exec('curl', ['-sS', '-m', '10', `http://${address.proxy4}:9090/${what}`])).stdout.toString();
  t.match(await get('health'), /ok/);
  const id = await open5(client, proxy, address.server4, port);
  await echoes(id);
  t.match(await get('metrics'), new RegExp(`_flows\\{.*backend="${backend}".*\\} 1\\b`));
  await client.end(id);
  await client.ending(id);
  await ask5(client, proxy, address.server4, 9);
  const text = await eventually(
    () => get('metrics'),
    (body) => /_flows_closed_total\{[^}]*\} 1\b/.test(body),
    'the flow is counted as closed',
  );
  t.match(text, /^# TYPE .*_flows_opened_total counter$/m);
  t.match(text, new RegExp(`_flows_opened_total\\{backend="${backend}"\\} 1\\b`));
  t.match(text, /_connects_failed_total\{failure="refused"\} 1\b/);
  t.match(text, new RegExp(`_relayed_bytes_total\\{[^}]*direction="up"[^}]*\\} 1\\b`));
  t.match(text, new RegExp(`_relayed_bytes_total\\{[^}]*direction="down"[^}]*\\} 1\\b`));
  await proxy.child.stop(100);
});

await t.test('splice-ctl flows lists a live flow with ends, backend, state, bytes and age', async (t) => {
  const proxy = await startProxy(lab, { backend });
  const list = async (): Promise<Record<string, unknown>[]> => {
    const { code, stdout, stderr } = await splicectl(lab, ['flows', '--json', '--control', proxy.control]);
    t.equal(code, 0, stderr);
    return JSON.parse(stdout.toString()) as Record<string, unknown>[];
  };
  t.same(await list(), []);
  const id = await open5(client, proxy, address.server4, port);
  await echoes(id);
  const [flow, ...others] = await eventually(
    list,
    (flows) => flows[0]?.['bytesDown'] === 1,
    'the flow shows its bytes',
  );
  t.same(others, []);
  t.match(flow, {
    client: /^10\.77\.1\.1:\d+$/,
    server: `${address.server4}:${port}`,
    backend,
    bytesUp: 1,
    bytesDown: 1,
  });
  t.type(flow?.['id'], 'string');
  t.type(flow?.['state'], 'string');
  t.ok(Number(flow?.['ageMs']) >= 0);
  const table = await splicectl(lab, ['flows', '--control', proxy.control]);
  t.match(table.stdout.toString(), new RegExp(`CLIENT[^]*${address.server4}:${port}[^]*${backend}`));
  await client.reset(id);
  await eventually(list, (flows) => flows.length === 0, 'the flow leaves the list');
  await proxy.child.stop();
});

await t.test('splice-ctl flows says what to do when no server is there', async (t) => {
  const { code, stderr } = await splicectl(lab, ['flows', '--control', path.join(lab.directory, 'none')]);
  t.not(code, 0);
  t.match(stderr, /none/);
});

await t.test('splice-ctl doctor --json names every capability with status and advice', async (t) => {
  const { code, stdout, stderr } = await splicectl(lab, ['doctor', '--json']);
  t.equal(code, 0, stderr);
  const capabilities = JSON.parse(stdout.toString()) as Record<string, unknown>[];
  t.ok(capabilities.length > 5);
  for (const capability of capabilities) {
    t.match(capability, { group: String, name: String, status: String, found: String, enables: String });
  }
});

await t.test('a wide address without users, rules or --open is refused, with the way out', async (t) => {
  const { code, stderr } = await socks('--listen', '0.0.0.0:1999');
  t.not(code, 0);
  t.match(stderr, /--open/);
});

await t.test('--check accepts a good configuration and starts nothing', async (t) => {
  const config = lab.file('good.yaml', `listen: ["${address.proxy4}:1998"]\nopen: true\nidle-timeout: 10m\n`);
  const { code, stdout } = await socks('--check', '--config', config);
  t.equal(code, 0, stdout.toString());
});

for (const [what, text, line] of [
  ['an unknown setting', 'open: true\nidel-timeout: 10m\n', 2],
  ['a wrong value', 'open: true\n\nidle-timeout: soon\n', 3],
  ['broken YAML', 'open: true\nlisten: }\n', 2],
] as const) {
  await t.test(`--check names file and line of ${what}`, async (t) => {
    const config = lab.file('bad.yaml', text);
    const { code, stdout, stderr } = await socks('--check', '--config', config);
    t.equal(code, 1);
    t.match(`${stdout.toString()}${stderr}`, new RegExp(`bad\\.yaml:${line}`));
  });
}

await t.test('--check finds the mistake in a rules file', async (t) => {
  const rules = lab.file('bad-rules.yaml', '- allow: {}\n- deny: { to: 10.0.0.0/99 }\n');
  const { code, stdout, stderr } = await socks('--check', '--rules', rules);
  t.equal(code, 1);
  t.match(`${stdout.toString()}${stderr}`, /bad-rules\.yaml:2/);
});

await t.test('a port that is taken is said plainly', async (t) => {
  const proxy = await startProxy(lab, { backend });
  const { code, stderr } = await socks('--listen', proxy.at(), '--open');
  t.not(code, 0);
  t.match(stderr, new RegExp(`${proxy.port}`));
  await proxy.child.stop();
});

await Promise.all([client.child.stop(), server.child.stop()]);
