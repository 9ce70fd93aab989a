/** The Vagrantfile, by Vagrant's own judgement, where Vagrant is installed. In a copy, because reading it makes a key pair. */
import { spawnSync } from 'node:child_process';
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

  // --ignore-provider: VirtualBox and a running libvirtd are more than a test may ask for.
  const validate = (hosts: string) =>
    spawnSync('vagrant', ['validate', '--ignore-provider'], {
      cwd: directory,
      encoding: 'utf8',
      env: {
        ...process.env,
        SYMSPLICE_HOSTS: hosts,
        VAGRANT_HOME: path.join(directory, 'home'),
        VAGRANT_DEFAULT_PROVIDER: 'virtualbox',
        VAGRANT_CHECKPOINT_DISABLE: '1',
      },
    });

  test.each(['1', '3'])('with SYMSPLICE_HOSTS=%s', { timeout: 600_000 }, (hosts) => {
    const { status, stdout, stderr } = validate(hosts);
    expect(status, stdout + stderr).toBe(0);
  });

  test('another number of hosts is refused', { timeout: 600_000 }, () => {
    const { status, stdout, stderr } = validate('2');
    expect(status).not.toBe(0);
    expect(stdout + stderr).toContain('SYMSPLICE_HOSTS is 1 or 3');
  });
});
