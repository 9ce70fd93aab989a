/** What the doctor says of the packet backend, over made-up machines. */
import { describe, expect, test } from 'vitest';
import { interfacesRow, programsRow, sourcePortsRow } from '../../../src/engine/doctor-packet.js';
import { VerifierError } from '../../../src/errors.js';

describe('packet backend', () => {
  test('interfaces that would be watched, or why none is', () => {
    const lo = { name: 'lo', ifindex: 1, type: 772, flags: 9, enslaved: false };
    const eth = { name: 'eth0', ifindex: 2, type: 1, flags: 1, enslaved: false };
    expect(interfacesRow([lo, eth, { ...eth, name: 'wg0', type: 65534 }])).toMatchObject({
      status: 'ok',
      found: 'eth0, wg0',
    });
    const row = interfacesRow([lo]);
    expect(row).toMatchObject({ status: 'missing', found: 'no interface can be watched: lo is loopback' });
    expect(row.advice).not.toBe('');
  });

  test('source ports', () => {
    expect(sourcePortsRow({ range: [61000, 65535] })).toMatchObject({ status: 'ok', found: '61000-65535: 4536' });
    expect(sourcePortsRow({ problem: 'narrow it' })).toMatchObject({ status: 'missing', advice: 'narrow it' });
  });

  test('programs that load, that the verifier refuses, that privilege is missing for', () => {
    expect(programsRow(() => 'abc')).toMatchObject({ status: 'ok', found: 'load, relay abc' });
    const refused = programsRow(() => {
      throw new VerifierError('relay_eth', 'a\nR1 invalid');
    });
    expect(refused).toMatchObject({ status: 'missing', found: expect.stringContaining('R1 invalid') as string });
    expect(refused.advice).toMatch(/report it/);
    const denied = programsRow(() => {
      throw new Error('EPERM: bpf\nand more');
    });
    expect(denied).toMatchObject({ status: 'missing', found: 'EPERM: bpf' });
  });
});
