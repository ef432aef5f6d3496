// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// How long something took: a histogram of all, and an event of what was slow.
// skoopctl/bpf/events.py reads struct delay, skoopctl/bpf/histogram.py the rows.
#pragma once
#include "packet.h"

SETTING(skoop_slow_us);      // from here on it is an event
SETTING(skoop_very_slow_us); // and of another kind from here on
#define SLOW_NS ((u64)&skoop_slow_us * 1000)
#define VERY_SLOW_NS ((u64)&skoop_very_slow_us * 1000)

#define SLOTS 32
#define FIRST_SLOT 9 // the first slot is below 2^9 ns, each other one twice as wide, the last without an end
#define ROWS 32

struct delay {
	struct record event;
	u64 latency_ns;
	u32 cpu;
	u32 pid;    // 0 where the task that ran then is not who caused it
	u32 device; // of blocks: major << 20 | minor
	u32 unused;
	char task[16];
};

struct row {
	u64 slots[SLOTS];
	u64 sum_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROWS);
	__type(key, u32);
	__type(value, struct row);
} latencies SEC(".maps");

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
	bits += left; // its last bit
	return bits < SLOTS ? bits : SLOTS - 1;
}

static __always_inline void note_latency(u32 which, u64 ns)
{
	struct row *row = bpf_map_lookup_elem(&latencies, &which);
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
