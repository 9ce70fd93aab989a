/** Where things of the benchmark are: the same from the sources and from the built files, which lie equally deep. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the repository, or of the installed package. */
export const ROOT = path.resolve(fileURLToPath(new URL('../../..', import.meta.url)));

/** C sources and the contestants' configurations. */
export const BENCH = path.join(ROOT, 'bench');

/** What the benchmark builds. */
export const BUILD = path.join(ROOT, 'build/bench');

/** Shell: raises the limit of open files, soft and hard, to what is allowed or a million, whichever is less. */
export const MANY_FILES = `files=$(ulimit -Hn); [ "$files" -le 1048576 ] 2>/dev/null || files=1048576; ulimit -n "$files" 2>/dev/null`;

/** PATH with the places of programs for administrators, which a user's lacks on Debian. */
export const PROGRAM_PATH = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`;
