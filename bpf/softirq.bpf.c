// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Softirqs that wait long for their turn, or run long. The task that runs then is whoever was interrupted: it is not told.
#include "latency.h"

#define VECTORS 10 // include/linux/interrupt.h: NR_SOFTIRQS, since 2.6.38
#define ROOM 16    // a power of two, so that old verifiers see where an index ends

struct softirqs {
	u64 raised[ROOM]; // by the first raise since the last run
	u64 entered[ROOM];
};

// Softirqs run on the CPU that they are raised on.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct softirqs);
} softirqs SEC(".maps");

static __always_inline struct softirqs *of_this_cpu(void)
{
	u32 only = 0;

	return bpf_map_lookup_elem(&softirqs, &only);
}

static __always_inline int finish(void *ctx, u64 vector, u32 stage, u64 now, u64 ns, u8 slow, u8 very_slow)
{
	struct delay delay = {};

	note_latency(stage * VECTORS + vector, ns);
	if (ns < SLOW_NS)
		return 0;
	delay.event.reason = vector;
	tell_slow(ctx, &delay, ns < VERY_SLOW_NS ? slow : very_slow, now, ns);
	return 0;
}

SEC("raw_tp/softirq_raise")
int on_softirq_raise(u64 *ctx)
{
	u64 vector = ctx[0] & (ROOM - 1);
	struct softirqs *times = of_this_cpu();

	if (times && !times->raised[vector])
		times->raised[vector] = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/softirq_entry")
int on_softirq_entry(u64 *ctx)
{
	u64 vector = ctx[0] & (ROOM - 1), now, raised;
	struct softirqs *times = of_this_cpu();

	if (!times)
		return 0;
	now = bpf_ktime_get_ns();
	raised = times->raised[vector];
	times->raised[vector] = 0;
	times->entered[vector] = now;
	if (!raised)
		return 0; // before this began
	return finish(ctx, vector, 0, now, now - raised, SOFTIRQ_WAIT_SLOW, SOFTIRQ_WAIT_VERY_SLOW);
}

SEC("raw_tp/softirq_exit")
int on_softirq_exit(u64 *ctx)
{
	u64 vector = ctx[0] & (ROOM - 1), now, entered;
	struct softirqs *times = of_this_cpu();

	if (!times)
		return 0;
	entered = times->entered[vector];
	times->entered[vector] = 0;
	if (!entered)
		return 0;
	now = bpf_ktime_get_ns();
	return finish(ctx, vector, 1, now, now - entered, SOFTIRQ_RUN_SLOW, SOFTIRQ_RUN_VERY_SLOW);
}

char LICENSE[] SEC("license") = "GPL";
