/** Checks that involve several settings and hold for every server. Called when a configuration has been merged. */
import { formatAddress, isLoopback } from './config-address.js';
import type { HostPort } from './config-address.js';
import type { AccessConfig, OperationConfig } from './config-common.js';
import { keyOf } from './config-table.js';
import type { ReportMistake } from './config-table.js';

/**
 * Why these addresses must not be listened on with this configuration, or undefined if they may.
 * Called for configured addresses, and by the server for the sockets that systemd hands over.
 */
export function exposureMistake(
  addresses: readonly HostPort[],
  { users, rules, open }: AccessConfig,
): string | undefined {
  const exposed = addresses.find(({ host }) => !isLoopback(host));
  if (exposed === undefined || open || users !== undefined || rules !== undefined) return undefined;
  return (
    `${formatAddress(exposed)} can be reached from other machines, and neither users nor rules are set: ` +
    'anyone could use this proxy. Give --users FILE to ask for a password, or --rules FILE to say who may do what, ' +
    'or --open if everyone shall use it'
  );
}

/** Reports addresses that are named twice, and `control` beside `no-control`. */
export function checkPlaces<Config extends OperationConfig>(
  config: Config,
  /** Settings that hold addresses to listen on, but for `admin`. */
  listeners: Readonly<Partial<Record<keyof Config & string, readonly HostPort[]>>>,
  report: ReportMistake<Config>,
): void {
  const seen = new Set<string>();
  for (const name of Object.keys(listeners) as (keyof Config & string)[]) {
    for (const address of listeners[name] ?? []) {
      const text = formatAddress(address);
      if (address.port !== 0 && seen.has(text)) report(name, `${keyOf(name)}: ${text} is named twice; name it once`);
      seen.add(text);
    }
  }
  if (config.admin !== undefined && config.admin.port !== 0 && seen.has(formatAddress(config.admin))) {
    report('admin', `admin: ${formatAddress(config.admin)} is already used by listen; choose another port`);
  }
  if (config.control !== undefined && config.noControl) {
    report('noControl', 'no-control contradicts control; give only one of them');
  }
}
