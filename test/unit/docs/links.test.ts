/** Links between our own documents lead somewhere: to a file that exists, and to a heading in it. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { DOCUMENTS } from './documents.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** GitHub's name for a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

function anchorsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '');
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchor(heading!));
}

function brokenLinks(document: string): string[] {
  const text = readFileSync(path.join(root, document), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^https?:/.test(link));
  return links.filter((link) => {
    const [file = '', heading] = link.split('#');
    const target = file === '' ? path.join(root, document) : path.resolve(root, path.dirname(document), file);
    return !existsSync(target) || (heading !== undefined && !anchorsOf(target).includes(heading));
  });
}

test.each(DOCUMENTS)('%s', (document) => {
  expect(brokenLinks(document)).toEqual([]);
});

test('there are links to look at', () => {
  expect(readFileSync(path.join(root, 'README.md'), 'utf8')).toContain('](docs/splice-socks.md)');
});
