import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../../src/errors.js';
import { Rules, type NameQuery, type RuleQuery } from '../../../src/socks/rules.js';

const QUERY: RuleQuery = { client: '192.0.2.10', user: undefined, host: undefined, address: '203.0.113.5', port: 443 };
const NAMED: NameQuery = { client: '192.0.2.10', user: undefined, host: 'www.example.org', port: 443 };

/** Number of the rule that decides, negative when it denies, 0 when none does. */
function decide(source: string, query: Partial<RuleQuery> = {}): number {
  const { allow, rule } = Rules.parse(source, 'rules.yaml').decide({ ...QUERY, ...query });
  if (rule === undefined) {
    expect(allow).toBe(false);
    return 0;
  }
  return allow ? rule : -rule;
}

describe('the syntax as documented', () => {
  const rules = Rules.parse(
    [
      '# who may go where',
      '- deny:  { to: [10.0.0.0/8, "fc00::/7"] }',
      '- allow: { client: 192.0.2.0/24, user: alice, to: ["*.example.org", 198.51.100.7], port: [443, 8000-8999] }',
      '',
      '- deny:',
      '    port: 25',
      '- allow: {}            # everything',
    ].join('\n'),
    'rules.yaml',
  );

  test.each<[string, Partial<RuleQuery>, boolean, number, number]>([
    ['denied network', { address: '10.1.2.3' }, false, 1, 2],
    ['denied IPv6 network', { address: 'fd00::1' }, false, 1, 2],
    ['a name that resolves into it', { host: 'www.example.org', user: 'alice', address: '10.1.2.3' }, false, 1, 2],
    ['mapped into it', { address: '::ffff:10.1.2.3' }, false, 1, 2],
    ['by name', { host: 'www.example.org', user: 'alice' }, true, 2, 3],
    ['by address', { address: '198.51.100.7', user: 'alice', port: 8500 }, true, 2, 3],
    ['another user', { host: 'www.example.org', user: 'bob', port: 25 }, false, 3, 5],
    ['everything', {}, true, 4, 7],
  ])('%s', (_what, query, allow, rule, line) => {
    expect(rules.decide({ ...QUERY, ...query })).toEqual({ allow, rule, line });
  });

  test('says what it speaks of', () => {
    expect(rules.size).toBe(4);
    expect(rules.namesUsers).toBe(true);
    expect(Rules.parse('- allow: {}', 'f').namesUsers).toBe(false);
  });
});

