/** Where splice-http keeps its objects when nobody says where. Called once, when the settings are loaded. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * What systemd made for the service (CacheDirectory=), else /var/cache for root, else the cache directory of the user
 * (XDG Base Directory Specification).
 */
export function defaultCacheDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.getuid?.() ?? 0,
  home: string = homedir(),
): string {
  // Several are separated by colons.
  const service = env['CACHE_DIRECTORY']?.split(':')[0];
  if (service) return service;
  if (uid === 0) return '/var/cache/splice-http';
  const user = env['XDG_CACHE_HOME'];
  return join(user?.startsWith('/') ? user : join(home, '.cache'), 'splice-http');
}
