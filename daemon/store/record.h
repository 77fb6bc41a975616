/* SPDX-License-Identifier: ISC */
/*
 * record.h: the record in the folder of a VM, an image or a kernel: what is needed to find it again without the
 * database. Two lines: an object {"v", "kind", "rev", and the KEEP columns}, compact with sorted keys; and "crc32 XXXXXXXX" of the
 * first line with its end. Written by the store process alone, mode 0600, by rename.
 */
#ifndef BG_DAEMON_STORE_RECORD_H
#define BG_DAEMON_STORE_RECORD_H

#include "common/version.h"
#include "daemon/store/db.h"

#define RECORD_VERSION BG_STATE_FORMAT
#define RECORD_MAX     (1024 * 1024)

/* row: as in the table. On the disk when it returns, and the folder's entry too. 0 or -errno. */
int record_write(int state_dirfd, enum table_id table, const void *row, uint64_t rev);
/* Before a first record: the disk has the files of the folder too. */
int record_sync_files(int state_dirfd, enum table_id table, const char *key);
/*
 * -ENOENT: none; -EBADMSG: damaged, or another's; -EPROTONOSUPPORT: a newer banger's. *ret is a row with nothing but the KEEP
 * columns.
 */
int record_read(
	int state_dirfd, enum table_id table, const char *key, void **ret, uint64_t *ret_rev);
/* The text of a record, as record_read takes it; for tests. */
int record_parse(enum table_id table, const char *text, size_t len, void **ret, uint64_t *ret_rev);

/* The mark of last resort that this is being removed: works where nothing can be written any more. */
int record_mark_doomed(int state_dirfd, enum table_id table, const char *key);
/*
 * Where not even the mark has room (btrfs over its quota): the deletion begins here. Removes the files of a VM's folder but its record, and
 * sees to it that their room is free. False when there was none.
 */
bool record_empty_doomed(int state_dirfd, const char *vm);
bool record_is_doomed(int state_dirfd, enum table_id table, const char *key);

/* fsync of <state>/FOLDER; one that is not there is none. */
int record_sync_folder(int state_dirfd, const char *folder);
/* May it be a name in a folder? */
bool record_key_valid(const char *key);

#endif
