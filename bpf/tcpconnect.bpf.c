// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Connections that are made: how long that takes, and why it fails. The one that connects is the source.
#include "latency.h"

#define TCP_ESTABLISHED 1 // include/net/tcp_states.h
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7

// Who asked for it is known only when it begins: answers are handled in anybody's time.
struct attempt {
	u64 begun;
	u32 pid;
	char task[16];
	u32 port; // of the other side, as it is on the wire
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct attempt);
} connecting SEC(".maps");

enum stage { ESTABLISHED, FAILED };

static __always_inline int begin(struct sock *sk, u64 key)
{
	struct attempt attempt = {};

	// MPTCP and SCTP have such states too; what MPTCP consists of are connections of TCP.
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (IS_SET(skoop_filter) && !is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)))
		return 0;
	attempt.port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	attempt.begun = bpf_ktime_get_ns();
	attempt.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(attempt.task, sizeof(attempt.task));
	bpf_map_update_elem(&connecting, &key, &attempt, 0);
	return 0;
}

static __always_inline int tell(void *ctx, struct sock *sk, struct attempt *attempt, u64 ns, u8 kind, s32 error)
{
	struct delay delay = {};

	of_socket(&delay.event, sk);
	delay.event.error = -error;
	delay.pid = attempt->pid;
	__builtin_memcpy(delay.task, attempt->task, sizeof(delay.task));
	tell_slow(ctx, &delay, kind, attempt->begun + ns, ns);
	return 0;
}

SEC("raw_tp/inet_sock_set_state")
int on_inet_sock_set_state(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	u32 before = ctx[1], after = ctx[2];
	struct attempt *found, attempt;
	u64 key = ctx[0], ns;
	s32 error;

	if (after == TCP_SYN_SENT)
		return begin(sk, key);
	if ((before != TCP_SYN_SENT && before != TCP_SYN_RECV) || (after != TCP_ESTABLISHED && after != TCP_CLOSE))
		return 0;
	found = bpf_map_lookup_elem(&connecting, &key);
	if (!found)
		return 0; // somebody else's wish, or from before this began
	__builtin_memcpy(&attempt, found, sizeof(attempt));
	bpf_map_delete_elem(&connecting, &key);
	// A program is not run within itself: an end may be missed so, and another socket be where that one was.
	if (attempt.port != BPF_CORE_READ(sk, __sk_common.skc_dport))
		return 0;
	ns = bpf_ktime_get_ns() - attempt.begun;
	if (after == TCP_ESTABLISHED) {
		note_latency(ESTABLISHED, ns);
		return ns < SLOW_NS ? 0 : tell(ctx, sk, &attempt, ns, CONNECT_SLOW, 0);
	}
	note_latency(FAILED, ns);
	// The error is set before the state, except where it is the program itself that gives up.
	error = BPF_CORE_READ(sk, sk_err);
	return tell(ctx, sk, &attempt, ns, error ? CONNECT_FAILED : CONNECT_ABANDONED, error);
}

char LICENSE[] SEC("license") = "GPL";
