/** This machine as a host, or a namespace of it. */
import os from 'node:os';
import type { Host, HostName, Output, Running } from '../model.js';
import { Processes, type RunOptions, type StartOptions } from './processes.js';

export class LocalHost implements Host {
  readonly name: HostName;
  readonly links: Host['links'];
  readonly scratch: string;
  readonly processes: Processes;

  constructor(name: HostName, links: Host['links'], scratch: string, prefix: readonly string[]) {
    this.name = name;
    this.links = links;
    this.scratch = scratch;
    this.processes = new Processes(scratch, prefix);
  }

  run(command: readonly string[], options?: RunOptions): Promise<Output> {
    return this.processes.run(command, options);
  }

  start(command: readonly string[], options?: StartOptions): Promise<Running> {
    return this.processes.start(command, options);
  }
}

/** The machine itself, without a lab: for questions such as whether a program is installed. */
export function localHost(): Host {
  return new LocalHost('proxy', {}, os.tmpdir(), []);
}
