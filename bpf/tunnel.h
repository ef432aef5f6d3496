// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What a packet of a tunnel carries: whose packet it really is. skoopctl/bpf/inner.py reads struct inner.
#pragma once
#include "packet.h"

#define ETH_P_TEB 0x6558 // an Ethernet frame
#define ETH_P_8021Q 0x8100
#define IPPROTO_IPIP 4
#define IPPROTO_IPV6 41
#define IPPROTO_GRE 47
#define PORT_VXLAN 4789     // RFC 7348
#define PORT_VXLAN_OLD 8472 // what Linux takes when it is not told one
#define PORT_GENEVE 6081    // RFC 8926

enum carrier {
	BY_VXLAN = 1,
	BY_GENEVE = 2,
	BY_GRE = 3,
	BY_IPIP = 4, // IP in IP, of either family
};

#define WITH_ID 4 // beside enum flag

struct inner {
	u32 id;     // VNI, or GRE's key
	u8 carrier; // 0 without a packet inside
	u8 family;
	u8 protocol;
	u8 tcp_flags;
	u8 flags;
	u8 unused[3];
	u16 source_port; // host order
	u16 destination_port;
	u8 source[16];
	u8 destination[16];
};

struct reader {
	const u8 *at;  // 0 when there is nothing to read
	const u8 *end;
	u16 ethertype; // of what is at `at`
};

// Packets may go on in pages, which no program of a tracepoint can read. Then the headers are told as far as they go.
static __always_inline const u8 *end_of(struct sk_buff *skb)
{
	return BPF_CORE_READ(skb, data) + (BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len));
}

static __always_inline void open_udp(struct inner *inner, struct reader *reader, u16 port)
{
	u8 head[16];
	const u8 *at = reader->at;

	reader->at = 0;
	if (port != PORT_VXLAN && port != PORT_VXLAN_OLD && port != PORT_GENEVE)
		return;
	if (take(head, 16, at, reader->end))
		return;
	if (port == PORT_GENEVE) {
		if (head[8] >> 6 || head[9] & 0x80) // another version, or a message to the other end
			return;
		inner->carrier = BY_GENEVE;
		reader->ethertype = head[10] << 8 | head[11];
		reader->at = at + 16 + (head[8] & 0x3f) * 4;
	} else {
		if ((head[8] & 0x0c) != 0x08) // no VNI, or what follows is no Ethernet frame (GPE)
			return;
		inner->carrier = BY_VXLAN;
		reader->ethertype = ETH_P_TEB;
		reader->at = at + 16;
	}
	inner->flags = WITH_ID;
	inner->id = head[12] << 16 | head[13] << 8 | head[14];
}

// RFC 2784, RFC 2890.
static __always_inline void open_gre(struct inner *inner, struct reader *reader)
{
	u8 head[4], key[4];
	const u8 *at = reader->at;

	reader->at = 0;
	if (take(head, 4, at, reader->end) || head[0] & 0x40 || head[1] & 7) // with routes, or another version
		return;
	at += head[0] & 0x80 ? 8 : 4; // a checksum
	if (head[0] & 0x20) {
		if (take(key, 4, at, reader->end))
			return;
		inner->flags = WITH_ID;
		inner->id = (u32)key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3];
		at += 4;
	}
	inner->carrier = BY_GRE;
	reader->ethertype = head[2] << 8 | head[3];
	reader->at = at + (head[0] & 0x10 ? 4 : 0); // a sequence number
}

static __always_inline void open_frame(struct reader *reader)
{
	u8 head[14], tag[4];

	if (take(head, 14, reader->at, reader->end)) {
		reader->ethertype = 0;
		return;
	}
	reader->ethertype = head[12] << 8 | head[13];
	reader->at += 14;
	if (reader->ethertype != ETH_P_8021Q)
		return;
	reader->ethertype = take(tag, 4, reader->at, reader->end) ? 0 : tag[2] << 8 | tag[3];
	reader->at += 4;
}

static __always_inline void read_carried(struct inner *inner, const struct record *outer, const u8 *at, const u8 *end)
{
	struct reader reader = {.at = at, .end = end};
	struct record packet = {};

	if (!at)
		return;
	if (outer->protocol == IPPROTO_UDP) {
		open_udp(inner, &reader, outer->destination_port);
	} else if (outer->protocol == IPPROTO_GRE) {
		open_gre(inner, &reader);
	} else if (outer->protocol == IPPROTO_IPIP || outer->protocol == IPPROTO_IPV6) {
		inner->carrier = BY_IPIP;
		reader.ethertype = outer->protocol == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6;
	} else {
		return;
	}
	if (reader.at && reader.ethertype == ETH_P_TEB)
		open_frame(&reader);
	if (reader.at)
		between_ip(&packet, reader.ethertype, reader.at, reader.end);
	if (!packet.family) {
		inner->carrier = 0;
		return;
	}
	inner->family = packet.family;
	inner->protocol = packet.protocol;
	inner->tcp_flags = packet.tcp_flags;
	inner->flags |= packet.flags;
	inner->source_port = packet.source_port;
	inner->destination_port = packet.destination_port;
	__builtin_memcpy(inner->source, packet.source, 16);
	__builtin_memcpy(inner->destination, packet.destination, 16);
}
