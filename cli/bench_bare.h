/* SPDX-License-Identifier: ISC */
/*
 * bench_bare.h: what a VM's VMM and kernel need by themselves: the same program with the same machine, kernel, memory and
 * processors, without disks, network, initrd and banger. The kernel finds no root file system, panics, and is told to reboot at
 * once, which ends the VMM: from its start to its end is the time. Leaves nothing behind, not even when we are killed.
 */
#ifndef BG_CLI_BENCH_BARE_H
#define BG_CLI_BENCH_BARE_H

#include "common/err.h"

struct bare;

/* From the command line of a VM's VMM ("qemu", "firecracker") while that runs. -ENOTSUP: of another VMM. *ret is the caller's. */
int bare_new(const char *vmm, int64_t pid, struct bare **ret, struct bg_err **err);
void bare_free(struct bare *bare);
BG_DEFINE_UNREF(bare, struct bare *, bare_free)
/* Blocks, BARE_DEADLINE_S at most; *ms its time. -EINTR: SIGINT, which is blocked, came meanwhile; it stays pending. */
int bare_run(const struct bare *bare, uint64_t *ms, struct bg_err **err);

enum { BARE_DEADLINE_S = 300 };

#endif
