/** Checks of numbers that callers give: a value that is wrong here is wrong in every state. */
import { SpliceArgumentError } from '../errors.js';

export function requireNumber(name: string, value: number, least: number, most: number): void {
  if (typeof value !== 'number' || Number.isNaN(value) || value < least || value > most) {
    throw new SpliceArgumentError(`${name}: ${String(value)} is not between ${least} and ${most}`);
  }
}

export function requireInteger(name: string, value: number, least: number, most: number): void {
  requireNumber(name, value, least, most);
  if (!Number.isInteger(value)) throw new SpliceArgumentError(`${name}: ${value} is no whole number`);
}
