/** `prefer: 'split'` leaves the packet backend out where auto would choose it, and says so; a backend that is named is meant. */
import { expect, test } from 'vitest';
import { SpliceEngine } from '../../../src/engine/engine.js';

test('auto with split takes splice, whatever the machine could do', async () => {
  const engine = await SpliceEngine.open({ prefer: 'split' });
  try {
    expect(engine.preferred.backend).toBe('splice');
    expect(engine.preferred.reason).toContain('not packet: split is preferred');
    expect(engine.packetPlane).toBeUndefined();
  } finally {
    await engine.close();
  }
});

test('a backend asked for by name is not a matter of preference', async () => {
  const engine = await SpliceEngine.open({ backend: 'copy', prefer: 'end-to-end' });
  try {
    expect(engine.preferred.backend).toBe('copy');
  } finally {
    await engine.close();
  }
});
