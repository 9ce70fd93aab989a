/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The kernel fields that the programs read, and nothing else.
 *
 * CO-RE: libbpf finds each field by name in the BTF of the running kernel and
 * patches its offset at load, so neither order nor the missing neighbours matter.
 * A field that a kernel lacks makes the load fail, with its name in the log,
 * unless the program asks bpf_core_field_exists() first.
 */
#ifndef SPLICE_VMLINUX_MIN_H
#define SPLICE_VMLINUX_MIN_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net_device {
	int ifindex;
	unsigned int flags;
};

struct dst_entry {
	struct net_device *dev;
	void *xfrm;
	void *lwtstate;
};

struct sock_common {
	volatile unsigned char skc_state;
};

struct rb_root {
	void *rb_node;
};

/* Nonzero while held. Other architectures, and kernels for real time, have other locks. */
struct qspinlock {
	struct {
		volatile int counter;
	} val;
};

struct sock {
	struct sock_common __sk_common;
	struct {
		int len;
	} sk_backlog;
	struct {
		struct {
			struct {
				struct qspinlock raw_lock;
			} rlock;
		} slock;   /* held while a segment is worked on */
		int owned; /* a process holds the lock: segments go to the backlog */
	} sk_lock;
	struct dst_entry *sk_dst_cache;
};

struct inet_connection_sock {
	__u32 icsk_pmtu_cookie; /* path MTU for which the segment size was computed */
	void *icsk_ulp_ops;
};

struct tcp_options_received {
	__u32 ts_recent;
	__u16 tstamp_ok : 1;
	__u16 sack_ok : 3;
	__u16 snd_wscale : 4;
	__u16 rcv_wscale : 4;
	__u16 user_mss;  /* TCP_MAXSEG; 0: not set */
	__u16 mss_clamp; /* announced by the peer */
};

struct tcp_sock {
	__u64 bytes_acked; /* payload acknowledged by the peer since the connection began */
	__u32 copied_seq;  /* first sequence number that no reader has taken yet */
	volatile __u32 rcv_nxt;
	__u32 rcv_wup;
	__u32 rcv_wnd;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 snd_wnd;
	__u32 write_seq; /* behind the last byte that the application has written */
	__u32 tsoffset;
	__u8 tcp_usec_ts : 1; /* since Linux 6.7 */
	__u8 ecn_flags;
	__u16 advmss; /* announced to the peer */
	_Bool is_mptcp;
	void *md5sig_info;
	struct rb_root out_of_order_queue;
	struct tcp_options_received rx_opt;
};

/* Since Linux 6.7. A flavour: the name behind ___ is dropped when libbpf looks for it. */
struct tcp_sock___ao {
	void *ao_info;
};

struct sk_buff {
	char cb[48]; /* belongs to the layer that holds the packet: to TCP, here */
};

struct tcp_skb_cb {
	__u32 seq; /* of the first byte */
};

#pragma clang attribute pop

#endif
