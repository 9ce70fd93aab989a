/**
 * What stands between the data of a chunked body. The data itself goes by another road, mostly the kernel's, so this
 * makes only the lines around it: `chunkHead(n)`, n bytes of data, `CHUNK_END`, and at last `lastChunk(trailers)`.
 */
import { SpliceArgumentError } from '../errors.js';
import { Fields } from './head.js';
import { serializeFields } from './serialize.js';

/** Behind the data of a chunk. Shared: do not write into it. */
export const CHUNK_END: Uint8Array = Buffer.from('\r\n', 'latin1');

const EMPTY_LAST: Uint8Array = Buffer.from('0\r\n\r\n', 'latin1');

/**
 * The line before `size` bytes of data. `first` false puts the end of the chunk before in front of it.
 *
 * @throws SpliceArgumentError for a size of 0, which would end the body.
 */
export function chunkHead(size: number, first = true): Uint8Array {
  if (!Number.isSafeInteger(size) || size <= 0) throw new SpliceArgumentError(`a chunk cannot have ${size} bytes`);
  return Buffer.from(`${first ? '' : '\r\n'}${size.toString(16)}\r\n`, 'latin1');
}

/** The end of the body: `0`, the trailer section, an empty line. */
export function lastChunk(trailers: Fields = Fields.EMPTY): Uint8Array {
  return trailers.size === 0 ? EMPTY_LAST : Buffer.from(`0\r\n${serializeFields(trailers)}\r\n`, 'latin1');
}
