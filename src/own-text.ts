/**
 * A string of its own. What is cut out of a longer string keeps all of that alive in V8, and what was put together keeps
 * its parts: the few characters of a URL would hold the whole head of the request that brought it. For names that
 * outlive their request, which are ASCII, or what a record in UTF-8 can hold.
 */
export function ownText(text: string): string {
  return Buffer.from(text).toString();
}
