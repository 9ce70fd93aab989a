// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stage accept: from a descriptor to a socket that can be spliced, or why it cannot.
 *
 * Called for requests, in the context of the process that asks. Must not keep anything of a process
 * that has not called splice().
 */
#include <linux/file.h>
#include <net/inet_sock.h>
#include <net/tcp.h>

#include "compat.h"
#include "symsplice.h"

/* The smallest path MTU that a sender can be told of: Linux' ip_rt_min_pmtu, RFC 8200 section 5. */
#define MTU_LEAST_V4 552
#define MTU_LEAST_V6 1280

/* With a reference to its file, or null. */
struct socket *ss_accept_socket(struct net *net, int fd, int *err)
{
	struct socket *sock = sockfd_lookup(fd, err);

	if (!sock)
		return NULL;
	if (!sk_is_tcp(sock->sk))
		*err = -EPROTOTYPE;
	else if (!net_eq(sock_net(sock->sk), net))
		*err = -EXDEV;
	else
		return sock;
	sockfd_put(sock);
	return NULL;
}

/* init_splice(): of a listening socket, whose connections inherit it, or of a connection. Reading steps
 * over an urgent byte that is not inline: one that one stream has and the other not.
 */
int ss_accept_init(struct ss_net *ssn, struct socket *sock)
{
	struct sock *sk = sock->sk;
	int err = ss_net_enable(ssn);

	if (err)
		return err;
	lock_sock(sk);
	sock_set_flag(sk, SOCK_URGINLINE);
	release_sock(sk);
	return 0;
}

static bool is_mapped(const struct sock *sk)
{
	return sk->sk_family == AF_INET || ipv6_addr_v4mapped(&sk->sk_v6_daddr);
}

/* As a segment from its peer names the connection. */
void ss_accept_key(const struct sock *sk, struct splice_key *key)
{
	const struct inet_sock *inet = inet_sk(sk);

	if (is_mapped(sk)) {
		ss_segment_key_v4(key, inet->inet_daddr, inet->inet_saddr);
	} else {
		memcpy(key->remote, &sk->sk_v6_daddr, 16);
		memcpy(key->local, &sk->sk_v6_rcv_saddr, 16);
	}
	key->remote_port = ss_key_port(inet->inet_dport);
	key->local_port = ss_key_port(inet->inet_sport);
}

/* The timestamp clock of the local socket towards `leg`, now. */
u32 ss_accept_clock(const struct splice_leg *leg)
{
	return ss_compat_clock(leg->flags & SPLICE_LEG_MICROSECONDS) + leg->clock_offset;
}

static u32 refusal_of(struct sock *sk)
{
	/* Somebody in the kernel has its eyes on it: a sockmap, KCM, an NBD client, ... */
	if (inet_csk(sk)->icsk_ulp_ops || READ_ONCE(sk->sk_user_data))
		return SPLICE_ANSWER_ULP;
	if (sk_is_mptcp(sk))
		return SPLICE_ANSWER_MPTCP;
	if (ss_compat_is_authenticated(sk))
		return SPLICE_ANSWER_AUTHENTICATED;
	if (ss_compat_has_accurate_ecn(tcp_sk(sk)))
		return SPLICE_ANSWER_ACCURATE_ECN;
	return SPLICE_ANSWER_DONE;
}

/* Whether segments can go where a relayed one would. Its key is there, and its family known. */
u32 ss_accept_way(struct ss_flow *flow, int side)
{
	const struct dst_entry *dst;

	if (ss_output_route(flow, side))
		return side == SPLICE_CLIENT ? SPLICE_ANSWER_NO_CLIENT : SPLICE_ANSWER_NO_SERVER;
	dst = flow->route[side].dst;
#ifdef CONFIG_XFRM
	if (dst->xfrm)
		return SPLICE_ANSWER_TUNNELED;
#endif
	if (dst->lwtstate)
		return SPLICE_ANSWER_TUNNELED;
	if (ss_output_is_local(flow, side))
		return SPLICE_ANSWER_LOCAL;
	return SPLICE_ANSWER_DONE;
}

