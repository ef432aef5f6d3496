// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The few fields of kernel structs that the probes read. Offsets are the node's: the loader puts them in (CO-RE),
// and refuses a program of which a field is missing and not asked about with bpf_core_field_exists().
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
#define BPF_NOEXIST 1
#define BPF_F_CURRENT_CPU 0xffffffffULL

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define RELOCATED __attribute__((preserve_access_index))

struct ns_common {
	unsigned int inum;
} RELOCATED;

struct net {
	struct ns_common ns;
	u64 net_cookie; // since 5.12
} RELOCATED;

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	possible_net_t nd_net;
	int ifindex;
} RELOCATED;

struct in6_addr {
	u8 opaque[16];
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport; // network order
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} RELOCATED;

struct kernfs_node {
	u64 id; // a union before 5.5
} RELOCATED;

struct cgroup {
	struct kernfs_node *kn;
} RELOCATED;

struct sock_cgroup_data {
	struct cgroup *cgroup; // since 5.15
} RELOCATED;

typedef struct {
	int owned; // by a task that is in a system call for it
} socket_lock_t;

struct sk_buff;

struct sk_buff_head {
	struct sk_buff *prev; // the last one
} RELOCATED;

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	int sk_err;
	u16 sk_protocol; // a bitfield before 5.6
	socket_lock_t sk_lock;
	struct sk_buff_head sk_receive_queue;
} RELOCATED;

struct inet_sock {
	u16 inet_sport; // network order
} RELOCATED;

struct request_sock {
	struct sock_common __req_common;
} RELOCATED;

struct inet_connection_sock {
	u8 icsk_pending;
	u8 icsk_ca_state : 5;
} RELOCATED;

struct tcp_sock {
	u32 rcv_nxt;
	u32 copied_seq;
	u32 snd_nxt;
	u32 write_seq;
} RELOCATED;

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	unsigned int data_len; // of len, what is in pages elsewhere
	int skb_iif;
	u16 protocol; // network order
	u16 network_header;
	unsigned char *head;
	unsigned char *data;
	u16 transport_header;
	u64 skb_mstamp_ns; // since 4.20: when TCP handed it over, or is to be sent
} RELOCATED;

// The numbers are each kernel's own.
enum skb_drop_reason {
	SKB_CONSUMED = 1,                // since 6.4
	SKB_DROP_REASON_QUEUE_PURGE = 2, // a socket was closed with data in its queue: nothing got lost on its way
	SKB_DROP_REASON_NETFILTER_DROP = 3, // since 5.18
};
