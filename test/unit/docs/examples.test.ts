/** The documents' TypeScript: type-checked against the declarations that the package ships; README's is run as well. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
let project: string;

/** A user's project: symsplice and @types/node in node_modules, nothing else. */
beforeAll(() => {
  project = mkdtempSync(path.join(tmpdir(), 'symsplice-example-'));
  mkdirSync(path.join(project, 'node_modules/@types'), { recursive: true });
  symlinkSync(root, path.join(project, 'node_modules/symsplice'));
  symlinkSync(path.join(root, 'node_modules/@types/node'), path.join(project, 'node_modules/@types/node'));
  writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }');
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

function exampleIn(document: string): string {
  const code = /^```ts\n([\s\S]*?)^```/m.exec(readFileSync(`${root}/${document}`, 'utf8'))?.[1];
  if (code === undefined) throw new Error(`no example in ${document}`);
  return code;
}

/** What tsc says, '' when nothing; the JavaScript is beside the source. */
function compile(name: string, code: string, ...options: string[]): string {
  writeFileSync(path.join(project, `${name}.ts`), code);
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
  const target = ['--target', 'es2022', '--module', 'nodenext'];
  try {
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, ...strict, ...target, ...options, `${name}.ts`], {
      cwd: project,
      encoding: 'utf8',
    });
    return '';
  } catch (error) {
    return (error as { stdout?: string }).stdout ?? String(error);
  }
}

test('ARCHITECTURE.md: types', () => {
  const given = `import type { Server, Socket } from 'node:net';
    import { SpliceEngine } from 'symsplice';
    declare const listener: Server, client: Socket, upstream: Socket, reply: Uint8Array;\n`;
  expect(compile('architecture', given + exampleIn('ARCHITECTURE.md'))).toBe('');
  expect(
    compile('wrong', `${given}const engine = await SpliceEngine.open({ backend: 'warp' });`, '--skipLibCheck'),
  ).toContain('warp');
});

test('README.md: types, and it relays', async () => {
  const upstream = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const { port } = upstream.address() as AddressInfo;
  const code = exampleIn('README.md');
  expect(code).toContain('8080');
  expect(code).toContain('server.listen(8000, () => engine.initSplice(server));');

  const report = `server.on('listening', () => console.log('port', (server.address() as { port: number }).port));
    process.on('SIGTERM', () => process.exit(0)); // so that it takes its BPF programs off the interfaces`;
  const local = code.replace('8080', String(port)).replace('8000, ()', `0, '127.0.0.1', ()`);
  expect(compile('running', `${local}\n${report}`, '--skipLibCheck')).toBe('');
  const child = spawn(process.execPath, ['running.js'], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const output = outputOf(child);
    const client = connect(Number((await output.line(/^port (\d+)$/m))[1]), '127.0.0.1');
    client.end('there and back');
    expect((await buffer(client)).toString()).toBe('there and back');
    await output.line(/^splice: 14 up, 14 down, ended by end$/m);
  } finally {
    child.kill('SIGTERM');
    upstream.close();
  }
});

function outputOf(child: ChildProcess): { line(pattern: RegExp): Promise<RegExpExecArray> } {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    async line(pattern) {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        if (child.exitCode !== null) throw new Error(`the example ended with ${child.exitCode}: ${text}`);
        await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')]);
      }
    },
  };
}
