// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Commands to virtio network devices: the task that gives one waits for the host, and keeps the kernel's lock of all
// network settings (RTNL) meanwhile.
#include "latency.h"
#include "registers.h"

struct command {
	u64 begun;
	u64 class;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct command);
} commands SEC(".maps");

static __always_inline int begin(u64 class)
{
	struct command command = {.begun = bpf_ktime_get_ns(), .class = class & 0xff};
	u64 task = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&commands, &task, &command, 0);
	return 0;
}

static __always_inline int finish(void *ctx)
{
	u64 task = bpf_get_current_pid_tgid(), now, ns;
	struct command *command = bpf_map_lookup_elem(&commands, &task);
	struct delay delay = {};

	if (!command)
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - command->begun;
	delay.event.reason = command->class;
	bpf_map_delete_elem(&commands, &task);
	note_latency(0, ns);
	if (ns < SLOW_NS)
		return 0;
	delay.pid = task >> 32;
	bpf_get_current_comm(delay.task, sizeof(delay.task));
	tell_slow(ctx, &delay, ns < VERY_SLOW_NS ? COMMAND_SLOW : COMMAND_VERY_SLOW, now, ns);
	return 0;
}

SEC("kprobe/virtnet_send_command_reply")
int at_virtnet_send_command_reply(u64 *regs)
{
	return begin(PARM2(regs));
}

SEC("kretprobe/virtnet_send_command_reply")
int after_virtnet_send_command_reply(u64 *regs)
{
	return finish(regs);
}

SEC("kprobe/virtnet_send_command")
int at_virtnet_send_command(u64 *regs)
{
	return begin(PARM2(regs));
}

SEC("kretprobe/virtnet_send_command")
int after_virtnet_send_command(u64 *regs)
{
	return finish(regs);
}

char LICENSE[] SEC("license") = "GPL";