/* What does not change any more once a connection is established. Under the socket's lock. */
u32 ss_accept_read(struct ss_flow *flow, int side, struct sock *sk)
{
	u32 none = side == SPLICE_CLIENT ? SPLICE_ANSWER_NO_CLIENT : SPLICE_ANSWER_NO_SERVER;
	struct splice_leg *leg = &flow->slot.leg[side];
	const struct tcp_sock *tp = tcp_sk(sk);
	const struct dst_entry *dst;

	if ((1 << sk->sk_state) & ~(TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2))
		return none;
	/* The process reads no more: what comes would be nobody's, and its end is no end of the stream. */
	if (tp->repair || ((sk->sk_shutdown & RCV_SHUTDOWN) && !sock_flag(sk, SOCK_DONE)))
		return none;
	/* A device that goes takes itself out of routes. */
	rcu_read_lock();
	dst = __sk_dst_get(sk);
	leg->ifindex = dst ? READ_ONCE(dst->dev)->ifindex : sk->sk_bound_dev_if;
	rcu_read_unlock();
	leg->flags |= (tp->rx_opt.tstamp_ok ? SPLICE_LEG_TIMESTAMPS : 0) |
		      (tp->rx_opt.sack_ok ? SPLICE_LEG_SACK : 0) |
		      (ss_compat_has_microseconds(tp) ? SPLICE_LEG_MICROSECONDS : 0) |
		      (ss_compat_has_ecn(tp) ? SPLICE_LEG_ECN : 0);
	leg->clock_offset = tp->tsoffset;
	leg->peer_scale = tp->rx_opt.snd_wscale;
	leg->own_scale = tp->rx_opt.rcv_wscale;
	return refusal_of(sk);
}

static u32 advertised(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->rx_opt.user_mss && tp->rx_opt.user_mss < tp->advmss ? tp->rx_opt.user_mss : tp->advmss;
}

static bool fit_leg(struct ss_flow *flow, int side, const struct sock *sk, const struct sock *other)
{
	u32 headers = flow->slot.family == 4 ? 40 : 60;
	u32 least = flow->slot.family == 4 ? MTU_LEAST_V4 : MTU_LEAST_V6;
	u32 limit = tcp_sk(sk)->rx_opt.mss_clamp;
	u32 pmtu = inet_csk(sk)->icsk_pmtu_cookie;

	if (pmtu > headers && pmtu - headers < limit)
		limit = pmtu - headers;
	if (limit + headers < least && limit < advertised(other))
		return false;
	flow->slot.leg[side].limit = min(limit, 65535u);
	return true;
}

/* The process may have passed a FIN on, but must not have made one up: what its sender's stream still
 * brings, or has brought and nobody has read, would stand behind it.
 */
static bool ended_alike(const struct sock *from, const struct sock *to)
{
	bool sent = (1 << to->sk_state) & (TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2);

	return !sent || (sock_flag(from, SOCK_DONE) &&
			 tcp_sk(from)->copied_seq == tcp_sk(from)->rcv_nxt);
}

/* Whether the two legs can be one. Both have been read, and are locked. */
u32 ss_accept_fits(struct ss_flow *flow, struct sock *client, struct sock *server)
{
	const struct splice_leg *legs = flow->slot.leg;

	if (is_mapped(client) != is_mapped(server))
		return SPLICE_ANSWER_BAD_REQUEST;
	flow->slot.family = is_mapped(client) ? 4 : 6;
	if (!ended_alike(client, server))
		return SPLICE_ANSWER_NO_SERVER;
	if (!ended_alike(server, client))
		return SPLICE_ANSWER_NO_CLIENT;
	/* A receiver may drop what lacks the timestamps that it negotiated (RFC 7323 section 3.2). */
	if ((legs[SPLICE_CLIENT].flags ^ legs[SPLICE_SERVER].flags) & SPLICE_LEG_TIMESTAMPS)
		return SPLICE_ANSWER_TIMESTAMPS;
	if (!fit_leg(flow, SPLICE_CLIENT, client, server) ||
	    !fit_leg(flow, SPLICE_SERVER, server, client))
		return SPLICE_ANSWER_SMALL_SEGMENTS;
	return SPLICE_ANSWER_DONE;
}