describe('decide', () => {
  test.each<[string, string, Partial<RuleQuery>, number]>([
    ['the end denies', '- allow: { port: 80 }', {}, 0],
    ['the first match wins', '- allow: {}\n- deny: {}', {}, 1],
    ['client in network', '- allow: { client: 192.0.2.0/24 }', {}, 1],
    ['client mapped', '- allow: { client: 192.0.2.0/24 }', { client: '::ffff:192.0.2.10' }, 1],
    ['client elsewhere', '- allow: { client: 192.0.2.0/25 }', { client: '192.0.2.200' }, 0],
    ['client of a list', '- allow: { client: ["::1", 192.0.2.10] }', {}, 1],
    ['no user', '- allow: { user: alice }', {}, 0],
    ['user', '- allow: { user: alice }', { user: 'alice' }, 1],
    ['users are compared exactly', '- allow: { user: alice }', { user: 'Alice' }, 0],
    ['user of a list', '- allow: { user: [alice, bob] }', { user: 'bob' }, 1],
    ['port', '- allow: { port: 443 }', {}, 1],
    ['port as text', '- allow: { port: "443" }', {}, 1],
    ['start of a range', '- allow: { port: 443-445 }', {}, 1],
    ['end of a range', '- allow: { port: 440 - 443 }', {}, 1],
    ['outside a range', '- allow: { port: 444-445 }', {}, 0],
    ['name', '- allow: { to: example.org }', { host: 'example.org' }, 1],
    ['case and dot of a name', '- allow: { to: Example.org. }', { host: 'eXAMPLE.ORG.' }, 1],
    ['a name is not those below it', '- allow: { to: example.org }', { host: 'www.example.org' }, 0],
    ['pattern', '- allow: { to: "*.example.org" }', { host: 'a.b.Example.org.' }, 1],
    ['a pattern is not its base', '- allow: { to: "*.example.org" }', { host: 'example.org' }, 0],
    ['a pattern needs the dot', '- allow: { to: "*.example.org" }', { host: 'badexample.org' }, 0],
    ['a pattern needs a label', '- allow: { to: "*.example.org" }', { host: '.example.org' }, 0],
    ['a name does not match an address', '- allow: { to: example.org }', {}, 0],
    ['international name', '- allow: { to: bücher.example }', { host: 'xn--bcher-kva.example' }, 1],
    ['international name, asked', '- deny: { to: example.org }', { host: 'ｅｘample．org' }, -1],
    ['network or name', '- deny: { to: [example.org, 203.0.113.0/24] }', { host: 'other.org' }, -1],
    ['all keys must match', '- allow: { user: alice, port: 80 }', { user: 'alice' }, 0],
    ['zone of an address', '- deny: { to: "fe80::/10" }\n- allow: {}', { address: 'fe80::1%eth0' }, -1],
    ['mapped, in hex', '- deny: { to: 127.0.0.0/8 }\n- allow: {}', { address: '::ffff:7f00:1' }, -1],
    ['0.0.0.0', '- allow: {}', { address: '0.0.0.0' }, 0],
    ['::', '- allow: {}', { address: '::' }, 0],
    ['no address', '- allow: {}', { address: 'localhost' }, 0],
    ['no client', '- allow: {}', { client: '' }, 0],
  ])('%s', (_what, source, query, expected) => expect(decide(source, query)).toBe(expected));
});

describe('couldAllowName', () => {
  test.each<[string, string, Partial<NameQuery>, boolean]>([
    ['allowed by name', '- allow: { to: "*.example.org" }', {}, true],
    ['allowed altogether', '- allow: {}', {}, true],
    ['perhaps in an allowed network', '- allow: { to: 203.0.113.0/24 }', {}, true],
    ['no rule about it', '- allow: { to: other.org }', {}, false],
    ['denied by name', '- deny: { to: "*.example.org" }\n- allow: {}', {}, false],
    ['perhaps in a denied network', '- deny: { to: 10.0.0.0/8 }\n- allow: {}', {}, true],
    ['denied altogether', '- deny: {}\n- allow: {}', {}, false],
    ['denied after an allowed network', '- allow: { to: 203.0.113.0/24 }\n- deny: {}', {}, true],
    ['wrong port', '- allow: { port: 80 }', {}, false],
    ['wrong user', '- allow: { user: alice }', { user: 'bob' }, false],
    ['wrong client', '- allow: { client: 198.51.100.0/24 }', {}, false],
    ['client that is no address', '- allow: {}', { client: 'unix' }, false],
  ])('%s', (_what, source, query, expected) => {
    expect(Rules.parse(source, 'f').couldAllowName({ ...NAMED, ...query })).toBe(expected);
  });

  test('never says no where decide would say yes, and says yes for nothing only where a denied network may be the reason', () => {
    const parts = ['allow: {}', 'deny: {}'].concat(
      ['allow', 'deny'].flatMap((verb) =>
        ['"*.example.org"', 'other.org', '203.0.113.0/24', '[other.org, 198.51.100.0/24]'].map(
          (to) => `${verb}: { to: ${to} }`,
        ),
      ),
    );
    const addresses = ['203.0.113.5', '198.51.100.5', '192.0.2.1'];
    for (const a of parts) {
      for (const b of parts) {
        for (const c of parts) {
          const rules = Rules.parse(`- ${a}\n- ${b}\n- ${c}`, 'f');
          const some = addresses.some((address) => rules.decide({ ...QUERY, host: NAMED.host, address }).allow);
          const denies = [a, b, c].some((part) => part.startsWith('deny') && part.includes('/24'));
          if (some) expect(rules.couldAllowName(NAMED), `${a}; ${b}; ${c}`).toBe(true);
          else if (!denies) expect(rules.couldAllowName(NAMED), `${a}; ${b}; ${c}`).toBe(false);
        }
      }
    }
  });
});

