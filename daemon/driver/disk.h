/* SPDX-License-Identifier: ISC */
/*
 * disk.h: a VM's root disk as a block device, made by banger-privhelper-disk of an image's file and the VM's
 * overlay. Speaks to the helper over the socket that the monitor handed the engine: HELLO, LIST,
 * then verbs, answered in order. Without a helper every attach gives the error that says why.
 * Used by storage (may it be chosen?) and by the plans of a VM.
 */
#ifndef BG_DAEMON_DRIVER_DISK_H
#define BG_DAEMON_DRIVER_DISK_H

#include "common/base.h"
#include "common/disk_layout.h"
#include "common/err.h"
#include "daemon/loop/loop.h"

struct disk;
struct disk_call;

/* node: the device's path, of an attach that went well; else NULL. Both are borrowed. Comes from the loop. */
typedef void (*disk_done_fn)(const char *node, struct bg_err *err, void *userdata);

/* sock is taken; -1 when the monitor could not start the helper, which path names in errors. */
int disk_new(struct loop *loop, int sock, const char *path, struct disk **ret, struct bg_err **err);
void disk_free(struct disk *disk);
BG_DEFINE_UNREF(disk, struct disk *, disk_free)

/* The helper answered and works. False as long as it has not answered. */
bool disk_ready(const struct disk *disk);
/* NULL while the helper works or has not answered yet. Borrowed. */
const struct bg_err *disk_error(const struct disk *disk);
/* As net_set_lost, net_expect and net_revive. */
void disk_set_lost(struct disk *disk, void (*lost)(void *userdata), void *userdata);
void disk_expect(struct disk *disk);
void disk_revive(struct disk *disk, int sock);
/* Slots that the helper's ledger had for us when it was started. */
uint64_t disk_held(const struct disk *disk);

/* Calls made before the helper has answered HELLO wait for that. base is opened for reading, overlay for both. */
int disk_attach(struct disk *disk, unsigned slot, const char *base, const char *overlay,
	disk_done_fn done, void *userdata, struct disk_call **ret, struct bg_err **err);
int disk_detach(struct disk *disk, unsigned slot, disk_done_fn done, void *userdata,
	struct disk_call **ret, struct bg_err **err);
/* Once the helper has answered or failed. */
int disk_when_known(struct disk *disk, disk_done_fn done, void *userdata, struct disk_call **ret,
	struct bg_err **err);
/* Forgets the answer; the verb itself is carried out all the same. */
void disk_call_free(struct disk_call *call);
BG_DEFINE_UNREF(disk_call, struct disk_call *, disk_call_free)

#endif
