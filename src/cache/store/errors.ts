/**
 * What goes wrong in the store, in three sorts. A wrong call, or a directory that cannot be used at all, throws a
 * {@link CacheError}. What a disk does to a running store is a {@link StoreEvent}: something for the operator's log,
 * after which the store goes on. What became of one object is a value of the call that asked for it.
 */

/** Stable codes of {@link CacheError}. */
export type CacheErrorCode =
  | 'ERR_CACHE_ARGUMENT' // an argument has the wrong type or value
  | 'ERR_CACHE_STATE' // the call is not allowed any more: the store or the fill is closed
  | 'ERR_CACHE_LOCKED' // another process or thread has this directory open
  | 'ERR_CACHE_DIRECTORY'; // the directory cannot be made, read or written

export class CacheError extends Error {
  override readonly name = 'CacheError';
  readonly code: CacheErrorCode;

  constructor(code: CacheErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Something that the operator should know. `text` is a sentence without a final point. */
export interface StoreEvent {
  readonly kind:
    | 'opened' // the index is loaded
    | 'disk-full' // no space, no inode, or a quota: objects give way, what was being stored is not
    | 'denied' // a permission is missing, or the file system became read-only
    | 'io-error' // anything else that a system call said
    | 'stalled' // the disk is so far behind that nothing new is stored
    | 'corrupt' // bytes on disk are not what was written: one object is lost, or the snapshot
    | 'lost' // an object's file is missing or has the wrong size
    | 'power-loss'; // the machine stopped while the store was open: what was not yet safe was left out
  readonly text: string;
  readonly path?: string;
  readonly error?: unknown;
}

export type StoreEventListener = (event: StoreEvent) => void;

/** The name of the errno in an error of a system call, or ''. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** What sort of event an error of a system call is. */
export function eventKindOf(error: unknown): 'disk-full' | 'denied' | 'io-error' {
  switch (codeOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG': // RLIMIT_FSIZE, or the file system's own limit
      return 'disk-full';
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'denied';
    default:
      return 'io-error';
  }
}
