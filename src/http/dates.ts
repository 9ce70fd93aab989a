/**
 * Dates of HTTP: the three forms that a recipient must understand, and the one that a sender writes (RFC 9110 section
 * 5.6.7). Pure: the present comes as an argument. Strict about the grammar, because a date that is misread makes a
 * stale answer fresh, but not about the case of letters, as RFC 9111 section 4.2 asks of caches. The name of the day is
 * checked for being one, not for being the right one: nothing hangs on it, and senders get it wrong.
 */

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const LONG_DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] as const;

const FIFTY_YEARS = 50;

/** The last date of the usual form: an origin's answers of the same second all have the same. */
let readText = '';
let readMoment: number | undefined;

/** Milliseconds since the epoch; undefined when `text` is no date. `nowMs` gives a year of two digits its century. */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  if (text === readText) return readMoment;
  const lower = text.toLowerCase();
  const comma = lower.indexOf(',');
  if (comma === 3) {
    readText = text;
    return (readMoment = parseFixdate(lower));
  }
  return comma === -1 ? parseAsctime(lower) : parseRfc850(lower, comma, nowMs);
}

/** `Sun, 06 Nov 1994 08:49:37 GMT`. */
function parseFixdate(text: string): number | undefined {
  if (text.length !== 29 || !text.endsWith(' gmt') || !isOneOf(DAYS, text.slice(0, 3))) return undefined;
  if (text[4] !== ' ' || text[7] !== ' ' || text[11] !== ' ' || text[16] !== ' ') return undefined;
  return moment(number(text, 12, 4), text.slice(8, 11), number(text, 5, 2), text, 17);
}

/** `Sunday, 06-Nov-94 08:49:37 GMT`. */
function parseRfc850(text: string, comma: number, nowMs: number): number | undefined {
  const at = comma + 2;
  if (text.length !== at + 22 || !text.endsWith(' gmt') || !isOneOf(LONG_DAYS, text.slice(0, comma))) return undefined;
  if (text[at - 1] !== ' ' || text[at + 2] !== '-' || text[at + 6] !== '-' || text[at + 9] !== ' ') return undefined;
  const short = number(text, at + 7, 2);
  if (short === undefined) return undefined;
  // Of the present century, but of the one before where that would be more than 50 years ahead.
  const limit = new Date(nowMs);
  const present = limit.getUTCFullYear();
  limit.setUTCFullYear(present + FIFTY_YEARS);
  const inYear = (year: number): number | undefined =>
    moment(year, text.slice(at + 3, at + 6), number(text, at, 2), text, at + 10);
  const year = present - (present % 100) + short;
  const result = inYear(year);
  return result !== undefined && result > limit.getTime() ? inYear(year - 100) : result;
}

/** `Sun Nov  6 08:49:37 1994`. */
function parseAsctime(text: string): number | undefined {
  if (text.length !== 24 || !isOneOf(DAYS, text.slice(0, 3))) return undefined;
  if (text[3] !== ' ' || text[7] !== ' ' || text[10] !== ' ' || text[19] !== ' ') return undefined;
  const day = text[8] === ' ' ? number(text, 9, 1) : number(text, 8, 2);
  return moment(number(text, 20, 4), text.slice(4, 7), day, text, 11);
}

/** With the time `08:49:37` at `at`. A leap second is the second before, as clocks of the kernel count it. */
function moment(
  year: number | undefined,
  monthName: string,
  day: number | undefined,
  text: string,
  at: number,
): number | undefined {
  const month = MONTHS.findIndex((name) => name === monthName);
  const hour = number(text, at, 2);
  const minute = number(text, at + 3, 2);
  const second = number(text, at + 6, 2);
  if (year === undefined || month === -1 || day === undefined) return undefined;
  if (hour === undefined || minute === undefined || second === undefined) return undefined;
  if (text[at + 2] !== ':' || text[at + 5] !== ':' || hour > 23 || minute > 59 || second > 60) return undefined;
  const date = new Date(0);
  // Not Date.UTC, which takes a year below 100 for one of the 20th century.
  date.setUTCFullYear(year, month, day);
  if (day === 0 || date.getUTCMonth() !== month) return undefined;
  return date.setUTCHours(hour, minute, Math.min(second, 59));
}

function number(text: string, at: number, digits: number): number | undefined {
  let value = 0;
  for (let i = at; i < at + digits; i++) {
    const c = text.charCodeAt(i);
    if (!(c >= 0x30 && c <= 0x39)) return undefined;
    value = value * 10 + c - 0x30;
  }
  return value;
}

function isOneOf(names: readonly string[], name: string): boolean {
  return names.includes(name);
}

const EARLIEST = Date.parse('0000-01-01T00:00:00Z');
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

let lastSecond = Number.NaN;
let lastText = '';

/**
 * As IMF-fixdate. A server writes the same second thousands of times, so the last one is kept.
 *
 * @throws RangeError outside of the years 0 to 9999, which the form cannot write.
 */
export function formatHttpDate(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second === lastSecond) return lastText;
  if (!(ms >= EARLIEST && ms <= LATEST)) throw new RangeError(`${ms} is no time that HTTP can write`);
  // toUTCString has been this very form since ECMAScript 2018.
  lastText = new Date(second * 1000).toUTCString();
  lastSecond = second;
  return lastText;
}
