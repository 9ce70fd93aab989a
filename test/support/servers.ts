/** The real servers of the lab: nginx, sshd, and git over HTTP. All state lives in the lab's directory. */
import { execFileSync } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.js';

export interface WebServer {
  /** Files here are served. */
  readonly root: string;
  /** PUT to /up/NAME makes a file here. */
  readonly uploads: string;
}

/** nginx on port 80 of srv. */
export async function startNginx(lab: Lab): Promise<WebServer> {
  const directory = path.join(lab.directory, 'nginx');
  const root = path.join(directory, 'www');
  const uploads = path.join(root, 'up');
  mkdirSync(uploads, { recursive: true });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${directory}/${kind};`)
    .join(' ');
  const config = lab.file(
    'nginx/nginx.conf',
    `daemon off; master_process off; user ${os.userInfo().username}; pid ${directory}/pid; error_log stderr warn;
events { worker_connections 2048; }
http {
  access_log off; sendfile on; client_max_body_size 0; ${temporary}
  server {
    listen 0.0.0.0:80; listen [::]:80 ipv6only=on;
    root ${root};
    location /up/ { dav_methods PUT; }
  }
}
`,
  );
  const nginx = lab.srv.spawn('nginx', ['-e', 'stderr', '-p', directory, '-c', config]);
  await lab.srv.untilListening(80, nginx);
  return { root, uploads };
}

/** Writes `bytes` pseudo-random bytes, the same each time, and returns their sha256. */
export function writeRandomFile(file: string, bytes: number): string {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16));
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(1024 * 1024);
  const descriptor = openSync(file, 'w');
  for (let left = bytes; left > 0; left -= zeros.length) {
    const chunk = cipher.update(zeros.subarray(0, Math.min(left, zeros.length)));
    hash.update(chunk);
    writeSync(descriptor, chunk);
  }
  closeSync(descriptor);
  return hash.digest('hex');
}

export interface SshServer {
  /** Arguments for ssh that make it use nothing of the user's own: no files, no agent, no questions. */
  readonly clientArgs: readonly string[];
  /** `user@srv.lab` */
  readonly destination: string;
}

/** sshd on port 22 of srv, with keys of its own. The start-up files of whoever runs the tests have no part in it. */
export async function startSshd(lab: Lab): Promise<SshServer> {
  const directory = path.join(lab.directory, 'ssh');
  // sshd's private directory, the same for every sshd of a machine.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const key of ['host', 'user']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(directory, key)]);
  }
  const config = lab.file(
    'ssh/sshd_config',
    `Port 22
HostKey ${directory}/host
AuthorizedKeysFile ${directory}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
SetEnv HOME=${directory}
PasswordAuthentication no
PrintMotd no
PrintLastLog no
LogLevel ERROR
`,
  );
  const sshd = lab.srv.spawn(execFileSync('which', ['sshd'], { encoding: 'utf8' }).trim(), ['-D', '-e', '-f', config]);
  await lab.srv.untilListening(22, sshd);
  const settings = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'LogLevel=ERROR'];
  return {
    clientArgs: ['-F', '/dev/null', '-i', path.join(directory, 'user'), ...settings.flatMap((text) => ['-o', text])],
    destination: `${os.userInfo().username}@srv.lab`,
  };
}

/** An option with which ssh goes through the proxy. By its path: a shell of busybox would run a `nc` of its own. */
export function throughNc(proxy: string): string {
  const nc = execFileSync('which', ['nc'], { encoding: 'utf8' }).trim();
  return `ProxyCommand=${nc} -X 5 -x ${proxy} %h %p`;
}

/** `git http-backend` on port 8081 of srv; repositories are those in `root`. */
export async function startGitHttp(lab: Lab, root: string): Promise<void> {
  const program = fileURLToPath(new URL('git-http.js', import.meta.url));
  const server = lab.srv.spawn(process.execPath, [program, root, '8081']);
  await lab.srv.untilListening(8081, server);
}
