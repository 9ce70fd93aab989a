/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What differs between the kernels that the module is for: nothing else in kernel/ asks for a version.
 *
 * Supported is what is built and tested: 6.1, 6.12 and 7.3 of Debian (test/vm/kernels.yaml). The
 * conditions name the version in which something came, so that SYMSPLICE_FORCE has a chance with
 * those in between. What compiles unchanged, and yet means something else in a newer kernel, is
 * listed here as well:
 *
 * 6.7	TCP timestamps may tick microseconds, by a route's feature: per socket, and only the local
 *	clock. Differences of clocks stay differences, whatever they tick.
 * 6.10	a device with rx-gro-list merges segments of connections without a socket into a list that
 *	keeps every header (SKB_GSO_FRAGLIST, before only UDP's): segment.c makes the usual kind of it
 * 6.10	SO_PEEK_OFF works on TCP: it would move where the pump looks, see splice.c and pump.c
 * 6.15	a host takes what completes a handshake only if it echoes the timestamp of its SYN-ACK. So a server that
 *	missed our third acknowledgement refuses relayed segments until it sends the SYN-ACK again, a second
 *	later; older ones took them at once. Whatever kernel is here: it is the server's that asks
 * 7.0	Accurate ECN (RFC 9768) can be switched on. What it says counts marks of one connection, with
 *	offsets that nobody maps: refused
 * 7.0	merged segments longer than 64 KiB have no hop-by-hop header any more, but payload length 0
 */
#ifndef SYMSPLICE_COMPAT_H
#define SYMSPLICE_COMPAT_H

#include <linux/version.h>
#include <net/dsfield.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/tcp.h>

#define SS_SINCE(major, minor) (LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))
#define SS_IS(major, minor) (SS_SINCE(major, minor) && !SS_SINCE(major, (minor) + 1))

#if !SS_IS(6, 1) && !SS_IS(6, 12) && !SS_IS(7, 3) && !defined(SYMSPLICE_FORCE)
#error "symsplice: tested with Linux 6.1, 6.12 and 7.3 only. To build it for another one: make SYMSPLICE_FORCE=y"
#endif
#if !IS_ENABLED(CONFIG_IPV6)
#error "symsplice: the kernel is built without IPv6"
#endif
#if BITS_PER_LONG != 64
#error "symsplice: numbers of flows are indexes of an xarray, which are unsigned long"
#endif

/* Moved in 6.12. */
#if SS_SINCE(6, 12)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/* Whether the socket's timestamps tick microseconds, not milliseconds. */
static inline bool ss_compat_has_microseconds(const struct tcp_sock *tp)
{
#if SS_SINCE(6, 7)
	return tp->tcp_usec_ts;
#else
	return false;
#endif
}

/* The clock of TCP's timestamps now, without a socket's offset. */
static inline u32 ss_compat_clock(bool microseconds)
{
#if SS_SINCE(6, 7)
	return tcp_clock_ts(microseconds);
#else
	return tcp_time_stamp_raw();
#endif
}

/* Each segment is signed, or encrypted, for just this connection. */
static inline bool ss_compat_is_authenticated(const struct sock *sk)
{
#ifdef CONFIG_TCP_MD5SIG
	if (rcu_access_pointer(tcp_sk(sk)->md5sig_info))
		return true;
#endif
#if SS_SINCE(6, 7) && defined(CONFIG_TCP_AO)
	if (rcu_access_pointer(tcp_sk(sk)->ao_info))
		return true;
#endif
#if SS_SINCE(6, 18) && IS_ENABLED(CONFIG_INET_PSP)
	if (rcu_access_pointer(sk->psp_assoc))
		return true;
#endif
	return false;
}

/* RFC 3168. */
static inline bool ss_compat_has_ecn(const struct tcp_sock *tp)
{
#if SS_SINCE(6, 15)
	return tcp_ecn_mode_rfc3168(tp);
#else
	return tp->ecn_flags & TCP_ECN_OK;
#endif
}

/* RFC 9768. Names of it are older than what makes use of them. */
static inline bool ss_compat_has_accurate_ecn(const struct tcp_sock *tp)
{
#if SS_SINCE(6, 15)
	return tcp_ecn_mode_accecn(tp);
#else
	return false;
#endif
}

/* Bytes of the extension header in which the kernel notes the length of a merged packet, and which never
 * leaves the host.
 */
static inline unsigned int ss_compat_jumbo(const struct sk_buff *skb)
{
#if SS_SINCE(7, 0)
	return 0;
#else
	return ipv6_has_hopopt_jumbo(skb) == IPPROTO_TCP ? sizeof(struct hop_jumbo_hdr) : 0;
#endif
}

/* As a socket with this type of service asks for its route: since 6.12 by all six bits of the code point,
 * which have a type of their own since 6.18; before by what RFC 1349 defines.
 */
static inline void ss_compat_set_tos(struct flowi4 *fl4, u8 tos)
{
#if SS_SINCE(6, 18)
	fl4->flowi4_dscp = inet_dsfield_to_dscp(tos);
#elif SS_SINCE(6, 12)
	fl4->flowi4_tos = tos & INET_DSCP_MASK;
#else
	fl4->flowi4_tos = RT_TOS(tos);
#endif
}

#endif
