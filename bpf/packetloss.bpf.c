// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Packets that the kernel frees because they go nowhere, with the reason and the calls that led there.
#include "tunnel.h"

SETTING(skoop_args_3); // the tracepoint has its third argument (5.17), the reason
SETTING(skoop_args_4); // and its fourth (6.11), the socket that the packet was for

#define is_reason(reason, name) \
	(bpf_core_enum_value_exists(enum skb_drop_reason, name) && (reason) == bpf_core_enum_value(enum skb_drop_reason, name))

struct loss {
	struct record event;
	u64 stack[FRAMES];
	struct inner inner;
};

SEC("raw_tp/kfree_skb")
int on_kfree_skb(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct loss loss = {};
	struct record *event = &loss.event;
	const u8 *behind;

	if (IS_SET(skoop_args_3))
		event->reason = (u32)ctx[2];
	if (is_reason(event->reason, SKB_CONSUMED) || is_reason(event->reason, SKB_DROP_REASON_QUEUE_PURGE))
		return 0;
	where_packet(event, skb);
	if (IS_SET(skoop_args_4)) {
		struct sock *sk = (void *)ctx[3];

		if (sk && !event->netns)
			in_namespace(event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
		if (sk)
			cgroup_of(event, sk);
	}
	// Messages of netlink and of Unix sockets are packets to the kernel too; they have no protocol.
	if (!event->netns || !is_wanted(event->netns))
		return 0;
	behind = between_packet(event, skb);
	if (!event->ethertype)
		return 0;
	event->kind = PACKET_LOSS;
	event->location = ctx[1];
	event->mono_ns = bpf_ktime_get_ns();
	count_apart(event, is_reason(event->reason, SKB_DROP_REASON_NETFILTER_DROP));
	read_carried(&loss.inner, event, behind, end_of(skb));
	bpf_get_stack(ctx, loss.stack, sizeof(loss.stack), 0);
	sample(ctx, &loss, sizeof(loss));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
