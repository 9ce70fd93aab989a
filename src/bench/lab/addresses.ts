/** The two ways in which IPv6 addresses are written: as tools for routes want them, and before a port. IPv4 has one. */

/** Without brackets. */
export const bare = (address: string): string => address.replace(/[[\]]/g, '');

/** An IPv6 address in brackets, whether it had them or not. */
export const bracketed = (address: string): string => (address.includes(':') ? `[${bare(address)}]` : address);
