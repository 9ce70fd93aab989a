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
#include <bpf/bpf_core_read.h>

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

/* The packet behind the context, with what TCP notes on it (Linux 6.2). */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym;

/* bpf_skb_adjust_room cuts at most 4095 bytes at a time; no segment has more than 512 KiB. */
#define CUT_MOST 4095
#define CUTS_MOST 132

/* Cuts off the head of the segment what was relayed before.
 *
 * TCP queues a segment whole when its first bytes have come before (a retransmission that
 * overlaps), or were read before (a reader took part of it ahead of the hand-over); readers skip
 * them by copied_seq. The kernel's tcp_read_skb does not, and would give those bytes twice.
 * Returns the bytes left, or a negative number when cutting failed.
 */
static __always_inline __s64 trim(struct __sk_buff *skb, struct splice_sockmap_half *half)
{
	struct sk_buff *packet = bpf_cast_to_kern_ctx(skb);
	struct tcp_skb_cb *tcp_cb = (struct tcp_skb_cb *)packet->cb;
	__u32 length = skb->len;
	struct tcp_sock *tcp;
	__u32 seq, cut;
	__s32 old;
	int i;

	if (bpf_core_read(&seq, sizeof(seq), &tcp_cb->seq))
		return -1;
	if (!half->next_known) {
		if (!skb->sk)
			return -1;
		tcp = bpf_skc_to_tcp_sock(skb->sk);
		if (!tcp)
			return -1;
		half->next_seq = tcp->copied_seq;
		half->next_known = 1;
	}
	old = (__s32)(half->next_seq - seq);
	if (old <= 0) {
		half->next_seq = seq + length;
		return length;
	}
	count(SPLICE_SOCKMAP_TRIMMED);
	if ((__u32)old > length)
		old = length;
	length -= old;
	for (i = 0; i < CUTS_MOST && old > 0; i++) {
		cut = old > CUT_MOST ? CUT_MOST : old;
		if (bpf_skb_adjust_room(skb, -(__s32)cut, 0, 0))
			return -1;
		old -= cut;
	}
	half->next_seq += length;
	return old > 0 ? -1 : (__s64)length;
}

SEC("sk_skb/stream_verdict")
int relay_verdict(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct splice_sockmap_half *half;
	struct tcp_sock *tcp;
	struct bpf_sock *target;
	__u64 *copied_bytes;
	__s64 outstanding;
	__u32 length;
	__s64 left;
	__u64 acked;

	half = bpf_map_lookup_elem(&halves, &cookie);
	if (!half) {
		/* Teardown removes the half last: nobody waits for these bytes. */
		count(SPLICE_SOCKMAP_NO_HALF);
		return SK_PASS;
	}
	left = trim(skb, half);
	if (left < 0) {
		/* A hole in the stream is left, and the pump resets the flow: better than
		 * bytes that come twice.
		 */
		half->lost += skb->len;
		count(SPLICE_SOCKMAP_NOT_TRIMMED);
		return SK_DROP;
	}
	if (!left) {
		/* A bare FIN comes as an empty segment, and the pump sees the FIN in the socket's
		 * state. Redirected, it would be sent on a target that the pump has shut down
		 * meanwhile, and leave EPIPE there.
		 */
		count(SPLICE_SOCKMAP_EMPTY);
		return SK_DROP;
	}
	length = left;
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
		/* Reset in this very moment: the bytes have nowhere to go. */
		half->lost += length;
		count(SPLICE_SOCKMAP_TARGET_LOST);
		return SK_DROP;
	}
	half->redirected += length;
	count(SPLICE_SOCKMAP_REDIRECTED);
	return SK_PASS;
}
