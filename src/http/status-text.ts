/** Reason phrases of the IANA registry of status codes, for responses that we make; empty for a code without one. */
import { STATUS_CODES } from 'node:http';

export function statusText(status: number): string {
  switch (status) {
    // Node still has the names of RFC 7231.
    case 413:
      return 'Content Too Large';
    case 422:
      return 'Unprocessable Content';
    default:
      return STATUS_CODES[status] ?? '';
  }
}
