// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The contract's arithmetic as BPF: ring 2 asks it the calls that ring 1 has answered in C.
 *
 * Run by test runs only. The packet is an Ethernet header, then the call's number and three words;
 * the answer comes back in the first of the words.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.bpf.h"
#include "../contract/mapping-calls.h"

#define CALL_AT 14

SEC("tc")
int mapping(struct __sk_buff *skb)
{
	splice_u32 words[4], answer;

	if (bpf_skb_load_bytes(skb, CALL_AT, words, sizeof(words)))
		return TC_ACT_SHOT;
	answer = mapping_call(words[0], words[1], words[2], words[3]);
	if (bpf_skb_store_bytes(skb, CALL_AT + 4, &answer, sizeof(answer), 0))
		return TC_ACT_SHOT;
	return words[0] < CALLS_MAX ? TC_ACT_OK : TC_ACT_SHOT;
}
