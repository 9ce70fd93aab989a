/** Ring 2: everything that a relay must hold, over sockmap. The tests are those of ring 0. */
process.env['SYMSPLICE_TEST_RELAY'] = 'sockmap';
await import('../unit/engine/relay.test.js');

export {};
