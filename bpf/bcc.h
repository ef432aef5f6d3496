// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The same programs for BCC, which compiles them on a node against its kernel's own headers: this stands in the place
// of kernel.h and of the maps of record.h. skoopctl/bpf/rendering.py puts the parts into one text and writes calls of
// maps in BCC's way; remote/ev_bcc.py adds what a node's headers have (HAS_..., VALUE_..., skoop_args_N).
#include <linux/skbuff.h>
#include <linux/netdevice.h>
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/inet_sock.h>
#include <net/inet_connection_sock.h>
#include <net/net_namespace.h>
#include <net/request_sock.h>

#undef AF_INET
#undef AF_INET6
#undef ETH_P_IP
#undef ETH_P_IPV6
#undef ETH_P_TEB
#undef ETH_P_8021Q
#undef ICSK_TIME_LOSS_PROBE
#undef PACKET_LOSS
#undef IPPROTO_TCP
#undef IPPROTO_UDP
#undef IPPROTO_SCTP
#undef IPPROTO_UDPLITE
#undef IPPROTO_DCCP
#undef IPPROTO_IPIP
#undef IPPROTO_IPV6
#undef IPPROTO_GRE

#undef READ
#undef WRITE

#define IS_SET(name) SETTING_##name
#define SETTING_skoop_args_2 skoop_args_2
#define SETTING_skoop_args_3 skoop_args_3
#define SETTING_skoop_args_4 skoop_args_4

#define READ1(p, a) \
	({ __typeof__((p)->a) value_ = 0; bpf_probe_read_kernel((void *)&value_, sizeof(value_), (void *)&(p)->a); value_; })
#define READ2(p, a, b) ({ __typeof__((p)->a) first_ = READ1(p, a); READ1(first_, b); })
#define READ3(p, a, b, c) ({ __typeof__((p)->a) before_ = READ1(p, a); READ2(before_, b, c); })
#define READ4(p, a, b, c, d) ({ __typeof__((p)->a) earlier_ = READ1(p, a); READ3(earlier_, b, c, d); })
#define READ_BY(_1, _2, _3, _4, name, ...) name
#define BPF_CORE_READ(p, ...) READ_BY(__VA_ARGS__, READ4, READ3, READ2, READ1)(p, __VA_ARGS__)
#define bpf_core_read(to, size, from) bpf_probe_read_kernel(to, size, (void *)(from))
#define bpf_core_field_exists(field) 1
#define bpf_core_enum_value_exists(type, name) HAS_##name
#define bpf_core_enum_value(type, name) VALUE_##name
#define BPF_CORE_READ_BITFIELD_PROBED(p, field) BITFIELD_##field(p)
// The address of a bitfield is in no header: whatever depends on it is undecided.
#define BITFIELD_icsk_ca_state(p) ({ event->flags |= UNDECIDED; 0; })
// A bitfield before 5.6, with a word of its own and a mask for those who read it so.
#ifdef SK_FL_PROTO_MASK
#define BITFIELD_sk_protocol(p) ((READ1(p, __sk_flags_offset[0]) & SK_FL_PROTO_MASK) >> SK_FL_PROTO_SHIFT)
#else
#define BITFIELD_sk_protocol(p) READ1(p, sk_protocol)
#endif
#ifndef barrier_var
#define barrier_var(value) asm volatile("" : "+r"(value))
#endif
