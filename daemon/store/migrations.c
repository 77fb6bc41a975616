/* SPDX-License-Identifier: ISC */
/*
 * The schema's history. A row that was released is never edited: a change is a new row at the end,
 * with its columns added to the table's .def. Names are unique by schema, so that no race in the
 * code above can make two.
 */
#include "daemon/store/db.h"

#include <stdio.h>

const char *const store_migrations[] = {
	/* 1 */
	"CREATE TABLE vm ("
	" id TEXT PRIMARY KEY NOT NULL,"
	" name TEXT NOT NULL UNIQUE,"
	" state INTEGER NOT NULL,"
	" image TEXT NOT NULL,"
	" kernel TEXT NOT NULL,"
	" vcpus INTEGER NOT NULL,"
	" memory_mib INTEGER NOT NULL,"
	" disk_mib INTEGER NOT NULL,"
	" work_mib INTEGER NOT NULL,"
	" nat INTEGER NOT NULL,"
	" slot INTEGER NOT NULL,"
	" vmm TEXT,"
	" accel TEXT,"
	" vmm_reason TEXT,"
	" storage TEXT,"
	" address TEXT,"
	" pid INTEGER NOT NULL,"
	" pid_start INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL,"
	" started_at INTEGER NOT NULL,"
	" error_json TEXT,"
	" host_key_public TEXT,"
	" has_sshd INTEGER NOT NULL"
	");"
	"CREATE UNIQUE INDEX vm_slot ON vm (slot) WHERE slot >= 0;"
	"CREATE TABLE image ("
	" name TEXT PRIMARY KEY NOT NULL,"
	" managed INTEGER NOT NULL,"
	" ready INTEGER NOT NULL,"
	" kernel TEXT,"
	" source TEXT NOT NULL,"
	" os TEXT,"
	" rootfs TEXT,"
	" work_seed TEXT,"
	" has_sshd INTEGER NOT NULL,"
	" size_bytes INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL"
	");"
	"CREATE TABLE kernel ("
	" name TEXT PRIMARY KEY NOT NULL,"
	" ready INTEGER NOT NULL,"
	" format TEXT NOT NULL,"
	" release TEXT,"
	" path TEXT NOT NULL,"
	" modules_cpio TEXT,"
	" modules_disk TEXT,"
	" n_modules INTEGER NOT NULL,"
	" size_bytes INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL"
	");",
	/* 2: AUTOINCREMENT, so that an operation's id is never given again */
	"CREATE TABLE op ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" kind TEXT NOT NULL,"
	" target TEXT NOT NULL,"
	" state TEXT NOT NULL,"
	" error_json TEXT,"
	" began_at INTEGER NOT NULL,"
	" ended_at INTEGER"
	");"
	"CREATE INDEX op_running ON op (id) WHERE ended_at IS NULL;",
	/* 3: labels, and where the logs of the last start begin */
	"ALTER TABLE vm ADD COLUMN labels TEXT;"
	"ALTER TABLE vm ADD COLUMN boot_serial INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE vm ADD COLUMN boot_vmm INTEGER NOT NULL DEFAULT 0;",
	/* 4 */
	"ALTER TABLE vm ADD COLUMN publish TEXT;",
	/* 5 */
	"ALTER TABLE vm ADD COLUMN with_init INTEGER NOT NULL DEFAULT 0;",
	/* 6; in brackets, as clang takes two strings in a list for a forgotten comma */
	("ALTER TABLE kernel ADD COLUMN initrd TEXT;"
	 "ALTER TABLE image ADD COLUMN owns_kernel INTEGER NOT NULL DEFAULT 0;"),
	/* 7 */
	"ALTER TABLE image ADD COLUMN env TEXT;",
	/* 8: it was always beside the boot image before */
	("ALTER TABLE kernel ADD COLUMN elf TEXT;"
	 "UPDATE kernel SET elf = substr(path, 1, length(path) - length('kernel')) || 'vmlinux'"
	 " WHERE format = 'bzimage' AND path LIKE '%/kernel';"),
	/* 9 */
	("ALTER TABLE vm ADD COLUMN peers INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE vm ADD COLUMN home_slot INTEGER NOT NULL DEFAULT -1;"),
};
const unsigned store_n_migrations = ARRAY_SIZE(store_migrations);

static int read_version(sqlite3 *db, unsigned *ret, struct bg_err **err)
{
	sqlite3_stmt *stmt;
	int rc, r;

	r = store_prepare(db, "version", "PRAGMA user_version", &stmt, err);
	if (r < 0)
		return r;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = (unsigned)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? 0 : store_error(db, "version", rc, err);
}

static int exec(sqlite3 *db, const char *what, const char *sql, struct bg_err **err)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_error(db, what, rc, err);
}

static int migrate_one(sqlite3 *db, const char *sql, unsigned version, struct bg_err **err)
{
	char what[32], mark[64];
	int r;

	snprintf(what, sizeof(what), "migration %u", version);
	snprintf(mark, sizeof(mark), "PRAGMA user_version = %u; COMMIT", version);
	r = exec(db, what, "BEGIN IMMEDIATE", err);
	if (r < 0)
		return r;
	r = exec(db, what, sql, err);
	if (r >= 0)
		r = exec(db, what, mark, err);
	if (r < 0)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int store_migrate(sqlite3 *db, const char *const *migrations, unsigned n, struct bg_err **err)
{
	unsigned version = 0;
	int r;

	r = read_version(db, &version, err);
	if (r < 0)
		return r;
	if (version > n) {
		r = bg_err_set(err, BG_ERR_STATE, EPROTONOSUPPORT,
			"%s was written by a newer banger (format %u, this one knows %u)",
			sqlite3_db_filename(db, "main"), version, n);
		bg_err_hint(err, "install the newer banger again");
		return r;
	}
	for (; version < n && r >= 0; version++)
		r = migrate_one(db, migrations[version], version + 1, err);
	return r;
}
