/** The text of src/abi.gen.ts, as include/splice/ would make it now. */
export function generate(): Promise<string>;
