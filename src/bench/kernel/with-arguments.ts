import type { Contestant } from '../model.js';

/** The same contestant, under its own name, started with more arguments. */
export function withArguments(contestant: Contestant, more: readonly string[]): Contestant {
  return {
    name: contestant.name,
    title: contestant.title,
    via: contestant.via,
    ...(contestant.config === undefined ? {} : { config: contestant.config }),
    missing: (host) => contestant.missing(host),
    version: (host) => contestant.version(host),
    prepare: async (place) => {
      const start = await contestant.prepare(place);
      return start && { ...start, command: [...start.command, ...more] };
    },
  };
}
