/** Stage teardown: reports of the addon's relay threads, matched to the flows that wait for them. */
import { CLOSE_REASON_NAMES } from '../abi.gen.js';
import { throwUncaught } from '../errors.js';
import { REPORT_WORDS } from '../native.js';
import type { OnEnd } from './backend.js';
import type { Carriages } from './packet-words.js';

export class ReportedFlows {
  readonly #ends = new Map<number, OnEnd>();
  readonly #carriages: Carriages | undefined;

  /** `carriages`: what carried a flow last, where reports tell. */
  constructor(carriages?: Carriages) {
    this.#carriages = carriages;
  }

  /** `onEnd` is called once, when flow `id` is reported. */
  expect(id: number, onEnd: OnEnd): void {
    this.#ends.set(id, onEnd);
  }

  /** Nobody waits for the end of flow `id` any more. */
  forget(id: number): void {
    this.#ends.delete(id);
  }

  /** Takes a batch of reports, as the addon lays them out: see `REPORT_WORDS`. */
  deliver(words: Float64Array): void {
    for (let at = 0; at < words.length; at += REPORT_WORDS) {
      try {
        this.#report(words, at);
      } catch (error) {
        // Uncaught, as from any event; but the batch's other flows must not lose their ends.
        throwUncaught(error);
      }
    }
  }

  #report(words: Float64Array, at: number): void {
    const id = words[at]!;
    const onEnd = this.#ends.get(id);
    this.#ends.delete(id);
    onEnd?.(
      {
        reason: CLOSE_REASON_NAMES[words[at + 1]!]!,
        errno: words[at + 2]!,
        bytesUp: words[at + 3]!,
        bytesDown: words[at + 4]!,
        durationMs: words[at + 5]!,
      },
      this.#carriages?.of(words[at + 6]!, words[at + 7]!),
    );
  }
}

/** One piece of bytes behind another; undefined stands for none. */
export function join(first: Uint8Array | undefined, second: Uint8Array | undefined): Uint8Array | undefined {
  if (first === undefined || first.length === 0) return second;
  return second === undefined || second.length === 0 ? first : Buffer.concat([first, second]);
}
