// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Packets that the kernel itself keeps: from a device to their socket, and from TCP to a device.
#include "latency.h"
#include "registers.h"

#define FULL_SOCKETS 0xb36 // include/net/tcp_states.h: those in which skb->sk is a whole socket that sends by itself
#define TOO_OLD_NS 60000000000ULL

// Each packet passes, and most of them never come to the end that is looked for. So each has its one place by its
// address: whatever comes there next takes it, and nothing has to be cleaned up. Whose place it is stands in it.
struct passage {
	u64 skb;
	u64 begun;
	u64 sk; // 0 of a packet that comes in
};

#define PLACES_BITS 16

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PLACES_BITS);
	__type(key, u32);
	__type(value, struct passage);
} passages SEC(".maps");

enum stage { RECEIVE, SEND };

static __always_inline struct passage *place_of(u64 skb)
{
	u32 place = skb * 0x9e3779b97f4a7c15ULL >> (64 - PLACES_BITS);

	return bpf_map_lookup_elem(&passages, &place);
}

static __always_inline int begin(u64 skb, u64 sk, u64 since)
{
	struct passage *passage = place_of(skb);

	if (!passage)
		return 0;
	passage->skb = skb;
	passage->begun = since;
	passage->sk = sk;
	return 0;
}

// Return when it began, once; 0 if it is not known.
static __always_inline u64 begun(u64 skb, u64 sk)
{
	struct passage *passage = place_of(skb);

	if (!passage || passage->skb != skb || passage->sk != sk)
		return 0;
	passage->skb = 0;
	return passage->begun;
}

static __always_inline int finish(void *ctx, struct delay *delay, struct sock *sk, u64 now, u64 ns, u8 slow)
{
	cgroup_of(&delay->event, sk);
	// The kind of what is very slow is the next one.
	tell_slow(ctx, delay, ns < VERY_SLOW_NS ? slow : slow + 1, now, ns);
	return 0;
}

// After queues between CPUs (RPS), before netfilter.
SEC("raw_tp/netif_receive_skb")
int on_netif_receive_skb(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	u16 protocol = host_order(BPF_CORE_READ(skb, protocol));

	if (protocol != ETH_P_IP && protocol != ETH_P_IPV6)
		return 0;
	return begin(ctx[0], 0, bpf_ktime_get_ns());
}

// The device is gone by then. The packet's place may be from another namespace that nobody wants to hear of.
static __always_inline int received(void *ctx, struct sock *sk, struct sk_buff *skb)
{
	u64 now, ns, since = begun((u64)skb, 0);
	struct delay delay = {};
	unsigned char *head;

	if (!since)
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - since;
	if (ns > TOO_OLD_NS)
		return 0;
	if (IS_SET(skoop_filter) && !is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)))
		return 0;
	note_latency(RECEIVE, ns);
	if (ns < SLOW_NS)
		return 0;
	in_namespace(&delay.event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	delay.event.ifindex = BPF_CORE_READ(skb, skb_iif);
	between_packet(&delay.event, skb);
	head = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	delay.event.length = BPF_CORE_READ(skb, data) - head + BPF_CORE_READ(skb, len);
	return finish(ctx, &delay, sk, now, ns, RECEIVE_SLOW);
}

// While a program is in a system call for the socket, its packets wait until that ends.
SEC("raw_tp/tcp_probe")
int on_tcp_probe(u64 *ctx)
{
	return received(ctx, (void *)ctx[0], (void *)ctx[1]);
}

// The last packet of the queue is the one that has just come, or another that came at the same time.
SEC("raw_tp/sk_data_ready")
int on_sk_data_ready(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_UDP)
		return 0;
	return received(ctx, sk, BPF_CORE_READ(sk, sk_receive_queue.prev));
}

// Of fentry the verifier knows what type the arguments are pointers to, and no place can be worked out of such a one.
static __always_inline u64 number(u64 *ctx, u32 argument)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + argument);
	return value;
}

SEC("fentry/__udp_enqueue_schedule_skb")
int in_udp_enqueue(u64 *ctx)
{
	return received(ctx, (void *)number(ctx, 0), (void *)number(ctx, 1));
}

SEC("kprobe/__udp_enqueue_schedule_skb")
int at_udp_enqueue(u64 *regs)
{
	return received(regs, (void *)PARM1(regs), (void *)PARM2(regs));
}

static __always_inline int handed_over(u64 sk, u64 skb)
{
	return begin(skb, sk, bpf_ktime_get_ns());
}

// What TCP calls on all kernels; __ip_queue_xmit is newer, and also SCTP's.
SEC("fentry/ip_queue_xmit")
int in_ip_queue_xmit(u64 *ctx)
{
	return handed_over(number(ctx, 0), number(ctx, 1));
}

SEC("fentry/inet6_csk_xmit")
int in_inet6_csk_xmit(u64 *ctx)
{
	return handed_over(number(ctx, 0), number(ctx, 1));
}

SEC("kprobe/ip_queue_xmit")
int at_ip_queue_xmit(u64 *regs)
{
	return handed_over(PARM1(regs), PARM2(regs));
}

SEC("kprobe/inet6_csk_xmit")
int at_inet6_csk_xmit(u64 *regs)
{
	return handed_over(PARM1(regs), PARM2(regs));
}

static __always_inline int sent(void *ctx, struct sock *sk, struct sk_buff *skb, u64 now, u64 ns)
{
	struct delay delay = {};

	if (ns > TOO_OLD_NS)
		return 0;
	if (IS_SET(skoop_filter) && !is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)))
		return 0;
	note_latency(SEND, ns);
	if (ns < SLOW_NS)
		return 0;
	where_packet(&delay.event, skb);
	between_packet(&delay.event, skb);
	return finish(ctx, &delay, sk, now, ns, SEND_SLOW);
}

SEC("raw_tp/net_dev_queue")
int on_net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct sock *sk = BPF_CORE_READ(skb, sk);
	u64 now, since = sk ? begun(ctx[0], (u64)sk) : 0;

	if (!since)
		return 0;
	now = bpf_ktime_get_ns();
	return sent(ctx, sk, skb, now, now - since);
}

// Where nothing shows when TCP hands a packet over, TCP's own stamp does: when it began to send this one and those
// before it at once, by the same clock. Devices on top of each other show a packet again: the first one counts.
SEC("raw_tracepoint/net_dev_queue") // the same hook: a section holds one program
int stamped_net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct sock *sk = BPF_CORE_READ(skb, sk);
	struct passage *passage;
	u64 now, stamp;
	u32 state;

	if (!sk)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state > 11 || !(FULL_SOCKETS >> state & 1))
		return 0;
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	stamp = BPF_CORE_READ(skb, skb_mstamp_ns);
	passage = place_of(ctx[0]);
	if (!stamp || !passage || (passage->skb == ctx[0] && passage->begun == stamp))
		return 0;
	begin(ctx[0], (u64)sk, stamp);
	now = bpf_ktime_get_ns();
	if (now < stamp)
		return 0; // it is to be sent later: the queueing discipline waits (fq)
	return sent(ctx, sk, skb, now, now - stamp);
}

char LICENSE[] SEC("license") = "GPL";
