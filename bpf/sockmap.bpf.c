// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Relay stage of the sockmap backend: hands each arriving segment of one socket
 * to the socket at the other end of the flow, without user space.
 *
 * Called by the kernel for every segment that becomes readable on a socket in
 * `peers`: in softirq, or in the task that holds the socket's lock; never twice
 * at a time for one source, which is why a half is counted without atomics.
 * Must never return SK_DROP for a byte that the pump could still carry.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "vmlinux-min.h"
#include "abi.bpf.h"
#include <splice/sockmap.h>

/* Source's cookie -> target's socket. Value as seen by user space: a descriptor. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, SPLICE_SOCKMAP_HALVES_DEFAULT);
	__type(key, __u64);
	__type(value, __u64);
} peers SEC(".maps");

/* Source's cookie -> counts and limits. Not preallocated: idle, it costs nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SPLICE_SOCKMAP_HALVES_DEFAULT);
	__type(key, __u64);
	__type(value, struct splice_sockmap_half);
} halves SEC(".maps");

/* Source's cookie -> bytes the pump has written to the target. Only the pump writes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SPLICE_SOCKMAP_HALVES_DEFAULT);
	__type(key, __u64);
	__type(value, __u64);
} copied SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPLICE_SOCKMAP_COUNTERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 reason)
{
	__u64 *slot = bpf_map_lookup_elem(&counters, &reason);

	if (slot)
		(*slot)++;
}

/* Leaves the segment to the pump. The count comes before the segment can be
 * read, so that a pump that has read it finds a `redirected` that stands still.
 */
static __always_inline int pass(struct splice_sockmap_half *half, __u32 length, __u32 reason)
{
	half->passed += length;
	count(reason);
	return SK_PASS;
}

SEC("sk_skb/stream_verdict")
int relay_verdict(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	__u32 length = skb->len;
	struct splice_sockmap_half *half;
	struct tcp_sock *tcp;
	struct bpf_sock *target;
	__u64 *copied_bytes;
	__s64 outstanding;
	__u64 acked;

	if (!length) {
		/* A bare FIN comes as an empty segment. It carries no byte, the pump sees the FIN
		 * in the socket's state; redirected, it would be sent on a target that the pump
		 * has shut down meanwhile and leave EPIPE there.
		 */
		count(SPLICE_SOCKMAP_EMPTY);
		return SK_DROP;
	}
	half = bpf_map_lookup_elem(&halves, &cookie);
	if (!half) {
		/* Teardown removes the half last: nobody waits for these bytes. */
		count(SPLICE_SOCKMAP_NO_HALF);
		return SK_PASS;
	}
	if (half->passed) {
		copied_bytes = bpf_map_lookup_elem(&copied, &cookie);
		/* Anything else would overtake them. */
		if (!copied_bytes || *copied_bytes != half->passed)
			return pass(half, length, SPLICE_SOCKMAP_BEHIND_COPY);
	}

	/* A redirect to a missing target would eat the bytes, so look first. */
	target = bpf_map_lookup_elem(&peers, &cookie);
	if (!target)
		return pass(half, length, SPLICE_SOCKMAP_NO_TARGET);
	tcp = bpf_skc_to_tcp_sock(target);
	if (!tcp) {
		bpf_sk_release(target);
		return pass(half, length, SPLICE_SOCKMAP_NOT_TCP);
	}
	acked = tcp->bytes_acked;
	bpf_sk_release(target);

	/* Negative while bytes from before the hand-over are still under way. */
	outstanding = (__s64)(half->redirected + half->passed - (acked - half->base));
	if (outstanding + (__s64)length > (__s64)half->limit)
		return pass(half, length, SPLICE_SOCKMAP_OVER_LIMIT);

	if (bpf_sk_redirect_hash(skb, &peers, &cookie, 0) != SK_PASS) {
		/* Reset in this very moment: the pump sees the error and ends the flow. */
		half->lost += length;
		count(SPLICE_SOCKMAP_TARGET_LOST);
		return SK_DROP;
	}
	half->redirected += length;
	count(SPLICE_SOCKMAP_REDIRECTED);
	return SK_PASS;
}
