/* SPDX-License-Identifier: ISC */
/* See tap_pool.h. One verb at a time is under way: an attach while it fills, a detach while it
 * drains. */
#include "daemon/vm/tap_pool.h"

#include "common/log.h"
#include "daemon/engine.h"

enum { REFILL_USEC = 300000 }; /* a start is at its VMM by then */

struct tap_pool {
	struct engine *engine;
	unsigned size;
	uint64_t ready; /* slots */
	unsigned asked; /* slot of call */
	struct net_call *call;
	struct loop_source *timer;
	bool draining;
	bool complained; /* once for each time that it stops working */
};

int tap_pool_new(struct engine *engine, unsigned size, struct tap_pool **ret)
{
	struct tap_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->engine = engine;
	pool->size = size;
	*ret = pool;
	return 0;
}

void tap_pool_free(struct tap_pool *pool)
{
	if (!pool)
		return;
	net_call_free(pool->call);
	loop_source_free(pool->timer);
	free(pool);
}

static int lowest(uint64_t slots)
{
	return slots ? __builtin_ctzll(slots) : -ENOSPC;
}

static void complain(struct tap_pool *pool, const struct bg_err *err)
{
	if (!pool->complained)
		log_err(LOG_WARN, "net", "taps cannot be made ahead of time", err);
	pool->complained = true;
}

static void on_attached(const struct net_card *card, struct bg_err *err, void *userdata)
{
	struct tap_pool *pool = userdata;

	if (card) {
		pool->ready |= UINT64_C(1) << pool->asked;
		pool->complained = false;
	} else {
		complain(pool, err);
	}
	net_call_free(TAKE_PTR(pool->call)); /* card and err go with it */
	if (pool->draining)
		tap_pool_drain(pool);
	else if (!pool->complained)
		tap_pool_fill(pool);
}

void tap_pool_fill(struct tap_pool *pool)
{
	const struct engine *engine = pool->engine;
	_err_ struct bg_err *err = NULL;
	int slot;

	if (pool->draining || pool->call || net_error(engine->net) ||
		tap_pool_ready(pool) >= pool->size)
		return;
	slot = vms_free_slot(engine->vms, NULL, net_slots(engine->net), pool->ready);
	if (slot < 0)
		return;
	pool->asked = (unsigned)slot;
	if (net_attach(engine->net, pool->asked, on_attached, pool, &pool->call, &err) < 0)
		complain(pool, err);
}

static void on_timer(void *userdata)
{
	struct tap_pool *pool = userdata;

	loop_source_free(TAKE_PTR(pool->timer));
	tap_pool_fill(pool);
}

void tap_pool_refill(struct tap_pool *pool)
{
	if (pool->size == 0 || pool->draining)
		return;
	loop_source_free(TAKE_PTR(pool->timer));
	(void)loop_add_timer(
		pool->engine->loop, "tap pool", REFILL_USEC, on_timer, pool, &pool->timer);
}

/* One that is under way will be whole when the VM's own request is answered: the helper keeps their
 * order. */
int tap_pool_take(struct tap_pool *pool, const struct vm *vm)
{
	const struct engine *engine = pool->engine;
	int slot = vm->row->home_slot < 0 ? lowest(pool->ready) : -ENOSPC;

	if (slot < 0)
		slot = vms_free_slot(engine->vms, vm, net_slots(engine->net), 0);
	if (slot < 0)
		return slot;
	pool->ready &= ~(UINT64_C(1) << slot);
	if (pool->call && pool->asked == (unsigned)slot)
		net_call_free(TAKE_PTR(pool->call));
	tap_pool_refill(pool);
	return slot;
}

static void on_detached(struct bg_err *err, void *userdata)
{
	struct tap_pool *pool = userdata;

	if (err)
		complain(pool, err);
	net_call_free(TAKE_PTR(pool->call));
	tap_pool_drain(pool);
}

void tap_pool_drain(struct tap_pool *pool)
{
	_err_ struct bg_err *err = NULL;
	int slot = lowest(pool->ready);

	pool->draining = true;
	loop_source_free(TAKE_PTR(pool->timer));
	if (pool->call || slot < 0 || net_error(pool->engine->net))
		return;
	pool->ready &= ~(UINT64_C(1) << slot);
	if (net_detach(pool->engine->net, (unsigned)slot, on_detached, pool, &pool->call, &err) < 0)
		complain(pool, err);
}

bool tap_pool_drained(const struct tap_pool *pool)
{
	return net_error(pool->engine->net) || (!pool->ready && !pool->call);
}

uint64_t tap_pool_slots(const struct tap_pool *pool)
{
	return pool->ready | (pool->call ? UINT64_C(1) << pool->asked : 0);
}

unsigned tap_pool_size(const struct tap_pool *pool)
{
	return pool->size;
}

unsigned tap_pool_ready(const struct tap_pool *pool)
{
	return (unsigned)__builtin_popcountll(pool->ready);
}
