import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ABSENT, Roster } from '../../../src/flow/roster.js';

interface Named {
  readonly name: number;
  place: number;
}

test('a roster is a set', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ adds: fc.boolean(), name: fc.nat(5) })), (calls) => {
      const members = Array.from({ length: 6 }, (_, name): Named => ({ name, place: ABSENT }));
      const roster = new Roster<Named>();
      const model = new Set<number>();
      for (const { adds, name } of calls) {
        const member = members[name]!;
        if (adds) {
          roster.add(member);
          model.add(name);
        } else {
          roster.delete(member);
          model.delete(name);
        }
        expect(roster.size).toBe(model.size);
        expect([...roster].map((each) => each.name).sort()).toEqual([...model].sort());
      }
    }),
  );
});

test('who is taken out while the others are visited is passed over, who comes is too', () => {
  const members = Array.from({ length: 5 }, (_, name): Named => ({ name, place: ABSENT }));
  const roster = new Roster<Named>();
  for (const member of members) roster.add(member);
  const late = { name: 9, place: ABSENT };
  const visited: number[] = [];
  for (const member of roster) {
    visited.push(member.name);
    roster.add(late);
    roster.delete(member);
    if (member.name === 1) roster.delete(members[3]!);
  }
  expect(visited).toEqual([0, 1, 2, 4]);
  expect([...roster]).toEqual([late]);
});

test('a member of one roster is none of another', () => {
  const [one, other] = [new Roster<Named>(), new Roster<Named>()];
  const member = { name: 1, place: ABSENT };
  one.add(member);
  other.add({ name: 2, place: ABSENT });
  other.delete(member);
  expect([one.size, other.size]).toEqual([1, 1]);
});
