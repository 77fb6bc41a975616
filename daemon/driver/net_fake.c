/* SPDX-License-Identifier: ISC */
/* The carrier of net.c for tests of a VM's life: cards that exist in no kernel. Slots as the real
 * default. */
#include <stdio.h>

#include "daemon/driver/net_impl.h"

enum { FAKE_SLOTS = 64 };

static void fill_card(unsigned slot, struct net_card *ret)
{
	*ret = (struct net_card){.slot = slot, .mac = {0x02, 0x62, 0x67, 0, 0, (uint8_t)slot}};
	snprintf(ret->tap, sizeof(ret->tap), "bgr0-%u", slot % FAKE_SLOTS);
	snprintf(ret->address, sizeof(ret->address), "10.209.0.%u", slot % FAKE_SLOTS + 2);
	snprintf(ret->gateway, sizeof(ret->gateway), "10.209.0.1");
}

static void carry_out(struct net *net, struct net_call *call)
{
	struct bg_err *err = NULL;

	if (call->slot >= FAKE_SLOTS) {
		bg_err_set(&err, BG_ERR_HELPER_LIMIT, ENOSPC,
			"slot %u is beyond what a user may have", call->slot);
	} else if (net->fail_in > 0 && --net->fail_in == 0) {
		bg_err_set(&err, BG_ERR_HELPER_FAILED, EIO, "the test wants slot %u to fail",
			call->slot);
	} else if (call->kind == NET_ATTACH) {
		fill_card(call->slot, &call->card);
		net->attached |= UINT64_C(1) << call->slot;
	} else if (call->kind == NET_NAT || call->kind == NET_DETACH) {
		const uint64_t bit = UINT64_C(1) << call->slot;

		net->nat = call->reach.nat ? net->nat | bit : net->nat & ~bit;
		net->peers = call->reach.peers ? net->peers | bit : net->peers & ~bit;
		net->attached &= call->kind == NET_NAT ? ~UINT64_C(0) : ~bit;
	}
	net_call_finish(call, err);
}

static void fake_pump(struct net *net)
{
	struct net_call *call;

	while ((call = TAILQ_FIRST(&net->waiting)))
		carry_out(net, call);
}

static void fake_release(struct net *net)
{
}

static void fake_begin(struct net *net)
{
	net->ready = true;
	net->slots = FAKE_SLOTS;
	snprintf(net->gateway, sizeof(net->gateway), "127.0.0.1");
}

static const struct net_carrier fake_carrier = {
	.pump = fake_pump, .begin = fake_begin, .release = fake_release};

int net_new_fake(struct loop *loop, struct net **ret)
{
	struct net *net = net_alloc(loop, &fake_carrier);

	if (!net)
		return -ENOMEM;
	fake_begin(net);
	*ret = net;
	return 0;
}

void net_fake_fail(struct net *net, unsigned nth)
{
	net->fail_in = nth;
}

unsigned net_fake_attached(const struct net *net)
{
	return (unsigned)__builtin_popcountll(net->attached);
}

uint64_t net_fake_peers(const struct net *net)
{
	return net->peers;
}

uint64_t net_fake_nat(const struct net *net)
{
	return net->nat;
}
