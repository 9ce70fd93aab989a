/**
 * Who may go where. Stage: handshake, between the request and the connection; called by the flow, pure after parsing.
 *
 * A rules file is a YAML list. The first rule that matches decides; when none does, the answer is no.
 *
 *     - deny:  { to: [10.0.0.0/8, "fc00::/7"] }
 *     - allow: { client: 192.0.2.0/24, user: alice, to: ["*.example.org", 198.51.100.7], port: [443, 8000-8999] }
 *     - allow: {}            # everything else
 *
 * All keys of a rule must match, and of each key one value. A key that is left out matches anything.
 *
 * - `client` networks or addresses that the client comes from
 * - `user`   names of the users file; never matches a client that did not log in
 * - `to`     networks, addresses, names (`example.org`) or all names below one (`*.example.org`, not `example.org`).
 *            Networks are compared with the address that would be connected to, also when the client sent a name; the
 *            flow asks about every address it resolved. Names are compared with the name that the client sent, so a
 *            denied name keeps out nobody who knows the address: deny the network as well, and deny it before a rule
 *            that allows by name, for whoever owns the name may point it anywhere.
 * - `port`   ports or ranges of the target
 *
 * IPv4-mapped IPv6 addresses count as IPv4. The addresses 0.0.0.0 and :: are never allowed: Linux connects them to
 * loopback, which would slip by rules that speak of 127.0.0.0/8. An address that cannot be read is never allowed.
 */
import { type Address, contains, isUnspecified, parseAddress } from './address.js';
import { type Condition, type Rule, normalizeName, readRules } from './rules-file.js';

export interface RuleQuery {
  /** Address of the client. */
  readonly client: string;
  /** The user whose password was checked, if any. */
  readonly user: string | undefined;
  /** The name as the client sent it; undefined when it sent an address. */
  readonly host: string | undefined;
  /** Address to connect to. */
  readonly address: string;
  readonly port: number;
}

export interface NameQuery {
  readonly client: string;
  readonly user: string | undefined;
  readonly host: string;
  readonly port: number;
}

export interface Decision {
  readonly allow: boolean;
  /** Number of the rule that decided, from 1; undefined when none did, which denies. */
  readonly rule: number | undefined;
  /** Its line in the file. */
  readonly line: number | undefined;
}

const DENIED_BY_NONE: Decision = { allow: false, rule: undefined, line: undefined };

/** Whether who asks, and the port, fit the rule; the target is looked at elsewhere. */
function fitsCaller(when: Condition, client: Address, user: string | undefined, port: number): boolean {
  if (when.ports !== undefined && !when.ports.some((range) => port >= range.first && port <= range.last)) return false;
  if (when.users !== undefined && (user === undefined || !when.users.has(user))) return false;
  return when.clients === undefined || when.clients.some((network) => contains(network, client));
}

function fitsName(when: Condition, host: string): boolean {
  return when.names.has(host) || when.suffixes.some((suffix) => host.length > suffix.length && host.endsWith(suffix));
}

export class Rules {
  readonly #rules: readonly Rule[];

  private constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /**
   * Reads the text of a rules file; `file` is for messages.
   *
   * @throws ConfigError with file and line on the first mistake, including unknown keys, networks with bits after the
   *   prefix, empty ranges and empty lists.
   */
  static parse(text: string, file: string): Rules {
    return new Rules(readRules(text, file));
  }

  get size(): number {
    return this.#rules.length;
  }

  /** True when a rule speaks of users; without a users file such a rule never matches. */
  get namesUsers(): boolean {
    return this.#rules.some((rule) => rule.when.users !== undefined);
  }

  /** Asked for every address before it is connected to. */
  decide(query: RuleQuery): Decision {
    const client = parseAddress(query.client);
    const address = parseAddress(query.address);
    if (client === undefined || address === undefined || isUnspecified(address)) return DENIED_BY_NONE;
    const host = query.host === undefined ? undefined : normalizeName(query.host);
    for (const rule of this.#rules) {
      const { when } = rule;
      if (!fitsCaller(when, client, query.user, query.port)) continue;
      if (when.anyTarget || (host !== undefined && fitsName(when, host))) return rule.decision;
      if (when.networks.some((network) => contains(network, address))) return rule.decision;
    }
    return DENIED_BY_NONE;
  }

  /**
   * Asked before a name is resolved: false when `decide` would say no whatever its addresses turn out to be. A rule
   * about networks may or may not match then; it counts if it allows and is passed over if it denies.
   */
  couldAllowName(query: NameQuery): boolean {
    const client = parseAddress(query.client);
    if (client === undefined) return false;
    const host = normalizeName(query.host);
    for (const { when, decision } of this.#rules) {
      if (!fitsCaller(when, client, query.user, query.port)) continue;
      if (when.anyTarget || fitsName(when, host)) return decision.allow;
      if (decision.allow && when.networks.length > 0) return true;
    }
    return false;
  }
}
