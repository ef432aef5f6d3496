// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// TCP resets, sent and received. The addresses are those of the segment with the RST: its sender is the source.
#include "packet.h"
#include "registers.h"

SETTING(skoop_args_3); // tcp_send_reset has its third argument (6.10), and fires without a socket

static __always_inline int finish(void *ctx, struct record *event, u8 kind)
{
	if (!is_wanted(event->netns))
		return 0;
	event->kind = kind;
	event->tcp_flags = 0x04;
	event->mono_ns = bpf_ktime_get_ns();
	count(event);
	sample(ctx, event, sizeof(*event));
	return 0;
}

// An answer to a packet: its receiver sends the reset.
static __always_inline void answer_to(struct record *event, struct sk_buff *skb)
{
	where_packet(event, skb);
	between_packet(event, skb);
	swap_ends(event);
	event->length = 0;
}

SEC("raw_tp/tcp_send_reset")
int on_tcp_send_reset(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	struct sk_buff *skb = (void *)ctx[1];
	struct record event = {};

	if (IS_SET(skoop_args_3))
		event.reason = (u32)ctx[2];
	// Without a packet that came in, the socket resets by itself (tcp_output.c: tcp_send_active_reset). Before 5.10
	// it shows the packet that it made, which came from no device.
	if (!skb || BPF_CORE_READ(skb, skb_iif) == 0) {
		if (!sk)
			return 0;
		of_socket(&event, sk);
		return finish(ctx, &event, RESET_ACTIVE);
	}
	answer_to(&event, skb);
	if (!sk)
		return finish(ctx, &event, RESET_NO_SOCKET);
	event.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	in_namespace(&event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	return finish(ctx, &event, RESET_PROCESS);
}

static __always_inline int without_socket(void *ctx, struct sock *sk, struct sk_buff *skb)
{
	struct record event = {};

	if (sk)
		return 0; // the tracepoint has it
	answer_to(&event, skb);
	return finish(ctx, &event, RESET_NO_SOCKET);
}

SEC("kprobe/tcp_v4_send_reset")
int at_tcp_v4_send_reset(u64 *regs)
{
	return without_socket(regs, (void *)PARM1(regs), (void *)PARM2(regs));
}

SEC("kprobe/tcp_v6_send_reset")
int at_tcp_v6_send_reset(u64 *regs)
{
	return without_socket(regs, (void *)PARM1(regs), (void *)PARM2(regs));
}

SEC("fentry/tcp_v4_send_reset")
int in_tcp_v4_send_reset(u64 *ctx)
{
	return without_socket(ctx, (void *)ctx[0], (void *)ctx[1]);
}

SEC("fentry/tcp_v6_send_reset")
int in_tcp_v6_send_reset(u64 *ctx)
{
	return without_socket(ctx, (void *)ctx[0], (void *)ctx[1]);
}

SEC("raw_tp/tcp_receive_reset")
int on_tcp_receive_reset(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	struct record event = {};

	of_socket(&event, sk);
	swap_ends(&event);
	return finish(ctx, &event, RESET_RECEIVED);
}

char LICENSE[] SEC("license") = "GPL";
