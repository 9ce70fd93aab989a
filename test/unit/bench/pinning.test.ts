/** A contestant on some processors, the load on the others. */
import { describe, expect, test } from 'vitest';
import type { Host, Lab, Output, Running } from '../../../src/bench/model.js';
import { parseProcessors, pin } from '../../../src/bench/pinning.js';
import { fakeLab } from './fake-lab.js';

const done: string[] = [];

function lab(allowed: string, { oneMachine = true, code = 0 } = {}): Lab {
  const fake = fakeLab(undefined, { oneMachine });
  const host = (name: 'proxy' | 'server'): Host => ({
    ...fake[name],
    async run(command): Promise<Output> {
      if (command[0] === 'sed') return { out: `${allowed}\n`, err: '', code: 0 };
      done.push(`${name} ${command.join(' ')}`);
      return { out: '', err: 'no such process', code };
    },
  });
  return { ...fake, proxy: host('proxy'), server: host('server') };
}

const server: Running = { pid: 42, ended: false, tail: () => '', stop: async () => undefined };

test.each([
  ['0-1', [0, 1]],
  ['0-2,5,7-8', [0, 1, 2, 5, 7, 8]],
  ['3', [3]],
])('%s', (list, processors) => expect(parseProcessors(list)).toEqual(processors));

describe('pin', () => {
  test('the last ones for the contestant, the others for client and server, until it is released', async () => {
    done.length = 0;
    const { contestant, load, release } = await pin(lab('0-2,5'), server, 1);
    expect([contestant.join(' '), load.join(' ')]).toEqual(['taskset -c 5', 'taskset -c 0,1,2']);
    expect(done).toEqual(['server taskset -a -c -p 0,1,2 42']);
    await release();
    expect(done.at(-1)).toBe('server taskset -a -c -p 0,1,2,5 42');
  });

  test('where nothing would be left for the load, and where it has machines of its own, only the contestant is bound', async () => {
    done.length = 0;
    expect(await pin(lab('4-5'), server, 2)).toMatchObject({ contestant: ['taskset', '-c', '4,5'], load: [] });
    expect(await pin(lab('0-3', { oneMachine: false }), server, 1)).toMatchObject({ load: [] });
    expect(done).toEqual([]);
  });

  test('a server that cannot be bound is an error, not a wrong figure', async () => {
    await expect(pin(lab('0-1', { code: 1 }), server, 1)).rejects.toThrow(/bound to processors: no such process/);
    await expect(pin(lab(''), server, 1)).rejects.toThrow(/does not say which processors/);
  });
});
