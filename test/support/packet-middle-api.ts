/** What packet-middle.ts tells of a flow. */
export interface MiddleFlow {
  readonly clientPort: number;
  /** Bytes that Node's streams carried, both directions together. */
  readonly copied: number;
  readonly backend: string;
  readonly refusals: readonly string[];
  /** Of the spliced flow, once it has ended. */
  readonly reason?: string;
  readonly bytes?: number;
  readonly failed?: string;
}
