/** What `splice-http --check` looks at besides the configuration itself: every file that it names, as a start reads it. */
import { readToken } from '../control/http-token.js';
import type { HttpConfig } from '../server/http-config.js';
import { readCertificate } from '../server/http-origins.js';
import { makeSite } from '../server/http-site.js';
import { readRules, readUsers } from '../server/policy.js';
import type { ConfigurationPart } from './check-configuration.js';

export function httpChecks(config: HttpConfig): readonly ConfigurationPart[] {
  const { users, rules, adminToken, tlsCert, tlsKey } = config;
  const parts: ConfigurationPart[] = [];
  tlsCert.forEach((cert, index) => {
    const check = async (): Promise<string> => {
      await readCertificate(cert, tlsKey[index] ?? cert, '--tls-cert', '--tls-key');
      return cert;
    };
    parts.push({ name: 'certificate', check });
  });
  if (users !== undefined) {
    parts.push({ name: 'users', check: async () => `${users}: ${(await readUsers(users)).size} user(s)` });
  }
  if (rules !== undefined) parts.push({ name: 'rules', check: () => checkRules(rules, users) });
  if (adminToken !== undefined) {
    parts.push({ name: 'admin-token', check: async () => (await readToken(adminToken), adminToken) });
  }
  // Users and rules have been told of already.
  const origins = { ...config, users: undefined, rules: undefined };
  const check = async (): Promise<string> => {
    await makeSite(origins);
    return `${config.sites.length + (config.origin === undefined ? 0 : 1)} to ask, with the files they need`;
  };
  if (config.sites.length > 0 || config.origin !== undefined) parts.push({ name: 'origins', check });
  return parts;
}

async function checkRules(path: string, users: string | undefined): Promise<string> {
  const rules = await readRules(path);
  const idle = rules.namesUsers && users === undefined;
  return `${path}: ${rules.size} rule(s)${idle ? '; those that name users never match, because no users file is set' : ''}`;
}
