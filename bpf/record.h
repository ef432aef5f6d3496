// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What all probes share: the record of one event, the maps, and how an event is counted and sampled.
// skoopctl/bpf/events.py reads the record, remote/bpf_probe.py the maps.
#pragma once
#include "kernel.h"

// Settings are the addresses of weak symbols that no kernel has: the loader puts in numbers, anything else that
// loads the object finds 0. A branch on one is dead for the verifier. Old verifiers see that for "is 0" only, so
// 0 is what the oldest kernels need. skoop_args_N is 1 where the tracepoint has N arguments or more: a program that
// reads one more than there are loads, and is refused when it is attached.
#define SETTING(name) extern const void name __ksym __weak
#define IS_SET(name) ((u64)&name != 0)
SETTING(skoop_ring);   // samples go to the ring buffer, else to the perf buffers
SETTING(skoop_filter); // only namespaces that stand in the map "wanted"

enum kind {
	PACKET_LOSS = 1,
	RESET_NO_SOCKET = 10,
	RESET_ACTIVE = 11,
	RESET_PROCESS = 12,
	RESET_RECEIVED = 13,
	RESET_SENT = 14, // by counters only: remote/ev_proc.py
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
	FRAGMENT = 1,  // not the first one: there are no ports
	UNDECIDED = 2, // this kernel does not show what would tell the kind apart
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
	u8 family; // 4, 6, or 0 without addresses
	u8 protocol;
	u8 tcp_flags;
	u8 state;
	u8 flags;
	u16 ethertype;
	u16 source_port; // host order
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
	u8 filtered; // rules of netfilter dropped it
	u16 source_port;
	u16 destination_port;
	u8 source[16];
	u8 destination[16];
};

enum health {
	SAMPLED,
	LOST,       // a sample found no room: the counts have it
	UNCOUNTED,  // the map of totals is full
	HEALTH_SIZE,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct total_key);
	__type(value, u64);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow_key);
	__type(value, u64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} wanted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HEALTH_SIZE);
	__type(key, u32);
	__type(value, u64);
} health SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

static __always_inline void note(u32 what)
{
	u64 *value = bpf_map_lookup_elem(&health, &what);

	if (value)
		*value += 1;
}

static __always_inline int is_wanted(u32 netns)
{
	if (!IS_SET(skoop_filter))
		return 1;
	return bpf_map_lookup_elem(&wanted, &netns) != 0;
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
	value = bpf_map_lookup_elem(&totals, &total);
	if (!value) {
		bpf_map_update_elem(&totals, &total, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&totals, &total);
	}
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		note(UNCOUNTED);
	if (!event->family)
		return;
	__builtin_memcpy(flow.source, event->source, 16);
	__builtin_memcpy(flow.destination, event->destination, 16);
	value = bpf_map_lookup_elem(&flows, &flow);
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&flows, &flow, &one, 0);
}

static __always_inline void count(const struct record *event)
{
	count_apart(event, 0);
}

static __always_inline void sample(void *ctx, void *event, u64 size)
{
	long failed;

	if (IS_SET(skoop_ring))
		failed = bpf_ringbuf_output(&ring, event, size, 0);
	else
		failed = bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, event, size);
	note(failed ? LOST : SAMPLED);
}
