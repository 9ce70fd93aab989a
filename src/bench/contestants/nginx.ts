/** nginx's stream proxy with a fixed target. */
import path from 'node:path';
import type { Contestant, Host } from '../model.js';
import { configurationName, writeConfiguration } from './configuration.js';
import { listenOf, programMissing, saidBy, targetOf, versionSaidBy } from './on-host.js';

/** In what `nginx -v` says. */
export const NGINX_VERSION = /nginx\/\S+/;

const CONFIG = 'nginx-stream.conf';

/** What `nginx -V` says of the stream module: part of the program, a file, or not there. */
export function streamModule(build: string): 'static' | { file: string } | undefined {
  const flag = /--with-stream(=dynamic)?(?=\s|$)/.exec(build);
  if (flag === null) return undefined;
  if (flag[1] === undefined) return 'static';
  const directory = /--modules-path=(\S+)/.exec(build)?.[1] ?? '/usr/lib/nginx/modules';
  return { file: path.posix.join(directory, 'ngx_stream_module.so') };
}

const moduleOf = async (host: Host): Promise<ReturnType<typeof streamModule>> =>
  streamModule(await saidBy(host, ['nginx', '-V']));

export const nginxStream: Contestant = {
  name: 'nginx-stream',
  title: 'nginx stream',
  via: 'relay',
  config: configurationName(CONFIG),
  async missing(host) {
    const program = await programMissing(host, 'nginx');
    if (program !== undefined) return program;
    const module = await moduleOf(host);
    const there = typeof module === 'object' ? (await host.run(['test', '-r', module.file])).code === 0 : module;
    return there ? undefined : 'nginx has no stream module: scripts/setup --bench installs it';
  },
  version: (host) => versionSaidBy(host, ['nginx', '-v'], NGINX_VERSION),
  async prepare(place) {
    const module = await moduleOf(place.host);
    const config = await writeConfiguration(place, CONFIG, {
      MODULE: typeof module === 'object' ? `load_module ${module.file};` : '',
      WORKERS: place.processors,
      LISTEN: listenOf(place),
      TARGET: targetOf(place),
      SCRATCH: place.scratch,
    });
    return { command: ['nginx', '-e', 'stderr', '-p', place.scratch, '-c', config] };
  },
};
