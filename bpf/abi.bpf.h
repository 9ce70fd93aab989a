/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Included once by every program: the number by which addon/bpf_loader.cc tells
 * an object of another build from ours, before the kernel sees any of it.
 * Its own section and no map: nothing of it is loaded.
 */
#ifndef SPLICE_ABI_BPF_H
#define SPLICE_ABI_BPF_H

#include <splice/abi.h>

const unsigned int splice_abi_version SEC("splice_abi") = SPLICE_ABI_VERSION;

char splice_license[] SEC("license") = "Dual MIT/GPL";

#endif
