// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Where a packet or a socket is, and between whom.
#pragma once
#include "record.h"

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136
#define IPPROTO_DCCP 33

// What is copied whole is copied byte by byte where the compiler does not know this.
#define ALIGNED __attribute__((aligned(8)))

// Namespaces have inode numbers of procfs' dynamic range, or just below it (PROC_DYNAMIC_FIRST, PROC_NET_INIT_INO).
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

// The device may be no pointer: sockets keep other things in its place (skbuff.h: rbnode, dev_scratch). Then what is
// read there has no inode of a namespace.
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

// Local is the source. A socket of IPv6 may talk to an address of IPv4.
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
	// A socket that closes gives its port back before it resets (tcp.c: tcp_disconnect), and remembers it here only.
	if (!event->source_port)
		event->source_port = host_order(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	cgroup_of(event, sk);
}

// Behind `end` is nothing of the packet: what it has more is elsewhere. 0 is no end, of headers that the kernel has read.
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

// This and the next return what is behind the addresses; 0 where that is not at hand.
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

// Extension headers (RFC 8200 section 4): hop by hop, routing, fragment, destination options; four at most.
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
