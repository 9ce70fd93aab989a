/** Which interfaces are watched, and what is said when none is. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { judgeLink, nothingToWatch, readLinks, type Link } from '../../../src/engine/links.js';

const UP = 0x1003;
const eth: Link = { name: 'eth0', ifindex: 2, type: 1, flags: UP, enslaved: false };
const lo: Link = { name: 'lo', ifindex: 1, type: 772, flags: 0x9, enslaved: false };

describe('one interface', () => {
  test.each([
    ['ethernet', eth, { watch: 'ethernet' }],
    ['tun or WireGuard', { ...eth, type: 65534 }, { watch: 'raw' }],
    ['PPP', { ...eth, type: 512 }, { watch: 'raw' }],
    ['loopback', lo, { skip: 'loopback' }],
    ['down', { ...eth, flags: 0x1002 }, { skip: 'down' }],
    ['port of a bridge', { ...eth, enslaved: true }, { skip: 'enslaved' }],
    ['something else', { ...eth, type: 801 }, { skip: 'foreign' }],
  ])('%s', (_what, link, verdict) => expect(judgeLink(link, 'auto')).toEqual(verdict));

  test('only those that are named, and a port of a bridge if it is', () => {
    expect(judgeLink(eth, ['eth1'])).toEqual({ skip: 'not-named' });
    expect(judgeLink(eth, ['eth1', 'eth0'])).toEqual({ watch: 'ethernet' });
    expect(judgeLink({ ...eth, enslaved: true }, ['eth0'])).toEqual({ watch: 'ethernet' });
    expect(judgeLink(lo, ['lo'])).toEqual({ skip: 'loopback' });
  });
});

describe('none', () => {
  test('why each is not', () => {
    const links = [
      lo,
      { ...eth, flags: 0 },
      { ...eth, name: 'mon0', type: 801 },
      { ...eth, name: 'p', enslaved: true },
    ];
    expect(nothingToWatch(links, 'auto')).toBe(
      'no interface can be watched: lo is loopback, eth0 is down, mon0 has link type 801, p is a port of another interface',
    );
  });
  test('a name that nobody has', () => {
    expect(nothingToWatch([lo, eth], ['eth7'])).toMatch(/there is no interface eth7/);
    expect(nothingToWatch([lo, { ...eth, flags: 0 }], ['eth0'])).toBe('no interface can be watched: eth0 is down');
  });
});

test('sysfs is read, and files that are no interface are passed over', () => {
  const directory = mkdtempSync(join(tmpdir(), 'symsplice-links-'));
  const make = (name: string, files: Record<string, string>): void => {
    mkdirSync(join(directory, name));
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, name, file), `${text}\n`);
  };
  make('eth0', { ifindex: '2', type: '1', flags: '0x1003' });
  make('port', { ifindex: '3', type: '1', flags: '0x1103', master: '' });
  make('gone', { ifindex: '4' });
  writeFileSync(join(directory, 'bonding_masters'), '\n');
  try {
    expect(readLinks(directory)).toEqual([eth, { ...eth, name: 'port', ifindex: 3, flags: 0x1103, enslaved: true }]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('this machine has a loopback', () => {
  expect(readLinks().map(({ name }) => name)).toContain('lo');
});
