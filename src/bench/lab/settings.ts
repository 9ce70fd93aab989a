/** Kernel settings of the hosts, which keep the search for a free port and full queues of connections out of the figures. */

export const SETTINGS = [
  'net.ipv4.ip_local_port_range=10000 65535',
  'net.ipv4.tcp_tw_reuse=1',
  'net.core.somaxconn=4096',
  'net.ipv4.tcp_max_syn_backlog=4096',
] as const;

/** The proxy host leaves ports to a relay that owns a range of its own. */
export const PROXY_SETTINGS = ['net.ipv4.ip_local_port_range=10000 39999'] as const;

/** The commands of hold() that make settings and put the old ones back. */
export function settingCommands(settings: readonly string[]): { make: string[]; undo: string[] } {
  const pairs = settings.map((setting, index) => {
    const [key = '', value = ''] = setting.split('=');
    return { key, value, old: `old${index}` };
  });
  return {
    make: pairs.flatMap(({ key, value, old }) => [`${old}=$(sysctl -n ${key})`, `sysctl -qw '${key}=${value}'`]),
    undo: pairs.toReversed().map(({ key, old }) => `[ -z "$${old}" ] || sysctl -qw "${key}=$${old}"`),
  };
}
