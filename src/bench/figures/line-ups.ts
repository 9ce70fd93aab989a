/** Who takes part in the figures unless the user says otherwise. Names as in src/bench/contestants. */

/** No proxy, fixed target, SOCKS, ours. Of the two Node relays the one that does a handshake as ours do. */
export const EVERYBODY = [
  'router',
  'haproxy-splice',
  'haproxy-copy',
  'nginx-stream',
  'dante',
  'microsocks',
  'ssh-dynamic',
  'node-socks',
  'ours-packet',
  'ours-splice',
  'ours-copy',
  'ours-sockmap',
] as const;

/** Without those that nobody uses for speed, where a figure has many points. */
export const FAST = EVERYBODY.filter((name) => !['haproxy-copy', 'ssh-dynamic', 'node-socks'].includes(name));

/** One of each kind, and every backend of ours: what a quick run must not break. */
export const FEW = [
  'router',
  'haproxy-splice',
  'microsocks',
  'ours-packet',
  'ours-splice',
  'ours-copy',
  'ours-sockmap',
];

/** The thesis' three: normal SOCKS, spliced SOCKS, router. */
export const THESIS = ['router', 'microsocks', 'dante', 'ours-copy', 'ours-splice', 'ours-packet'];
