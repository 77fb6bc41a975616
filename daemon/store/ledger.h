/* SPDX-License-Identifier: ISC */
/*
 * ledger.h: one generation of the database, <state>/banger.N.db: SQLite as a log that can be read again. One table of {tab, key,
 * rev, text, crc}; the row meta/complete is written last, so that a file that was not finished is known. Opened by the store
 * process alone, which may block; EXCLUSIVE, so that there is no -shm and no lock of others in our way once it is open.
 *
 * After an error of a sync the file is not to be believed any more (the kernel forgets the error, and SQLite goes on):
 * ledger_apply says -EIO then, and its caller makes the next generation out of what it has in memory.
 */
#ifndef BG_DAEMON_STORE_LEDGER_H
#define BG_DAEMON_STORE_LEDGER_H

#include <sqlite3.h>

#include "daemon/store/rows.h"

#define LEDGER_VERSION 1

struct ledger;

/* text NULL: the row goes. */
struct change {
	enum table_id table;
	const char *key, *text;
	uint64_t rev;
};

/*
 * Opens and reads all rows into rows. -EBUSY: another program has it; -ENODATA: never finished; -EUCLEAN: damaged; -EPROTONOSUPPORT:
 * a newer banger's. In these cases rows has what can still be read and is as it was written.
 */
int ledger_open(const char *path, struct rows *rows, struct ledger **ret, struct bg_err **err);
/* A new file with these rows; on the disk when it returns, its folder's entry is not. */
int ledger_create(
	const char *path, const struct rows *rows, struct ledger **ret, struct bg_err **err);
/* The last connection's files stay, the log at its full size. */
void ledger_close(struct ledger *ledger);
BG_DEFINE_UNREF(ledger, struct ledger *, ledger_close)
/* As it is: of a file that is not to be believed, or that was only read. */
void ledger_abandon(struct ledger *ledger);
BG_DEFINE_UNREF(ledger_open, struct ledger *, ledger_abandon)

/*
 * One transaction, on the disk when it returns 0. -ENOSPC (also over quota) and -EINVAL (a row that cannot be stored): nothing
 * was changed, the file is good. Anything else: it is not.
 */
int ledger_apply(
	struct ledger *ledger, const struct change *changes, size_t n, struct bg_err **err);
/* Copies the log into the database; for idle moments. As ledger_apply. */
int ledger_checkpoint(struct ledger *ledger, struct bg_err **err);
/* Pages in the log since the last checkpoint. */
int ledger_log_pages(const struct ledger *ledger);

#endif
