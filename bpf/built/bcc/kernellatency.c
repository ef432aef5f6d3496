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

#define BITFIELD_icsk_ca_state(p) ({ event->flags |= UNDECIDED; 0; })

#ifdef SK_FL_PROTO_MASK
#define BITFIELD_sk_protocol(p) ((READ1(p, __sk_flags_offset[0]) & SK_FL_PROTO_MASK) >> SK_FL_PROTO_SHIFT)
#else
#define BITFIELD_sk_protocol(p) READ1(p, sk_protocol)
#endif
#ifndef barrier_var
#define barrier_var(value) asm volatile("" : "+r"(value))
#endif

BPF_ARRAY(filter, u32, 1);

enum kind {
	PACKET_LOSS = 1,
	RESET_NO_SOCKET = 10,
	RESET_ACTIVE = 11,
	RESET_PROCESS = 12,
	RESET_RECEIVED = 13,
	RESET_SENT = 14,
	RETRANSMIT = 20,
	RETRANSMIT_PROBE = 21,
	RETRANSMIT_SYNACK = 22,
	SOFTIRQ_WAIT_SLOW = 30,
	SOFTIRQ_WAIT_VERY_SLOW = 31,
	SOFTIRQ_RUN_SLOW = 32,
	SOFTIRQ_RUN_VERY_SLOW = 33,
	TRANSMIT_QDISC_SLOW = 40,
	TRANSMIT_DRIVER_SLOW = 41,
	CONNECT_SLOW = 50,
	CONNECT_FAILED = 51,
	CONNECT_ABANDONED = 52,
	RUNQUEUE_SLOW = 60,
	BLOCK_SLOW = 70,
	READ_SLOW = 80,
	READ_VERY_SLOW = 81,
	WRITE_SLOW = 82,
	WRITE_VERY_SLOW = 83,
	RECEIVE_SLOW = 90,
	RECEIVE_VERY_SLOW = 91,
	SEND_SLOW = 92,
	SEND_VERY_SLOW = 93,
	COMMAND_SLOW = 100,
	COMMAND_VERY_SLOW = 101,
};

enum flag {
	FRAGMENT = 1,
	UNDECIDED = 2,
};

#define FRAMES 14

struct record {
	u64 mono_ns;
	u64 location;
	u64 net_cookie;
	u64 cgroup;
	u32 netns;
	u32 ifindex;
	u32 reason;
	u32 length;
	u8 kind;
	u8 family;
	u8 protocol;
	u8 tcp_flags;
	u8 state;
	u8 flags;
	u16 ethertype;
	u16 source_port;
	u16 destination_port;
	s32 error;
	u8 source[16];
	u8 destination[16];
};

struct total_key {
	u64 location;
	u32 netns;
	u32 reason;
	u32 kind;
	u32 unused;
};

struct flow_key {
	u32 netns;
	u8 kind;
	u8 family;
	u8 protocol;
	u8 filtered;
	u16 source_port;
	u16 destination_port;
	u8 source[16];
	u8 destination[16];
};

enum health {
	SAMPLED,
	LOST,
	UNCOUNTED,
	HEALTH_SIZE,
};

BPF_TABLE("hash", struct total_key, u64, totals, 4096);

BPF_TABLE("lru_hash", struct flow_key, u64, flows, 8192);

BPF_TABLE("hash", u32, u32, wanted, 4096);

BPF_TABLE("percpu_array", u32, u64, health, HEALTH_SIZE);

BPF_PERF_OUTPUT(perf);

static __always_inline void note(u32 what)
{
	u64 *value = health.lookup(&what);

	if (value)
		*value += 1;
}

static __always_inline int is_wanted(u32 netns)
{
	u32 first = 0, *on = filter.lookup(&first);

	if (!on || !*on)
		return 1;
	return wanted.lookup(&netns) != 0;
}

