/** The Vagrantfile, by Vagrant's own judgement, where Vagrant is installed. In a copy, because reading it makes a key pair. */
import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../../..');
const installed = spawnSync('vagrant', ['--version']).status === 0;

describe.skipIf(!installed)('vagrant validate', () => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'vagrant-'));
    copyFileSync(path.join(root, 'Vagrantfile'), path.join(directory, 'Vagrantfile'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  // --ignore-provider: VirtualBox and a running libvirtd are more than a test may ask for. Not the synchronous call: it takes
  // long on a busy machine, and a worker that does not answer meanwhile fails vitest.
  const validate = (hosts: string) =>
    new Promise<{ status: unknown; said: string }>((resolve) => {
      const env = {
        ...process.env,
        SYMSPLICE_HOSTS: hosts,
        VAGRANT_HOME: path.join(directory, 'home'),
        VAGRANT_DEFAULT_PROVIDER: 'virtualbox',
        VAGRANT_CHECKPOINT_DISABLE: '1',
      };
      execFile('vagrant', ['validate', '--ignore-provider'], { cwd: directory, env }, (error, stdout, stderr) =>
        resolve({ status: error === null ? 0 : error.code, said: stdout + stderr }),
      );
    });

  test.each(['1', '3'])('with SYMSPLICE_HOSTS=%s', { timeout: 600_000 }, async (hosts) => {
    const { status, said } = await validate(hosts);
    expect(status, said).toBe(0);
  });

  test('another number of hosts is refused', { timeout: 600_000 }, async () => {
    const { status, said } = await validate('2');
    expect(status).not.toBe(0);
    expect(said).toContain('SYMSPLICE_HOSTS is 1 or 3');
  });
});
