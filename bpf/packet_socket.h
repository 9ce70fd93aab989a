/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The local sockets of a flow in transit, as they are at this moment.
 *
 * Called by the relay for segments in transit, and by `control`. The kernel may
 * change a socket on another processor meanwhile; every use below says why that
 * is harmless. Must release the reference on every path: hence one function that
 * copies what is needed.
 */
#ifndef SPLICE_PACKET_SOCKET_H
#define SPLICE_PACKET_SOCKET_H

#define TCP_STATE_FIN_WAIT1 4
#define TCP_STATE_TIME_WAIT 6
#define TCP_STATE_CLOSE 7
#define TCP_STATE_CLOSE_WAIT 8
#define TCP_STATE_LAST_ACK 9
#define TCP_STATE_LISTEN 10
#define TCP_STATE_CLOSING 11

struct local_socket {
	__u32 state;
	__u32 rcv_nxt;
	__u32 copied;     /* the next byte that the engine will read */
	__u32 rcv_edge;   /* what it has promised its peer */
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 write_seq;  /* behind the last byte that the engine has written */
	__u32 snd_window; /* what its peer has promised, from snd_una on */
	__u32 ts_recent;
	__u32 busy;       /* somebody works on it, or a backlog waits: the fields may not fit together */
	__u32 hole;       /* out-of-order segments are queued */
};

static __always_inline struct bpf_sock *find_socket(struct __sk_buff *skb, struct splice_flow_slot *flow,
						    struct splice_leg *leg)
{
	struct bpf_sock_tuple tuple = {};

	if (flow->family == 4) {
		__builtin_memcpy(&tuple.ipv4.saddr, leg->key.remote + 12, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, leg->key.local + 12, 4);
		tuple.ipv4.sport = leg->key.remote_port;
		tuple.ipv4.dport = leg->key.local_port;
		return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(tuple.ipv6.saddr, leg->key.remote, 16);
	__builtin_memcpy(tuple.ipv6.daddr, leg->key.local, 16);
	tuple.ipv6.sport = leg->key.remote_port;
	tuple.ipv6.dport = leg->key.local_port;
	return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* Whether another processor is in the middle of a segment. */
static __always_inline __u32 is_receiving(struct sock *sk)
{
	if (!bpf_core_field_exists(sk->sk_lock.slock.rlock.raw_lock.val.counter))
		return 0;
	return sk->sk_lock.slock.rlock.raw_lock.val.counter != 0;
}

/* Whether there is a connection (not its remains, nor a listener on its port). A FIN moves rcv_nxt
 * before it changes the state: so both are of one moment if nobody works on the socket after the
 * first look at rcv_nxt, and it is still the same behind the look at the state.
 */
FUNCTION int look(struct __sk_buff *skb, struct splice_flow_slot *flow, __u32 side,
			   struct local_socket *out)
{
	struct bpf_sock *found;
	struct tcp_sock *tcp;
	int usable = 0;

	if (!flow || !out)
		return 0;
	found = find_socket(skb, flow, &flow->leg[side & 1]);
	if (!found)
		return 0;
	tcp = bpf_skc_to_tcp_sock(found);
	if (tcp) {
		struct sock *sk = (struct sock *)tcp;

		out->rcv_nxt = tcp->rcv_nxt;
		out->busy = sk->sk_lock.owned || sk->sk_backlog.len || is_receiving(sk);
		out->state = sk->__sk_common.skc_state;
		out->busy |= tcp->rcv_nxt != out->rcv_nxt;
		out->copied = tcp->copied_seq;
		out->rcv_edge = tcp->rcv_wup + tcp->rcv_wnd;
		out->snd_una = tcp->snd_una;
		out->snd_nxt = tcp->snd_nxt;
		out->write_seq = tcp->write_seq;
		out->snd_window = tcp->snd_wnd;
		out->ts_recent = tcp->rx_opt.ts_recent;
		out->hole = tcp->out_of_order_queue.rb_node != 0;
		usable = out->state != TCP_STATE_LISTEN && out->state != TCP_STATE_CLOSE &&
			 out->state != TCP_STATE_TIME_WAIT;
	}
	bpf_sk_release(found);
	return usable;
}

/* The timestamp clock of the local socket towards `leg`, now (tcp_v4_send_*: tcp_clock plus an
 * offset of its own). Linux 6.7 may count microseconds.
 */
static __always_inline __u32 clock_of(struct splice_leg *leg)
{
	__u64 now = bpf_ktime_get_ns();

	now /= leg->flags & SPLICE_LEG_MICROSECONDS ? 1000 : 1000000;
	return (__u32)now + leg->clock_offset;
}

#endif
