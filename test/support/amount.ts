/**
 * How much of what a test repeats, or sends to fill something, is done here: SYMSPLICE_LAB_SHARE, 1 unless it is set. A guest under
 * emulation is so slow that ring 4 sets it lower. What a test must reach in any case is its own `least`.
 */
const share = Number(process.env['SYMSPLICE_LAB_SHARE'] ?? 1);
if (!(share > 0 && share <= 1)) throw new Error('SYMSPLICE_LAB_SHARE is a number above 0, up to 1');

export const amount = (usual: number, least = 1): number => Math.max(Math.min(least, usual), Math.round(usual * share));
