// git clone and push, over HTTP and over ssh.
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { overBackends } from '../support/group.js';
import type { Lab } from '../support/lab.js';
import { startGitHttp, startSshd, throughNc, writeRandomFile } from '../support/servers.js';

function gitEnvironment(lab: Lab): Record<string, string> {
  const who = { NAME: 'Lab', EMAIL: 'lab@srv.lab' };
  return {
    HOME: lab.directory,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: who.NAME,
    GIT_AUTHOR_EMAIL: who.EMAIL,
    GIT_COMMITTER_NAME: who.NAME,
    GIT_COMMITTER_EMAIL: who.EMAIL,
  };
}

await overBackends(
  {},
  async (lab) => {
    const env = gitEnvironment(lab);
    const root = path.join(lab.directory, 'repositories');
    const origin = path.join(root, 'project.git');
    mkdirSync(root);
    const seed = path.join(lab.directory, 'seed');
    mkdirSync(seed);
    writeRandomFile(path.join(seed, 'data'), 20_000_000);
    for (const args of [
      ['init', '-q', '--bare', '-b', 'main', origin],
      ['-C', origin, 'config', 'http.receivepack', 'true'],
      ['-C', seed, 'init', '-q', '-b', 'main'],
      ['-C', seed, 'add', 'data'],
      ['-C', seed, 'commit', '-q', '-m', 'seed'],
      ['-C', seed, 'push', '-q', origin, 'main'],
    ]) {
      const { code, stderr } = await lab.srv.exec('git', args, { env });
      if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
    }
    const ssh = await startSshd(lab);
    await startGitHttp(lab, root);
    return { env, origin, ssh };
  },
  async ({ lab, backend, proxy, test }, { env, origin, ssh }) => {
    const ways = {
      http: {
        url: 'http://srv.lab:8081/project.git',
        env: { ALL_PROXY: `socks5h://${proxy.at()}` },
      },
      ssh: {
        url: `ssh://${ssh.destination}${origin}`,
        env: { GIT_SSH_COMMAND: `ssh ${ssh.clientArgs.join(' ')} -o "${throughNc(proxy.at())}"` },
      },
    };
    for (const [way, { url, env: more }] of Object.entries(ways)) {
      const copy = path.join(lab.directory, `${backend}-${way}`);
      const git = async (...args: string[]): Promise<string> => {
        const { code, stdout, stderr } = await lab.cli.exec('git', args, { env: { ...env, ...more } });
        if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
        return stdout.toString().trim();
      };
      await test(`git clones over ${way}`, async (t) => {
        await git('clone', '-q', url, copy);
        t.ok(existsSync(path.join(copy, 'data')));
        await git('-C', copy, 'fsck', '--full');
      });
      await test(`git pushes over ${way}`, async (t) => {
        writeRandomFile(path.join(copy, `${backend}-${way}`), 5_000_000);
        await git('-C', copy, 'add', '.');
        await git('-C', copy, 'commit', '-q', '-m', `${backend} ${way}`);
        await git('-C', copy, 'push', '-q', 'origin', 'main');
        t.equal(await git('-C', origin, 'rev-parse', 'main'), await git('-C', copy, 'rev-parse', 'HEAD'));
        await git('-C', origin, 'fsck', '--full');
      });
    }
  },
);