describe('mistakes are told with their line', () => {
  test.each<[string, string, number, RegExp]>([
    ['no list', 'allow: {}', 1, /list of rules/],
    ['empty file', '', 1, /list of rules/],
    ['comments only', '# nothing\n', 1, /list of rules/],
    ['empty list', '[]', 1, /no rule/],
    ['unknown verb', '- allow: {}\n- permit: {}', 2, /rule 2: unknown key "permit".*allow and deny/],
    ['neither', '- {}', 1, /rule 1: needs either/],
    ['both', '- allow: {}\n- allow: {}\n  deny: {}', 2, /rule 2: needs either/],
    ['no map', '- allow: {}\n- allow', 2, /rule 2: a rule is/],
    ['no conditions', '- allow:', 1, /rule 1, allow: .*write \{\}/],
    [
      'unknown key',
      '- allow:\n    port: 80\n    prot: 81',
      3,
      /rule 1, allow: unknown key "prot".*client, user, to and port/,
    ],
    ['bits after the prefix', '- deny:\n    to:\n      - ::1\n      - 10.0.0.1/8', 4, /rule 1, to: .*10\.0\.0\.0\/8/],
    ['prefix', '- deny: { client: 10.0.0.0/40 }', 1, /rule 1, client: .*prefix/],
    ['client by name', '- deny: { client: example.org }', 1, /not an IP address/],
    ['short address', '- deny: { to: 10.0.0 }', 1, /not an IP address/],
    ['address out of range', '- deny: { to: 10.0.0.256 }', 1, /not an IP address/],
    ['number as address', '- deny: { to: 10.0 }', 1, /as text/],
    ['star alone', '- deny: { to: "*" }', 1, /leave out "to"/],
    ['star within', '- deny: { to: "a.*.org" }', 1, /neither a network nor a name/],
    ['space in a name', '- deny: { to: "a b.org" }', 1, /neither a network nor a name/],
    ['empty label', '- deny: { to: a..org }', 1, /neither a network nor a name/],
    ['empty text', '- deny: { to: "" }', 1, /not empty/],
    ['empty to', '- deny: { to: [] }', 1, /list is empty/],
    ['empty port', '- deny:\n    user: a\n    port: []', 3, /list is empty/],
    ['empty user', '- deny: { user: [] }', 1, /list is empty/],
    ['null', '- deny: { to: }', 1, /as text/],
    ['port 0', '- deny: { port: 0 }', 1, /not a port/],
    ['port too high', '- deny: { port: 65536 }', 1, /not a port/],
    ['port in words', '- deny: { port: https }', 1, /not a port/],
    ['fraction', '- deny: { port: 80.5 }', 1, /not a port/],
    ['range backwards', '- deny: { port: 90-80 }', 1, /range "90-80" is empty/],
    ['open range', '- deny: { port: 80- }', 1, /not a port/],
    ['boolean port', '- deny: { port: true }', 1, /must be a port/],
    ['number as user', '- deny: { user: 17 }', 1, /put it in quotes/],
    ['second key in YAML', '- deny: { port: 80 }\n- allow:\n    port: 1\n    port: 2', 4, /unique/],
    ['bad YAML', '- deny: {}\n- allow: { to: [', 2, /./],
    ['unknown tag', '- deny: !!what {}', 1, /tag/],
    ['two documents', '- deny: {}\n---\n- allow: {}', 2, /multiple documents/i],
  ])('%s', (_what, source, line, message) => {
    const problem = (() => {
      try {
        Rules.parse(source, 'rules.yaml');
      } catch (error) {
        return error;
      }
      return undefined;
    })();
    expect(problem).toBeInstanceOf(ConfigError);
    if (!(problem instanceof ConfigError)) return;
    expect(problem.message).toMatch(message);
    expect(problem.file).toBe('rules.yaml');
    expect(problem.line).toBe(line);
    expect(problem.message.startsWith(`rules.yaml:${line}: `)).toBe(true);
  });
});
