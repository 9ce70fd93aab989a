/** Lets a few asynchronous jobs run at a time, and a bounded number wait, first come first served. */
export class Gate {
  readonly #width: number;
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(width: number, mostWaiting: number) {
    this.#width = width;
    this.#mostWaiting = mostWaiting;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs `job` when there is room. Undefined when too many wait already: it will not run. */
  run<T>(job: () => Promise<T>): Promise<T> | undefined {
    if (this.#running < this.#width) return this.#start(job);
    if (this.#waiting.length >= this.#mostWaiting) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(this.#start(job)));
    });
  }

  async #start<T>(job: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await job();
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }
}
