// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Data that waits in a TCP socket: received, until the program reads it; written, until the kernel sends it.
#include "latency.h"
#include "registers.h"

#define TCP_LISTEN 10 // include/net/tcp_states.h

// A wait ends with what was known to wait when it began; the rest begins to wait anew, then. So no wait is told longer
// than it was, and a queue that never gets empty is measured all the same.
struct waits {
	u64 readable; // since when there is something to read, or since the last read; 0 when there is nothing
	u64 written;  // since when byte "sequence" is in the queue or wants to; 0 when nothing waits to be sent
	u32 sequence;
	u32 pid; // who wrote it
	char task[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct waits);
} sockets SEC(".maps");

enum stage { READ, WRITE };

static __always_inline struct waits *waits_of(struct sock *sk)
{
	struct waits *found, fresh = {};
	u64 key = (u64)sk;

	found = bpf_map_lookup_elem(&sockets, &key);
	if (found)
		return found;
	if (IS_SET(skoop_filter) && !is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)))
		return 0;
	bpf_map_update_elem(&sockets, &key, &fresh, 0);
	return bpf_map_lookup_elem(&sockets, &key);
}

// What is slow is only counted, by namespace: there may be much of it.
static __always_inline int only_slow(struct sock *sk, u64 ns, u8 kind)
{
	struct record event = {};

	if (ns < SLOW_NS)
		return 1;
	if (ns >= VERY_SLOW_NS)
		return 0;
	in_namespace(&event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	event.kind = kind;
	count(&event);
	return 1;
}

static __always_inline int came(struct sock *sk)
{
	struct waits *waits = waits_of(sk);

	if (waits && !waits->readable)
		waits->readable = bpf_ktime_get_ns();
	return 0;
}

// Of all kinds of sockets; of those that listen, too, when somebody connects.
SEC("raw_tp/sk_data_ready")
int on_sk_data_ready(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	struct tcp_sock *tp = (void *)sk;
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN)
		return 0;
	return BPF_CORE_READ(tp, rcv_nxt) == BPF_CORE_READ(tp, copied_seq) ? 0 : came(sk);
}

// The sequence number of the first byte of a segment, and how many bytes there are behind its header.
static __always_inline u32 payload(struct sk_buff *skb, u32 *sequence)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	u32 transport = BPF_CORE_READ(skb, transport_header);
	u32 before = transport - (u32)(BPF_CORE_READ(skb, data) - head);
	u8 header[14];

	if (bpf_probe_read_kernel(header, 14, head + transport))
		return 0;
	*sequence = (u32)header[4] << 24 | header[5] << 16 | header[6] << 8 | header[7];
	return BPF_CORE_READ(skb, len) - before - (header[12] >> 4) * 4;
}

// Before the segment is in the queue: what comes out of order, and what was there before, is nothing to read.
SEC("raw_tp/tcp_probe")
int on_tcp_probe(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	u32 sequence = 0, next = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	u32 bytes = payload((void *)ctx[1], &sequence);

	if (!bytes || (s32)(sequence - next) > 0 || (s32)(sequence + bytes - next) <= 0)
		return 0;
	return came(sk);
}

// After some bytes were read: once for each piece of the queue.
SEC("raw_tp/tcp_rcv_space_adjust")
int on_tcp_rcv_space_adjust(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	struct tcp_sock *tp = (void *)sk;
	u64 key = ctx[0], now, ns;
	struct waits *waits = bpf_map_lookup_elem(&sockets, &key);
	struct delay delay = {};

	if (!waits || !waits->readable)
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - waits->readable;
	waits->readable = BPF_CORE_READ(tp, rcv_nxt) == BPF_CORE_READ(tp, copied_seq) ? 0 : now;
	note_latency(READ, ns);
	if (only_slow(sk, ns, READ_SLOW))
		return 0;
	of_socket(&delay.event, sk);
	swap_ends(&delay.event);
	// Else it is the kernel that reads, in anybody's time.
	if (BPF_CORE_READ(sk, sk_lock.owned)) {
		delay.pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(delay.task, sizeof(delay.task));
	}
	tell_slow(ctx, &delay, READ_VERY_SLOW, now, ns);
	return 0;
}

static __always_inline int wrote(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	struct waits *waits = waits_of(sk);
	u32 end;

	if (!waits)
		return 0;
	end = BPF_CORE_READ(tp, write_seq);
	// Nothing waits now; what seemed to wait was never written, or its packet got lost on this node.
	if (waits->written && end != BPF_CORE_READ(tp, snd_nxt))
		return 0;
	waits->written = bpf_ktime_get_ns();
	waits->sequence = end;
	waits->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(waits->task, sizeof(waits->task));
	return 0;
}

// Before each piece that is put into the queue.
SEC("raw_tp/tcp_sendmsg_locked")
int on_tcp_sendmsg_locked(u64 *ctx)
{
	return wrote((void *)ctx[0]);
}

SEC("kprobe/tcp_sendmsg_locked")
int at_tcp_sendmsg_locked(u64 *regs)
{
	return wrote((void *)PARM1(regs));
}

SEC("fentry/tcp_sendmsg_locked")
int in_tcp_sendmsg_locked(u64 *ctx)
{
	return wrote((void *)ctx[0]);
}

static __always_inline int sent(void *ctx, struct sock *sk, struct waits *waits, u32 end)
{
	u64 now = bpf_ktime_get_ns(), ns = now - waits->written;
	u32 last = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	struct delay delay = {};

	waits->written = last == end ? 0 : now;
	waits->sequence = last - 1;
	note_latency(WRITE, ns);
	if (only_slow(sk, ns, WRITE_SLOW))
		return 0;
	of_socket(&delay.event, sk);
	delay.pid = waits->pid;
	__builtin_memcpy(delay.task, waits->task, sizeof(delay.task));
	tell_slow(ctx, &delay, WRITE_VERY_SLOW, now, ns);
	return 0;
}

// All packets come by. What is sent again, and what has no data, does not reach the byte that waits.
SEC("raw_tp/net_dev_queue")
int on_net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct sock *sk = BPF_CORE_READ(skb, sk);
	u64 key = (u64)sk;
	struct waits *waits;
	u32 sequence = 0, bytes;

	waits = sk ? bpf_map_lookup_elem(&sockets, &key) : 0;
	if (!waits || !waits->written)
		return 0;
	bytes = payload(skb, &sequence);
	if (!bytes || (s32)(sequence + bytes - waits->sequence) <= 0)
		return 0;
	return sent(ctx, sk, waits, sequence + bytes);
}

SEC("raw_tp/tcp_destroy_sock")
int on_tcp_destroy_sock(u64 *ctx)
{
	u64 key = ctx[0];

	bpf_map_delete_elem(&sockets, &key);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
