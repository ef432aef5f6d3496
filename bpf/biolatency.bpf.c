// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Block devices: how long a request takes from the driver and back. Who wanted it is not known any more by then.
#include "latency.h"

SETTING(skoop_args_2); // block_rq_issue has the queue before the request (before 5.11)

#define OPERATION 0xff // include/linux/blk_types.h: REQ_OP_BITS, since 4.10
#define OTHERS 4

struct gendisk {
	int major;
	int first_minor;
} RELOCATED;

struct request_queue {
	struct gendisk *disk; // since 5.15
} RELOCATED;

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
} RELOCATED;

struct request___old {
	struct gendisk *rq_disk;
} RELOCATED;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u64);
} issued SEC(".maps");

static __always_inline u32 device_of(struct request *request)
{
	struct request_queue *queue = BPF_CORE_READ(request, q);
	struct gendisk *disk = 0;

	if (bpf_core_field_exists(queue->disk))
		disk = BPF_CORE_READ(queue, disk);
	else if (bpf_core_field_exists(((struct request___old *)request)->rq_disk))
		disk = BPF_CORE_READ((struct request___old *)request, rq_disk);
	return disk ? BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor) : 0;
}

SEC("raw_tp/block_rq_issue")
int on_block_rq_issue(u64 *ctx)
{
	u64 key, now = bpf_ktime_get_ns();

	if (IS_SET(skoop_args_2))
		key = ctx[1];
	else
		key = ctx[0];
	bpf_map_update_elem(&issued, &key, &now, 0);
	return 0;
}

SEC("raw_tp/block_rq_complete")
int on_block_rq_complete(u64 *ctx)
{
	struct request *request = (void *)ctx[0];
	struct delay delay = {};
	u64 key = ctx[0], *since, now, ns;
	u32 operation, length = ctx[2];

	since = bpf_map_lookup_elem(&issued, &key);
	if (!since || length < BPF_CORE_READ(request, __data_len))
		return 0; // begun before this, or done in part
	now = bpf_ktime_get_ns();
	ns = now - *since;
	bpf_map_delete_elem(&issued, &key);
	operation = BPF_CORE_READ(request, cmd_flags) & OPERATION;
	note_latency(operation < OTHERS ? operation : OTHERS, ns);
	if (ns < SLOW_NS)
		return 0;
	delay.event.reason = operation;
	delay.event.length = length;
	delay.device = device_of(request);
	tell_slow(ctx, &delay, BLOCK_SLOW, now, ns);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
