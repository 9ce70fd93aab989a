/** The documents whose words these tests hold against the program. */
export const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'THIRD_PARTY.md',
  'docs/splice-socks.md',
  'docs/splice-http.md',
  'docs/packet-cost.md',
  'docs/backends.md',
  'docs/module.md',
  'docs/abi.md',
  'docs/recovery.md',
  'docs/vagrant.md',
  'test/vm/README.md',
  'bench/README.md',
] as const;