static __always_inline void count_apart(const struct record *event, u8 filtered)
{
	struct total_key total = {
		.location = event->location,
		.netns = event->netns,
		.reason = event->reason,
		.kind = event->kind,
	};
	struct flow_key flow = {
		.netns = event->netns,
		.kind = event->kind,
		.family = event->family,
		.protocol = event->protocol,
		.source_port = event->source_port,
		.destination_port = event->destination_port,
	};
	u64 zero = 0, one = 1, *value;

	if (filtered)
		flow.filtered = 1;
	value = totals.lookup(&total);
	if (!value) {
		totals.insert(&total, &zero);
		value = totals.lookup(&total);
	}
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		note(UNCOUNTED);
	if (!event->family)
		return;
	__builtin_memcpy(flow.source, event->source, 16);
	__builtin_memcpy(flow.destination, event->destination, 16);
	value = flows.lookup(&flow);
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		flows.update(&flow, &one);
}

static __always_inline void count(const struct record *event)
{
	count_apart(event, 0);
}

static __always_inline void sample(void *ctx, void *event, u64 size)
{
	long failed;

		failed = perf.perf_submit(ctx, event, size);
	note(failed ? LOST : SAMPLED);
}

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136
#define IPPROTO_DCCP 33

#define ALIGNED __attribute__((aligned(8)))

#define FIRST_INODE 0xe0000000U

static __always_inline u16 host_order(u16 value)
{
	return (u16)(value << 8 | value >> 8);
}

static __always_inline int in_namespace(struct record *event, struct net *net)
{
	u32 inode = net ? BPF_CORE_READ(net, ns.inum) : 0;

	if (inode < FIRST_INODE)
		return 0;
	event->netns = inode;
	if (bpf_core_field_exists(net->net_cookie))
		event->net_cookie = BPF_CORE_READ(net, net_cookie);
	return 1;
}

static __always_inline void cgroup_of(struct record *event, struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup) && bpf_core_field_exists(((struct kernfs_node *)0)->id))
		event->cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

static __always_inline void where_packet(struct record *event, struct sk_buff *skb)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	struct sock *sk = BPF_CORE_READ(skb, sk);

	if (dev && in_namespace(event, BPF_CORE_READ(dev, nd_net.net)))
		event->ifindex = BPF_CORE_READ(dev, ifindex);
	else if (sk)
		in_namespace(event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	event->length = BPF_CORE_READ(skb, len);
}

static __always_inline int is_mapped(const u8 *address)
{
	u64 high;
	u32 middle;

	__builtin_memcpy(&high, address, 8);
	__builtin_memcpy(&middle, address + 8, 4);
	return high == 0 && middle == 0xffff0000U;
}

static __always_inline void between_socket(struct record *event, struct sock_common *common)
{
	u16 family = BPF_CORE_READ(common, skc_family);

	event->protocol = IPPROTO_TCP;
	event->source_port = BPF_CORE_READ(common, skc_num);
	event->destination_port = host_order(BPF_CORE_READ(common, skc_dport));
	event->state = BPF_CORE_READ(common, skc_state);
	if (family == AF_INET6 && bpf_core_field_exists(common->skc_v6_daddr)) {
		bpf_core_read(event->source, 16, &common->skc_v6_rcv_saddr);
		bpf_core_read(event->destination, 16, &common->skc_v6_daddr);
		event->family = 6;
		event->ethertype = ETH_P_IPV6;
		if (!is_mapped(event->destination))
			return;
		__builtin_memset(event->source, 0, 16);
		__builtin_memset(event->destination, 0, 16);
	} else if (family != AF_INET) {
		return;
	}
	bpf_core_read(event->source, 4, &common->skc_rcv_saddr);
	bpf_core_read(event->destination, 4, &common->skc_daddr);
	event->family = 4;
	event->ethertype = ETH_P_IP;
}

