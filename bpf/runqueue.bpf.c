// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Tasks that could run and wait for a CPU. Namespace and cgroup are the waiting task's.
#include "latency.h"

struct nsproxy {
	struct net *net_ns;
} RELOCATED;

struct css_set {
	struct cgroup *dfl_cgrp;
} RELOCATED;

struct task_struct {
	int pid;
	unsigned int __state; // since 5.14
	char comm[16];
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
} RELOCATED;

struct task_struct___old {
	volatile long state;
} RELOCATED;

// Since when a task can run, by its number.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u64);
} runnable SEC(".maps");

static __always_inline int can_run(struct task_struct *task)
{
	u32 pid = BPF_CORE_READ(task, pid);
	u64 now;

	if (!pid)
		return 0; // what runs when there is nothing to run
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&runnable, &pid, &now, 0);
	return 0;
}

static __always_inline int is_runnable(struct task_struct *task)
{
	struct task_struct___old *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state) == 0;
	return BPF_CORE_READ(old, state) == 0;
}

static __always_inline void of_task(struct delay *delay, struct task_struct *task, u32 pid)
{
	struct nsproxy *proxy = BPF_CORE_READ(task, nsproxy); // none any more when it ends

	if (proxy)
		in_namespace(&delay->event, BPF_CORE_READ(proxy, net_ns));
	if (bpf_core_field_exists(((struct kernfs_node *)0)->id))
		delay->event.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	delay->pid = pid;
	bpf_core_read(delay->task, sizeof(delay->task), &task->comm);
}

SEC("raw_tp/sched_wakeup")
int on_sched_wakeup(u64 *ctx)
{
	return can_run((void *)ctx[0]);
}

SEC("raw_tp/sched_wakeup_new")
int on_sched_wakeup_new(u64 *ctx)
{
	return can_run((void *)ctx[0]);
}

SEC("raw_tp/sched_switch")
int on_sched_switch(u64 *ctx)
{
	struct task_struct *previous = (void *)ctx[1], *next = (void *)ctx[2];
	struct delay delay = {};
	u64 *since, now, ns;
	u32 pid;

	// Whoever is pushed off a CPU goes on waiting, also when it was on its way to sleep.
	if (ctx[0] & 1 || is_runnable(previous))
		can_run(previous);
	pid = BPF_CORE_READ(next, pid);
	since = pid ? bpf_map_lookup_elem(&runnable, &pid) : 0;
	if (!since)
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - *since;
	bpf_map_delete_elem(&runnable, &pid);
	note_latency(0, ns);
	if (ns < SLOW_NS)
		return 0;
	of_task(&delay, next, pid);
	if (!is_wanted(delay.event.netns))
		return 0;
	tell_slow(ctx, &delay, RUNQUEUE_SLOW, now, ns);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
