/** Makes of Vega's SVG a picture that can stand in a page with others: small, named, without clashes. Pure. */
import { escapeText } from './escape.js';
import { FONT } from './style.js';

export interface Names {
  /** Unique on the page. */
  readonly id: string;
  readonly title: string;
  /** For those who do not see it, and below the title of the file. */
  readonly about: string;
}

// To a reader of the screen the picture is one image with a name: roles of its parts would be read out one by one.
const ROLES =
  / (?:role="graphics-[a-z]+"|aria-roledescription="[^"]*"|aria-label="[^"]*"|aria-hidden="true"|class="[^"]*"|pointer-events="none")/g;
const INVISIBLE = /<path(?: d="(?:M0,0h[\d.]+v[\d.]+h-?[\d.]+Z)?")?(?: display="none")?\/>/g;
const FONTS = / font-family="[^"]*"/g;
const OPAQUE = / opacity="1"/g;
const COORDINATES = / (?:d|transform)="[^"]*"/g;
const LONG = /-?\d*\.\d{3,}(?:e-?\d+)?/g;

const rounded = (text: string): string => text.replace(LONG, (number) => String(Number(Number(number).toFixed(2))));

const NUMBER = '(\\d+(?:\\.\\d+)?)';
const ROOT = new RegExp(`^<svg\\b[^>]*?\\bwidth="${NUMBER}" height="${NUMBER}"[^>]*>`);

/** `ground` is what lies behind everything. */
export function tidySvg(svg: string, { id, title, about }: Names, ground = ''): string {
  const [whole = '', width = '0', height = '0'] = ROOT.exec(svg) ?? [];
  const root =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="${escapeText(FONT)}" role="img" aria-labelledby="${id}-title ${id}-about">` +
    `<title id="${id}-title">${escapeText(title)}</title><desc id="${id}-about">${escapeText(about)}</desc>${ground}`;
  const body = svg
    .slice(whole.length)
    .replace(ROLES, '')
    .replace(INVISIBLE, '')
    .replace(FONTS, '')
    .replace(OPAQUE, '')
    .replace(COORDINATES, rounded)
    .replace(/\b(clip|gradient)(?=\d)/g, `${id}-$1`);
  return root + body;
}
