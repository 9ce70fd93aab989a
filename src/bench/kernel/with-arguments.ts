import type { Contestant } from '../model.js';

/** The same contestant, under its own name, started with more arguments. */
export function withArguments(contestant: Contestant, more: readonly string[]): Contestant {
  return {
    ...contestant,
    prepare: async (place) => {
      const start = await contestant.prepare(place);
      return start && { ...start, command: [...start.command, ...more] };
    },
  };
}
