import { describe, expect, test } from 'vitest';
import { parseAuthority } from '../../../src/http/authority.js';
import type { Route } from '../../../src/proxy/site.js';
import { RouteTable } from '../../../src/server/http-routes.js';

/** A table of places, each with a route of that name; asked as a request would. */
function tableOf(...places: string[]) {
  const table = new RouteTable(
    places.map((place) => {
      const slash = place.indexOf('/');
      // Only the name is looked at here.
      return { host: place.slice(0, slash), path: place.slice(slash), route: { name: place } as Route };
    }),
  );
  return (host: string | undefined, path: string) =>
    table.find(host === undefined ? undefined : parseAuthority(host), path)?.name;
}

describe('hosts', () => {
  const find = tableOf('*/', '*.example.com/', '*.b.example.com/', 'www.example.com/', '[fd00::1]/');
  test.each([
    ['www.example.com', 'www.example.com/'],
    ['WWW.EXAMPLE.COM:8080', 'www.example.com/'],
    ['www.example.com.', 'www.example.com/'],
    ['x.example.com', '*.example.com/'],
    ['x.y.example.com', '*.example.com/'],
    ['x.b.example.com', '*.b.example.com/'],
    ['b.example.com', '*.example.com/'],
    ['example.com', '*/'],
    ['myexample.com', '*/'],
    ['[fd00::1]:80', '[fd00::1]/'],
    ['[FD00:0::1]', '[fd00::1]/'],
    ['10.0.0.1', '*/'],
    [undefined, '*/'],
  ])('%s -> %s', (host, place) => expect(find(host, '/')).toBe(place));

  test('only those that name the host', () => {
    const table = new RouteTable(
      ['*', '*.e.com', 'a.org'].map((host) => ({ host, path: '/', route: { name: host } as Route })),
    );
    const named = (host: string) => table.find(parseAuthority(host), '/', true)?.name;
    expect(['x.e.com', 'a.org', 'b.org'].map(named)).toEqual(['*.e.com', 'a.org', undefined]);
  });

  test('nobody', () => {
    expect(tableOf('www.example.com/')('example.com', '/')).toBeUndefined();
    expect(tableOf('www.example.com/')(undefined, '/')).toBeUndefined();
    expect(tableOf()('a', '/')).toBeUndefined();
  });
});

describe('paths', () => {
  const find = tableOf('a/', 'a/api/', 'a/api/v2', 'a/x', '*/x/deep/');
  test.each([
    ['/', 'a/'],
    ['/api', 'a/'],
    ['/api/', 'a/api/'],
    ['/api/v1', 'a/api/'],
    ['/api/v2', 'a/api/v2'],
    ['/api/v2?q', 'a/api/v2'],
    ['/api/v2/x', 'a/api/v2'],
    ['/api/v22', 'a/api/'],
    ['/?/api/', 'a/'],
    ['/x?y', 'a/x'],
    ['/xy', 'a/'],
    // The host comes first: what is for every host does not go before what is for this one.
    ['/x/deep/1', 'a/x'],
  ])('%s -> %s', (path, place) => expect(find('a', path)).toBe(place));

  test('a path that a host has nothing for goes to the less specific ones', () => {
    const partly = tableOf('www.e.com/api/', '*.e.com/img/', '*.w.e.com/', '*/');
    expect(partly('www.e.com', '/api/x')).toBe('www.e.com/api/');
    expect(partly('www.e.com', '/img/x')).toBe('*.e.com/img/');
    expect(partly('www.e.com', '/x')).toBe('*/');
    expect(partly('a.w.e.com', '/img/x')).toBe('*.w.e.com/');
  });

  test('of two with one place the first', () => {
    const first = { name: 'first' } as Route;
    const second = { name: 'second' } as Route;
    const places = [first, second].map((route) => ({ host: 'a', path: '/', route }));
    expect(new RouteTable(places).find(parseAuthority('a'), '/')).toBe(first);
  });
});
