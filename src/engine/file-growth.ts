/**
 * Stage relay: a file that is being filled, for those who send what is there already. Whoever fills it (bodies, one
 * behind the other, or a program that writes for itself) owns it and says at last whether it is whole; followers, in
 * any worker of the process, find it by its number.
 */
import { native, type Growth } from '../native.js';

export class FileGrowth {
  readonly #growth: Growth;
  /** By which `Tap.sendFile` finds it, in every worker. */
  readonly number: number;

  /** `filled`: position below which every byte is in the file already. */
  constructor(filled = 0) {
    this.#growth = new (native().Growth)(filled);
    this.number = this.#growth.number();
  }

  get filled(): number {
    return this.#growth.filled();
  }

  /** For a program that writes for itself: every byte below `filled` is in the file, and is never written again. */
  advance(filled: number): void {
    this.#growth.advance(filled);
  }

  /** The file is whole as it is now. */
  complete(): void {
    this.#growth.end(true);
  }

  /** Nothing more will come. Followers that have not got all they were to send end as `short`. */
  fail(): void {
    this.#growth.end(false);
  }
}
