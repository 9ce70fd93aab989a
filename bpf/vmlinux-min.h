/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The kernel fields that the programs read, and nothing else.
 *
 * CO-RE: libbpf finds each field by name in the BTF of the running kernel and
 * patches its offset at load, so neither order nor the missing neighbours matter.
 * A field that a kernel lacks makes the load fail, with its name in the log.
 */
#ifndef SPLICE_VMLINUX_MIN_H
#define SPLICE_VMLINUX_MIN_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct tcp_sock {
	__u64 bytes_acked; /* payload acknowledged by the peer since the connection began */
	__u32 copied_seq;  /* first sequence number that no reader has taken yet */
};

struct sk_buff {
	char cb[48]; /* belongs to the layer that holds the packet: to TCP, here */
};

struct tcp_skb_cb {
	__u32 seq; /* of the first byte */
};

#pragma clang attribute pop

#endif
