/* SPDX-License-Identifier: ISC */
/*
 * blk.h: loop devices, device-mapper devices and their nodes, by the kernel's own
 * interfaces. Called by role_disk.c (open) and verb_disk.c. Owns two control devices, a file system
 * of its own that nobody else can reach, and a descriptor of BG_DISK_NODE_DIR. Must never
 * open a device that it did not make, or take a name, number or table from the caller.
 */
#ifndef BG_PRIVHELPER_BLK_H
#define BG_PRIVHELPER_BLK_H

#include <sys/types.h>

#include "common/base.h"
#include "common/priv_proto.h"

enum { BLK_NAME = 32, BLK_UUID = 64 };

struct blk_host {
	int private; /* a mounted, detached tmpfs: device nodes live there while they are opened */
	int nodes;   /* BG_DISK_NODE_DIR */
	int loop_control, dm_control;
	unsigned part_shift; /* minor = number << part_shift */
	unsigned dm_major;
	uid_t uid; /* ours: the owner of the nodes that we make */
};

/* -ENODEV: the kernel lacks loop or device-mapper. -EPERM, -ENOENT: the node folder. */
int blk_open(struct blk_host *h);

/* A part of a file as a loop device. Gone by itself when neither ret_fd nor a table holds it. */
struct blk_loop {
	int fd; /* the loop device; closed by the caller */
	unsigned minor;
};
struct blk_part {
	int file;
	uint64_t offset, size; /* bytes */
	bool writable;
	bool direct; /* past the page cache, where the file system can */
};
int blk_loop_make(const struct blk_host *h, const struct blk_part *part, struct blk_loop *ret);

/* Names of a device-mapper device. uuid is the identity; name has to be free, too. */
struct blk_id {
	char name[BLK_NAME], uuid[BLK_UUID];
};

struct blk_state {
	unsigned minor;
	bool open;   /* by anybody */
	bool active; /* has a table and is not suspended */
};

/* Whether the kernel has a kind of target. For the open stage. */
bool blk_dm_has_target(const struct blk_host *h, const char *type);
/* The device with this uuid; -ENXIO when there is none. */
int blk_dm_find(const struct blk_host *h, const char *uuid, struct blk_state *ret);
/* The uuid of the device with this name. */
int blk_dm_uuid(const struct blk_host *h, const char *name, char ret[BLK_UUID]);
/* Empty, without a table. -EEXIST: name or uuid is taken. */
int blk_dm_create(const struct blk_host *h, const struct blk_id *id);
/* The table of a disk: a snapshot of base over store, then tail (size 0: none). Sectors. */
struct blk_table {
	unsigned base, store, tail; /* minors of loops */
	uint64_t base_sectors, tail_sectors;
};
/* -EUCLEAN when the kernel took the overlay's content for something else than we did. */
int blk_dm_activate(const struct blk_host *h, const char *uuid, const struct blk_table *table,
	unsigned *ret_minor);
/* -ENXIO: there is none. -EBUSY: in use. */
int blk_dm_remove(const struct blk_host *h, const char *uuid);

/* Nodes in BG_DISK_NODE_DIR: 0600, owned by this process's uid. A missing one is not an error for unlink. */
int blk_node_make(const struct blk_host *h, const char *name, unsigned minor);
bool blk_node_is(const struct blk_host *h, const char *name, unsigned minor);
int blk_node_unlink(const struct blk_host *h, const char *name);

#endif
