// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// TCP segments that are sent again: data and SYN, tail loss probes, SYN-ACK. The source is this node.
#include "packet.h"

SETTING(skoop_args_3); // tcp_retransmit_skb has its third argument, how sending went

#define ICSK_TIME_LOSS_PROBE 5 // include/net/inet_connection_sock.h, since 3.10
#define TCP_CA_RECOVERY 3

// The timer's handler leaves this word while it sends a probe, and clears it before it sends anything else again
// (tcp_timer.c: tcp_write_timer_handler). A probe that is pending when an ACK starts a recovery is none of these.
static __always_inline u8 kind_of(struct record *event, struct sock *sk)
{
	struct inet_connection_sock *icsk = (void *)sk;

	if (!bpf_core_field_exists(icsk->icsk_pending) || !bpf_core_field_exists(icsk->icsk_ca_state)) {
		event->flags |= UNDECIDED;
		return RETRANSMIT;
	}
	if (BPF_CORE_READ(icsk, icsk_pending) != ICSK_TIME_LOSS_PROBE)
		return RETRANSMIT;
	return BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state) < TCP_CA_RECOVERY ? RETRANSMIT_PROBE : RETRANSMIT;
}

static __always_inline int finish(void *ctx, struct record *event)
{
	event->mono_ns = bpf_ktime_get_ns();
	count(event);
	sample(ctx, event, sizeof(*event));
	return 0;
}

SEC("raw_tp/tcp_retransmit_skb")
int on_tcp_retransmit_skb(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	struct sk_buff *skb = (void *)ctx[1];
	struct record event = {};

	in_namespace(&event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	if (!is_wanted(event.netns))
		return 0;
	if (IS_SET(skoop_args_3))
		event.error = (s32)ctx[2];
	between_socket(&event, &sk->__sk_common);
	cgroup_of(&event, sk);
	event.length = BPF_CORE_READ(skb, len);
	event.kind = kind_of(&event, sk);
	return finish(ctx, &event);
}

SEC("raw_tp/tcp_retransmit_synack")
int on_tcp_retransmit_synack(u64 *ctx)
{
	struct request_sock *request = (void *)ctx[1];
	struct record event = {};

	in_namespace(&event, BPF_CORE_READ(request, __req_common.skc_net.net));
	if (!is_wanted(event.netns))
		return 0;
	between_socket(&event, &request->__req_common);
	cgroup_of(&event, (void *)ctx[0]);
	event.kind = RETRANSMIT_SYNACK;
	event.tcp_flags = 0x12;
	return finish(ctx, &event);
}

char LICENSE[] SEC("license") = "GPL";