static __always_inline void of_socket(struct record *event, struct sock *sk)
{
	in_namespace(event, BPF_CORE_READ(sk, __sk_common.skc_net.net));
	between_socket(event, &sk->__sk_common);

	if (!event->source_port)
		event->source_port = host_order(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	cgroup_of(event, sk);
}

static __always_inline int take(void *head, u32 size, const u8 *at, const u8 *end)
{
	if (end && at + size > end)
		return 1;
	return bpf_probe_read_kernel(head, size, at) != 0;
}

static __always_inline void ports(struct record *event, const u8 *transport, const u8 *end)
{
	u8 head[14];

	switch (event->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		break;
	default:
		return;
	}
	if (event->protocol == IPPROTO_TCP) {
		if (take(head, 14, transport, end))
			return;
		event->tcp_flags = head[13];
	} else if (take(head, 4, transport, end)) {
		return;
	}
	event->source_port = head[0] << 8 | head[1];
	event->destination_port = head[2] << 8 | head[3];
}

static __always_inline const u8 *between_v4(struct record *event, const u8 *at, const u8 *end)
{
	ALIGNED u8 head[20];

	if (take(head, 20, at, end) || head[0] >> 4 != 4)
		return 0;
	event->family = 4;
	event->protocol = head[9];
	__builtin_memcpy(event->source, head + 12, 4);
	__builtin_memcpy(event->destination, head + 16, 4);
	if ((head[6] & 0x1f) | head[7]) {
		event->flags |= FRAGMENT;
		return 0;
	}
	return at + (head[0] & 15) * 4;
}

static __always_inline const u8 *between_v6(struct record *event, const u8 *at, const u8 *end)
{
	ALIGNED u8 head[40], more[4];
	u8 next;

	if (take(head, 40, at, end) || head[0] >> 4 != 6)
		return 0;
	event->family = 6;
	__builtin_memcpy(event->source, head + 8, 16);
	__builtin_memcpy(event->destination, head + 24, 16);
	next = head[6];
	at += 40;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if (next != 0 && next != 43 && next != 44 && next != 60)
			break;
		if (take(more, 4, at, end))
			return 0;
		if (next == 44 && (more[2] | (more[3] & 0xf8))) {
			event->flags |= FRAGMENT;
			event->protocol = more[0];
			return 0;
		}
		at += next == 44 ? 8 : (more[1] + 1) * 8;
		next = more[0];
	}
	event->protocol = next;
	return at;
}

static __always_inline const u8 *between_ip(struct record *event, u16 ethertype, const u8 *at, const u8 *end)
{
	if (ethertype == ETH_P_IP)
		at = between_v4(event, at, end);
	else if (ethertype == ETH_P_IPV6)
		at = between_v6(event, at, end);
	else
		return 0;
	if (at)
		ports(event, at, end);
	return at;
}

static __always_inline const u8 *between_packet(struct record *event, struct sk_buff *skb)
{
	const u8 *at = BPF_CORE_READ(skb, head);

	at += BPF_CORE_READ(skb, network_header);
	event->ethertype = host_order(BPF_CORE_READ(skb, protocol));
	return between_ip(event, event->ethertype, at, 0);
}

static __always_inline void swap_ends(struct record *event)
{
	ALIGNED u8 address[16];
	u16 port = event->source_port;

	__builtin_memcpy(address, event->source, 16);
	__builtin_memcpy(event->source, event->destination, 16);
	__builtin_memcpy(event->destination, address, 16);
	event->source_port = event->destination_port;
	event->destination_port = port;
}

#define SLOW_NS ((u64)skoop_slow_us * 1000)
#define VERY_SLOW_NS ((u64)skoop_very_slow_us * 1000)

#define SLOTS 32
#define FIRST_SLOT 9
#define ROWS 32

struct delay {
	struct record event;
	u64 latency_ns;
	u32 cpu;
	u32 pid;
	u32 device;
	u32 unused;
	char task[16];
};

