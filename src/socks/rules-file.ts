/**
 * Reads a rules file into the form that rules.ts evaluates. Runs at start and on re-read, never per connection.
 * The syntax is described in rules.ts. Everything doubtful is an error: a rule that does not do what it seems to do is
 * worse than a server that does not start.
 */
import { domainToASCII } from 'node:url';
import { LineCounter, isNode, isPair, isMap, parseDocument } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../errors.js';
import { type Network, parseNetwork } from './address.js';
import type { Decision } from './rules.js';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Undefined means: matches anything. */
export interface Condition {
  readonly clients: readonly Network[] | undefined;
  readonly users: ReadonlySet<string> | undefined;
  readonly ports: readonly PortRange[] | undefined;
  /** The rule has no `to`; the three below are then empty. */
  readonly anyTarget: boolean;
  readonly networks: readonly Network[];
  readonly names: ReadonlySet<string>;
  /** `.example.org` for `*.example.org`. */
  readonly suffixes: readonly string[];
}

export interface Rule {
  readonly when: Condition;
  readonly decision: Decision;
}

/** Lower case, no trailing dot, and the ASCII form of an international name, which is what gets resolved. */
export function normalizeName(name: string): string {
  let text = name.toLowerCase();
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) {
      text = domainToASCII(text) || text;
      break;
    }
  }
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x2e) end--;
  return end === text.length ? text : text.slice(0, end);
}

type Place =
  | { readonly kind: 'network'; readonly network: Network }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'suffix'; readonly suffix: string };

const LABELS = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;

/** Reads one value of `to`; a string says what is wrong. */
function readPlace(text: string): Place | string {
  // No top-level domain is a number: what ends in one, or has a slash or colon, was meant to be an address.
  if (/[/:]/.test(text) || /(?:^|\.)\d+\.*$/.test(text)) {
    const network = parseNetwork(text);
    return typeof network === 'string' ? network : { kind: 'network', network };
  }
  const wild = text.startsWith('*.');
  const name = normalizeName(wild ? text.slice(2) : text);
  if (text === '*') return '"*" is not a name; leave out "to" to match every target';
  if (name.length > 253 || !LABELS.test(name)) {
    return `"${text}" is neither a network nor a name; patterns are example.org or *.example.org`;
  }
  return wild ? { kind: 'suffix', suffix: `.${name}` } : { kind: 'name', name };
}

function readPorts(value: string | number): PortRange | string {
  const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(String(value));
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first < 1 || last > 65535) return `"${value}" is not a port or range; write 443 or 8000-8999`;
  return first <= last ? { first, last } : `range "${value}" is empty; write the lower port first`;
}

/** A schema for text that `read` understands; a string from `read` is the message. */
function readAs<In, Out extends object>(input: z.ZodType<In>, read: (value: In) => Out | string): z.ZodType<Out> {
  return input.transform((value, context): Out => {
    const result = read(value);
    if (typeof result !== 'string') return result;
    context.addIssue({ code: 'custom', message: result });
    return z.NEVER;
  });
}

/** One value, or a list that is not empty. */
function oneOrMore<Out>(item: z.ZodType<Out>): z.ZodType<Out[]> {
  return z.preprocess(
    (value) => (Array.isArray(value) ? value : [value]),
    z.array(item).min(1, 'the list is empty; leave the key out to match anything'),
  );
}

const text = (what: string): z.ZodType<string> =>
  z.string({ error: `must be ${what}, as text (put it in quotes)` }).min(1, `must be ${what}, not empty`);

const condition = z.strictObject(
  {
    client: oneOrMore(readAs(text('a network or address'), parseNetwork)).optional(),
    user: oneOrMore(text('a user name')).optional(),
    to: oneOrMore(readAs(text('a network, address or name'), readPlace)).optional(),
    port: oneOrMore(
      readAs(z.union([z.number(), z.string()], { error: 'must be a port or a range like 8000-8999' }), readPorts),
    ).optional(),
  },
  {
    error: (issue) =>
      issue.code === 'invalid_type' ? 'must be a map of conditions; write {} to match everything' : undefined,
  },
);

const ruleShape = z.strictObject(
  { allow: condition.optional(), deny: condition.optional() },
  { error: (issue) => (issue.code === 'invalid_type' ? 'a rule is "allow: {...}" or "deny: {...}"' : undefined) },
);

const rulesShape = z
  .array(ruleShape, { error: 'a rules file is a list of rules: "- allow: {...}" or "- deny: {...}"' })
  .min(1, 'there is no rule, so nothing would be allowed; write "- deny: {}" if that is meant');

function compile(shape: z.infer<typeof condition>): Condition {
  const to = shape.to ?? [];
  return {
    clients: shape.client,
    users: shape.user === undefined ? undefined : new Set(shape.user),
    ports: shape.port,
    anyTarget: shape.to === undefined,
    networks: to.flatMap((place) => (place.kind === 'network' ? [place.network] : [])),
    names: new Set(to.flatMap((place) => (place.kind === 'name' ? [place.name] : []))),
    suffixes: to.flatMap((place) => (place.kind === 'suffix' ? [place.suffix] : [])),
  };
}

/** Reads all rules. @throws ConfigError with file and line on the first mistake. */
export function readRules(source: string, file: string): Rule[] {
  const counter = new LineCounter();
  const document = parseDocument(source, { lineCounter: counter, prettyErrors: false, stringKeys: true });

  /** Line of the value at `path`, or of the nearest thing around it; with `key`, of that key in the map there. */
  const lineAt = (path: readonly PropertyKey[], key?: string): number => {
    for (let length = path.length; length >= 0; length--) {
      const node: unknown = document.getIn(path.slice(0, length), true);
      if (!isNode(node) || !node.range) continue;
      const pair =
        key !== undefined && isMap(node)
          ? node.items.find((item) => isPair(item) && String(item.key) === key)
          : undefined;
      const start = pair !== undefined && isNode(pair.key) && pair.key.range ? pair.key.range[0] : node.range[0];
      return counter.linePos(start).line;
    }
    return 1;
  };

  const syntax = document.errors[0] ?? document.warnings[0];
  if (syntax !== undefined) {
    throw new ConfigError(syntax.message, { file, line: counter.linePos(syntax.pos[0]).line }, { cause: syntax });
  }
  let raw: unknown;
  try {
    raw = document.toJS();
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : String(cause), { file }, { cause });
  }

  const parsed = rulesShape.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path ?? [];
    const where =
      typeof path[0] === 'number'
        ? `rule ${path[0] + 1}${path.length > 1 ? `, ${String(path.at(2) ?? path[1])}` : ''}: `
        : '';
    if (issue?.code === 'unrecognized_keys') {
      const known = path.length > 1 ? 'client, user, to and port' : 'allow and deny';
      const message = `${where}unknown key "${issue.keys[0] ?? ''}"; there are ${known}`;
      throw new ConfigError(message, { file, line: lineAt(path, issue.keys[0]) });
    }
    throw new ConfigError(`${where}${issue?.message ?? 'wrong'}`, { file, line: lineAt(path) });
  }

  return parsed.data.map((shape, i) => {
    const line = lineAt([i]);
    const only = shape.allow === undefined ? shape.deny : shape.deny === undefined ? shape.allow : undefined;
    if (only === undefined) {
      throw new ConfigError(`rule ${i + 1}: needs either allow or deny, and only one of them`, { file, line });
    }
    return { when: compile(only), decision: { allow: shape.allow !== undefined, rule: i + 1, line } };
  });
}
