/* SPDX-License-Identifier: ISC */
/*
 * helpers.h: new helpers for those that died. The monitor starts one on request (only it may still gain privilege); the
 * driver (net.h, disk.h) begins anew with its socket, and what the ledger has that no VM holds is given back. A helper that
 * had worked for some time is replaced at once, one that ends soon after its start, or is not installed, later and later.
 * Made by the engine once the drivers and VMs are. Must never ask twice at one time.
 */
#ifndef BG_DAEMON_HELPERS_H
#define BG_DAEMON_HELPERS_H

#include "common/base.h"

struct engine;
struct helpers;

int helpers_new(struct engine *engine, struct helpers **ret);
void helpers_free(struct helpers *helpers);
/* Somebody needs one now: does not wait out the pause, so that what was just mended or installed is found. NULL is fine. */
void helpers_hurry(struct helpers *helpers);

#endif