struct row {
	u64 slots[SLOTS];
	u64 sum_ns;
};

BPF_TABLE("percpu_array", u32, struct row, latencies, ROWS);

static __always_inline u32 slot_of(u64 ns)
{
	u64 left = ns >> FIRST_SLOT;
	u32 bits = 0;

#pragma unroll
	for (int step = 32; step; step >>= 1) {
		if (left >> step) {
			left >>= step;
			bits += step;
		}
	}
	bits += left;
	return bits < SLOTS ? bits : SLOTS - 1;
}

static __always_inline void note_latency(u32 which, u64 ns)
{
	struct row *row = latencies.lookup(&which);
	u64 slot = slot_of(ns);

	if (!row)
		return;
	barrier_var(slot);
	row->slots[slot & (SLOTS - 1)] += 1;
	row->sum_ns += ns;
}

static __always_inline void tell_slow(void *ctx, struct delay *delay, u8 kind, u64 now, u64 ns)
{
	delay->event.kind = kind;
	delay->event.mono_ns = now;
	delay->latency_ns = ns;
	delay->cpu = bpf_get_smp_processor_id();
	count(&delay->event);
	sample(ctx, delay, sizeof(*delay));
}

#if defined(__TARGET_ARCH_x86)
#define PARM1(regs) ((regs)[14])
#define PARM2(regs) ((regs)[13])
#elif defined(__TARGET_ARCH_arm64)
#define PARM1(regs) ((regs)[0])
#define PARM2(regs) ((regs)[1])
#endif

#define FULL_SOCKETS 0xb36
#define TOO_OLD_NS 60000000000ULL

struct passage {
	u64 skb;
	u64 begun;
	u64 sk;
};

#define PLACES_BITS 16

BPF_TABLE("array", u32, struct passage, passages, 1 << PLACES_BITS);

enum stage { RECEIVE, SEND };

static __always_inline struct passage *place_of(u64 skb)
{
	u32 place = skb * 0x9e3779b97f4a7c15ULL >> (64 - PLACES_BITS);

	return passages.lookup(&place);
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

	tell_slow(ctx, delay, ns < VERY_SLOW_NS ? slow : slow + 1, now, ns);
	return 0;
}

int on_netif_receive_skb(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	u16 protocol = host_order(BPF_CORE_READ(skb, protocol));

	if (protocol != ETH_P_IP && protocol != ETH_P_IPV6)
		return 0;
	return begin(ctx[0], 0, bpf_ktime_get_ns());
}

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
	if (!is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)))
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

int on_tcp_probe(u64 *ctx)
{
	return received(ctx, (void *)ctx[0], (void *)ctx[1]);
}

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

static __always_inline u64 number(u64 *ctx, u32 argument)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + argument);
	return value;
}

int at_udp_enqueue(u64 *regs)
{
	return received(regs, (void *)PARM1(regs), (void *)PARM2(regs));
}

static __always_inline int handed_over(u64 sk, u64 skb)
{
	return begin(skb, sk, bpf_ktime_get_ns());
}

int at_ip_queue_xmit(u64 *regs)
{
	return handed_over(PARM1(regs), PARM2(regs));
}

int at_inet6_csk_xmit(u64 *regs)
{
	return handed_over(PARM1(regs), PARM2(regs));
}

static __always_inline int sent(void *ctx, struct sock *sk, struct sk_buff *skb, u64 now, u64 ns)
{
	struct delay delay = {};

	if (ns > TOO_OLD_NS)
		return 0;
	if (!is_wanted(BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum)))
		return 0;
	note_latency(SEND, ns);
	if (ns < SLOW_NS)
		return 0;
	where_packet(&delay.event, skb);
	between_packet(&delay.event, skb);
	return finish(ctx, &delay, sk, now, ns, SEND_SLOW);
}

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
		return 0;
	return sent(ctx, sk, skb, now, now - stamp);
}

