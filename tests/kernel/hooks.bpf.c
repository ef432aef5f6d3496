// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// For tests: a program for every kind of hook, and every kind of relocation that the loader knows.
#include "../../bpf/packet.h"

struct sk_buff___later {
	unsigned int nobody_has_this;
} RELOCATED;

struct nobody_has_this_struct {
	int x;
} RELOCATED;

enum sk_rst_reason {
	SK_RST_REASON_NO_SOCKET = 77,
	SK_RST_REASON_THAT_NOBODY_HAS = 78,
};

struct ipv6hdr {
	u8 version : 4;
	u8 flow_lbl[3];
} RELOCATED;

struct task_struct {
	int pid;
	char comm[16];
} RELOCATED;

static __always_inline int seen(u64 number, u32 value)
{
	struct record event = {.location = number, .reason = value, .netns = FIRST_INODE, .kind = PACKET_LOSS};

	count(&event);
	return 0;
}

SEC("raw_tp/kfree_skb")
int by_raw_tp(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct sk_buff___later *later = (void *)ctx[0];
	struct inet_connection_sock *icsk = (void *)ctx[0];
	struct ipv6hdr *head = (void *)ctx[0];

	if (bpf_core_field_exists(later->nobody_has_this))
		seen(100, BPF_CORE_READ(later, nobody_has_this));
	if (bpf_core_type_exists(struct nobody_has_this_struct))
		seen(101, bpf_core_type_size(struct nobody_has_this_struct));
	if (bpf_core_enum_value_exists(enum sk_rst_reason, SK_RST_REASON_THAT_NOBODY_HAS))
		seen(102, bpf_core_enum_value(enum sk_rst_reason, SK_RST_REASON_THAT_NOBODY_HAS));
	seen(1, bpf_core_type_size(struct sk_buff));
	seen(2, bpf_core_field_size(skb->len));
	seen(3, bpf_core_field_exists(skb->len));
	seen(4, bpf_core_enum_value(enum sk_rst_reason, SK_RST_REASON_NO_SOCKET));
	seen(5, BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state));
	seen(6, BPF_CORE_READ_BITFIELD_PROBED(head, version));
	seen(7, bpf_core_type_exists(struct sk_buff));
	seen(8, bpf_core_field_offset(struct task_struct, comm[3]));
	seen(9, bpf_core_type_id_kernel(struct sk_buff) != 0);
	return 0;
}

SEC("tp_btf/kfree_skb")
int by_tp_btf(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];

	return seen(20, skb->len);
}

SEC("tracepoint/skb/kfree_skb")
int by_tracepoint(u64 *ctx)
{
	return seen(30, 0);
}

SEC("kprobe/tcp_v4_rcv")
int by_kprobe(u64 *ctx)
{
	return seen(40, 0);
}

SEC("kretprobe/tcp_v4_rcv")
int by_kretprobe(u64 *ctx)
{
	return seen(50, 0);
}

SEC("fentry/tcp_v4_rcv")
int by_fentry(u64 *ctx)
{
	return seen(60, 0);
}

SEC("fexit/tcp_v4_rcv")
int by_fexit(u64 *ctx)
{
	return seen(70, 0);
}

SEC("raw_tp/napi_poll")
int by_missing_field(u64 *ctx)
{
	return seen(80, BPF_CORE_READ((struct sk_buff___later *)ctx[0], nobody_has_this));
}

SEC("raw_tp/nobody_has_this_tracepoint")
int by_missing_tracepoint(u64 *ctx)
{
	return seen(90, 0);
}

SEC("raw_tp/consume_skb")
int by_bad_access(u64 *ctx)
{
	return seen(91, *(volatile u32 *)ctx[0]);
}

char LICENSE[] SEC("license") = "GPL";
