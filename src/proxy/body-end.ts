/** Stage teardown of content: ends that are known once, now or later, with a promise only for those who ask. */
import type { BodyEnd, ReceivedEnd } from './body.js';

export class Ending<T> {
  #value: T | undefined;
  #promise: Promise<T> | undefined;
  #resolve: ((value: T) => void) | undefined;

  get value(): T | undefined {
    return this.#value;
  }

  get promise(): Promise<T> {
    if (this.#promise !== undefined) return this.#promise;
    const value = this.#value;
    return (this.#promise =
      value !== undefined ? Promise.resolve(value) : new Promise((resolve) => (this.#resolve = resolve)));
  }

  /** False when it was known already: the first word counts. */
  settle(value: T): boolean {
    if (this.#value !== undefined) return false;
    this.#value = value;
    this.#resolve?.(value);
    return true;
  }
}

/** The receiver's end, as SendTransfer shows it. */
export class SendEnds {
  protected readonly to = new Ending<BodyEnd>();

  get delivered(): Promise<BodyEnd> {
    return this.to.promise;
  }

  get deliveredEnd(): BodyEnd | undefined {
    return this.to.value;
  }
}

/** Both ends, as Transfer shows them. */
export class TransferEnds extends SendEnds {
  protected readonly from = new Ending<ReceivedEnd>();

  get received(): Promise<ReceivedEnd> {
    return this.from.promise;
  }

  get receivedEnd(): ReceivedEnd | undefined {
    return this.from.value;
  }
}
