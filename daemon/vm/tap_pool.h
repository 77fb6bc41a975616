/* SPDX-License-Identifier: ISC */
/*
 * tap_pool.h: taps made ahead of time. A pooled tap is a slot that is attached and that no VM holds; the start of a VM
 * takes the slot, and its own NET_ATTACH then finds the tap whole instead of making one. Refilled in the background, the
 * lowest free slots first, so that addresses stay low. Nothing of it is on record: what a crash leaves is a stray
 * slot, which vms_recover gives back (it may have had NAT) before the pool is filled anew.
 *
 * Made and drained by the engine, asked by vm_start.c. Must never hold a slot back: a VM that finds no other takes
 * the pool's.
 */
#ifndef BG_DAEMON_VM_TAP_POOL_H
#define BG_DAEMON_VM_TAP_POOL_H

#include "common/base.h"

struct engine;
struct vm;
struct tap_pool;

/* size: taps to keep ready; 0 turns it off. Nothing is made before tap_pool_fill. */
int tap_pool_new(struct engine *engine, unsigned size, struct tap_pool **ret);
void tap_pool_free(struct tap_pool *pool);

/* The network works and stray slots were given back: fills now. */
void tap_pool_fill(struct tap_pool *pool);
/* A slot was taken or came free: fills a moment later, out of the way of the start that goes on. */
void tap_pool_refill(struct tap_pool *pool);
/*
 * The slot for a VM: the one that it always had, while nobody else has it; for a new VM a ready one, else the lowest that
 * is nobody's. -ENOSPC. It is the pool's no longer.
 */
int tap_pool_take(struct tap_pool *pool, const struct vm *vm);

/* For a clean end: gives all taps back; no more are made. */
void tap_pool_drain(struct tap_pool *pool);
/* All were given back, or nobody is left to take them. */
bool tap_pool_drained(const struct tap_pool *pool);

/* The set of slots that are its own: ready, or being made. */
uint64_t tap_pool_slots(const struct tap_pool *pool);
unsigned tap_pool_size(const struct tap_pool *pool);
unsigned tap_pool_ready(const struct tap_pool *pool);

#endif
