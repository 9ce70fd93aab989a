#!/usr/bin/env node
/** Control of running servers. Everything is in ctl-main.ts; here it meets the real process. */
import { ownSurroundings } from '../control/control-server.js';
import { ctlMain } from './ctl-main.js';
import { processEnvironment } from './environment.js';

const code = await ctlMain(processEnvironment(), {
  surroundings: ownSurroundings(),
  probeMachine: async () => (await import('../engine/doctor.js')).probeMachine(),
  uninstallPacket: async (pinDirectory) => (await import('../native.js')).native().packetUninstall(pinDirectory),
  resetModule: async () => (await import('../engine/module-status.js')).resetModule(),
  hashPassword: async (password) => (await import('../socks/users.js')).hashPassword(password),
});
process.exit(code);
