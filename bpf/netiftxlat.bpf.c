// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Packets on their way out: how long the queueing discipline keeps them, and how long the driver takes.
#include "latency.h"

#define NETDEV_TX_BUSY 0x10 // include/linux/netdevice.h: the packet goes back into the queue

// A tunnel's device hands the same packet to another device while its own driver is at work.
struct passage {
	struct sk_buff *skb;
	struct net_device *dev;
};

struct times {
	u64 queued;
	u64 started;
};

// A packet that is dropped in the queue stays here until it is the oldest; its memory may be another packet by then,
// which is queued first and so takes the place.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct passage);
	__type(value, struct times);
} passing SEC(".maps");

enum stage { QDISC, DRIVER };

SEC("raw_tp/net_dev_queue")
int on_net_dev_queue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	struct passage passage = {.skb = skb, .dev = dev};
	struct times times = {};

	if (IS_SET(skoop_filter) && !is_wanted(BPF_CORE_READ(dev, nd_net.net, ns.inum)))
		return 0;
	times.queued = bpf_ktime_get_ns();
	bpf_map_update_elem(&passing, &passage, &times, 0);
	return 0;
}

SEC("raw_tp/net_dev_start_xmit")
int on_net_dev_start_xmit(u64 *ctx)
{
	struct passage passage = {.skb = (void *)ctx[0], .dev = (void *)ctx[1]};
	struct times *times = bpf_map_lookup_elem(&passing, &passage);
	struct delay delay = {};
	u64 now, ns;

	if (!times)
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - times->queued;
	times->started = now;
	note_latency(QDISC, ns);
	if (ns < SLOW_NS)
		return 0;
	where_packet(&delay.event, passage.skb);
	between_packet(&delay.event, passage.skb);
	tell_slow(ctx, &delay, TRANSMIT_QDISC_SLOW, now, ns);
	return 0;
}

// The packet may be gone: the driver has had it. Its device is still there.
SEC("raw_tp/net_dev_xmit")
int on_net_dev_xmit(u64 *ctx)
{
	struct net_device *dev = (void *)ctx[2];
	struct passage passage = {.skb = (void *)ctx[0], .dev = dev};
	struct times *times = bpf_map_lookup_elem(&passing, &passage);
	struct delay delay = {};
	u64 now, ns, started;

	if (!times)
		return 0;
	started = times->started;
	if (!started)
		return 0; // another packet in the same memory, which is queued already
	if ((u32)ctx[1] == NETDEV_TX_BUSY)
		times->started = 0;
	else
		bpf_map_delete_elem(&passing, &passage);
	now = bpf_ktime_get_ns();
	ns = now - started;
	note_latency(DRIVER, ns);
	if (ns < SLOW_NS)
		return 0;
	in_namespace(&delay.event, BPF_CORE_READ(dev, nd_net.net));
	delay.event.ifindex = BPF_CORE_READ(dev, ifindex);
	delay.event.length = (u32)ctx[3];
	tell_slow(ctx, &delay, TRANSMIT_DRIVER_SLOW, now, ns);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
