/**
 * Members that come and go, thousands a second: exchanges, bodies under way. A list, and every member knows its place.
 *
 * Not a Set, because of what that does to the garbage collector. A Set whose members change gets a new table every few
 * calls, and V8 links the old table to the new one, for the sake of iterators. Once such a table is in the old generation
 * and dead, it keeps its successor alive until the next full collection, that one the next, and each of them the members
 * that it had: whatever was in the Set is taken for long-lived, and copied twice. Of the bytes that survived young
 * collections under misses of 1 KB, four of ten did so for that reason alone.
 */
export interface Member {
  /** By the roster alone. A member is in one roster at a time. */
  place: number;
}

/** What a roster and a Set have in common. */
export interface Group<T> extends Iterable<T> {
  readonly size: number;
  add(member: T): unknown;
  delete(member: T): unknown;
}

/** The `place` of what is in no roster. */
export const ABSENT = -1;

export class Roster<T extends Member> implements Group<T> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: T): void {
    if (member.place === ABSENT) member.place = this.#members.push(member) - 1;
  }

  delete(member: T): void {
    const { place } = member;
    if (this.#members[place] !== member) return;
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      this.#members[place] = last;
      last.place = place;
    }
    member.place = ABSENT;
  }

  /** Those who are here now, in no order; who is taken out meanwhile is passed over. */
  *[Symbol.iterator](): Generator<T, void, void> {
    for (const member of [...this.#members]) if (this.#members[member.place] === member) yield member;
  }
}
