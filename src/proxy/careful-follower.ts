/**
 * Stage relay: one who follows a fill while the disk is in trouble, and can still be served otherwise. It gives nothing
 * before so much is in the file that the rest will probably get there too: whoever has got something of a fill that
 * then fails is cut, and whoever has got nothing asks the origin. Made by live-fill.ts.
 */
import type { Follower, Piece } from '../cache/store/fill-types.js';

/** More than most responses have, and not so much that a slow origin keeps one waiting for long. */
const ENOUGH_BYTES = 1024 * 1024;

/** `follower`: of a whole representation, at its beginning. `length`: that of the fill, if it is known. */
export function carefully(follower: Follower, length: number | undefined): Follower {
  const enough = Math.min(length ?? Infinity, ENOUGH_BYTES);
  /** What is in memory is not much: the store keeps only small bodies there. */
  const held: Piece[] = [];
  let trusted = false;
  const next = async (): Promise<Piece> => {
    while (!trusted) {
      const piece = await follower.next();
      if (piece.kind === 'failed') return piece;
      held.push(piece);
      trusted = piece.kind === 'end' || (piece.kind === 'file' && piece.end >= enough);
    }
    return held.shift() ?? follower.next();
  };
  return { next, close: () => follower.close() };
}
