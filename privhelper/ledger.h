/* SPDX-License-Identifier: ISC */
/*
 * ledger.h: root's own record of what each uid has, one file per helper: of
 * BG_PRIV_USERS_MAX blocks, one per user index, each a header that names the uid
 * and one row per slot. It is the only authority for removing a device.
 *
 * Called by main (open) and the verbs. Owns the file and this uid's lock. Must
 * never write outside this uid's block (but for claiming a free one), and never
 * wait for a lock that another uid can hold: users cannot stall each other.
 *
 * An empty file, or one of zeros, is an empty ledger. Rows are written in one piece and carry
 * a checksum. Everything that a row describes lives in the kernel's memory, so a
 * row of another boot describes nothing: that is why only the claim of an index
 * needs more than one fdatasync to be safe against a power cut.
 */
#ifndef BG_PRIVHELPER_LEDGER_H
#define BG_PRIVHELPER_LEDGER_H

#include <sys/types.h>

#include "common/base.h"
#include "common/limits.h"

#define LEDGER_DIR  "/var/lib/banger"
#define LEDGER_NET  LEDGER_DIR "/net.ledger"
#define LEDGER_DISK LEDGER_DIR "/disk.ledger"

enum ledger_state {
	LEDGER_FREE = 0,   /* nothing of this slot exists */
	LEDGER_INTENT = 1, /* a device may exist: it is being made or removed. Repair removes it */
	LEDGER_LIVE = 2,   /* the device was complete; its owner may have unmade it since */
	LEDGER_STALE,  /* never written: a row of another boot or network namespace, nothing exists
			*/
	LEDGER_BROKEN, /* never written: neither zeros nor valid; as INTENT without an ifindex */
};

struct ledger_row {
	enum ledger_state state;
	uint32_t ifindex; /* of the tap; 0 while none can have been made to stay */
	uint32_t guest;	  /* address as a number */
	uint64_t nonce;	  /* of the disk's uuid; not 0 in a disk's row */
	uint32_t minor;	  /* of the disk, once it is complete */
	bool nat;	  /* its guest may go beyond this host */
	bool peers;	  /* and reaches those of the same user that may too */
};

struct ledger {
	int fd;
	uid_t uid;
	unsigned index; /* valid once bound */
	bool bound;
	uint8_t boot_id[16];
	uint64_t netns; /* cookie of the network namespace; 0 for disks, which are in none */
};

/*
 * Takes one of the few seats that helpers of this uid have, at work or waiting, then opens the file.
 * Blocks never: 0, -EBUSY: no seat is free, -EPERM when the file is not as install-helper made it, or -errno. */
int ledger_open(struct ledger *l, const char *path, uid_t uid, uint64_t netns);
/* The keeper's: without a seat, for reading; then the user of a block, or -ENOENT. Rows are read as after ledger_bind. */
int ledger_open_all(struct ledger *l, uint64_t netns);
int ledger_look(struct ledger *l, unsigned index);
/*
 * Takes this uid's lock, then finds or claims its index (a claim only below max_users).
 * -EBUSY: another helper of this uid holds the lock; -ENOSPC: no index left.
 */
int ledger_bind(struct ledger *l, unsigned max_users);
/* A row of this uid's block; -errno only when the file cannot be read. */
int ledger_get(const struct ledger *l, unsigned slot, struct ledger_row *ret);
/* Writes it; with sync also to the disk. state is FREE, INTENT or LIVE. */
int ledger_put(const struct ledger *l, unsigned slot, const struct ledger_row *row, bool sync);

#endif
