/* SPDX-License-Identifier: ISC */
/* See ledger.h. The only file with SQL in it but legacy.c. */
#include "daemon/store/ledger.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"

enum { LEDGER_PAGE = 4096, LOG_HEADER = 32, FRAME_HEADER = 24 };

/* So many bytes of log are made at once, and written over again and again: a commit then needs no new block. */
#define LOG_BYTES "1000000"

struct ledger {
	sqlite3 *db;
	sqlite3_stmt *put, *drop;
	char *path;
	int log_pages;
	bool log_known; /* the log begins anew with us: log_pages counts all of it */
};

/* locking_mode first: with it no shared memory is made. Checkpoints are made by hand, so that their errors are seen. */
static const char setup[] = "PRAGMA locking_mode = EXCLUSIVE;"
			    "PRAGMA journal_mode = WAL;"
			    "PRAGMA synchronous = FULL;"
			    "PRAGMA page_size = 4096;"
			    "PRAGMA mmap_size = 0;"
			    "PRAGMA wal_autocheckpoint = 0;"
			    "PRAGMA cell_size_check = ON;"
			    "PRAGMA trusted_schema = OFF;"
			    "PRAGMA temp_store = MEMORY;"
			    "PRAGMA cache_size = -512;";

static const char schema[] = "PRAGMA application_id = 0x62677374;" /* bgst */
			     "CREATE TABLE row (tab TEXT NOT NULL, key TEXT NOT NULL,"
			     " rev INTEGER NOT NULL, text TEXT NOT NULL, crc INTEGER NOT NULL,"
			     " PRIMARY KEY (tab, key));"
			     "CREATE TABLE filler (bytes BLOB);";

static const char put_sql[] =
	"INSERT INTO row (tab, key, rev, text, crc) VALUES (?1, ?2, ?3, ?4, ?5)"
	" ON CONFLICT (tab, key) DO UPDATE SET rev = ?3, text = ?4, crc = ?5";
static const char drop_sql[] = "DELETE FROM row WHERE tab = ?1 AND key = ?2";

/* Over quota is not SQLITE_FULL. */
static int errno_of(sqlite3 *db, int rc)
{
	int system = db ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_IOERR:
		return rc != SQLITE_IOERR_FSYNC && (system == EDQUOT || system == ENOSPC) ? ENOSPC
											  : EIO;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_CANTOPEN:
		return system == ENOSPC || system == EDQUOT ? ENOSPC : EACCES;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a table that is not there */
		return EUCLEAN;
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
		return EINVAL;
	default:
		return EIO;
	}
}

static int failed(const struct ledger *ledger, const char *what, int rc, struct bg_err **err)
{
	int errnum = errno_of(ledger->db, rc);
	int system = ledger->db ? sqlite3_system_errno(ledger->db) : 0;

	return bg_err_set(err, errnum == ENOSPC ? BG_ERR_NO_SPACE : BG_ERR_STATE, errnum,
		"database %s, %s: %s%s%s", ledger->path, what,
		ledger->db ? sqlite3_errmsg(ledger->db) : sqlite3_errstr(rc), system ? ": " : "",
		system ? strerror(system) : "");
}

static int exec(struct ledger *ledger, const char *what, const char *sql, struct bg_err **err)
{
	int rc = sqlite3_exec(ledger->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : failed(ledger, what, rc, err);
}

static void harden(sqlite3 *db)
{
	int keep = 1;

	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
}

static int on_log(void *userdata, sqlite3 *db, const char *name, int pages)
{
	struct ledger *ledger = userdata;

	(void)db;
	(void)name;
	ledger->log_pages = pages;
	return SQLITE_OK;
}

/* SQLite tells why a file cannot be made by trying again, without making it. It has no locks on this one yet, which a close would end. */
static int make_file(const char *path, struct bg_err **err)
{
	_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : 0;

	if (r >= 0)
		return 0;
	return bg_err_sys(err, r == -ENOSPC || r == -EDQUOT ? BG_ERR_NO_SPACE : BG_ERR_STATE,
		r == -EDQUOT ? ENOSPC : -r, "make the database %s", path);
}

static int connect_to(const char *path, int create, struct ledger **ret, struct bg_err **err)
{
	_unref_(ledger_open) struct ledger *ledger = calloc(1, sizeof(*ledger));
	int rc, r;

	if (!ledger || !(ledger->path = strdup(path)))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = create ? make_file(path, err) : 0;
	if (r < 0)
		return r;
	rc = sqlite3_open_v2(path, &ledger->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
			SQLITE_OPEN_NOFOLLOW | create,
		NULL);
	if (rc != SQLITE_OK)
		return failed(ledger, "open", rc, err);
	/* sqlite falls back to reading silently, and would fail at the first change. */
	if (sqlite3_db_readonly(ledger->db, "main") == 1)
		return bg_err_set(err, BG_ERR_STATE, EROFS, "the database %s is readonly", path);
	harden(ledger->db);
	r = exec(ledger, "open", setup, err);
	if (r < 0)
		return r;
	sqlite3_wal_hook(ledger->db, on_log, ledger);
	*ret = TAKE_PTR(ledger);
	return 0;
}

static int prepare(struct ledger *ledger, const char *sql, sqlite3_stmt **ret, struct bg_err **err)
{
	int rc = sqlite3_prepare_v3(ledger->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : failed(ledger, "prepare", rc, err);
}

static int prepare_all(struct ledger *ledger, struct bg_err **err)
{
	int r = prepare(ledger, put_sql, &ledger->put, err);

	return r < 0 ? r : prepare(ledger, drop_sql, &ledger->drop, err);
}

static uint32_t row_crc(const char *tab, const char *key, uint64_t rev, const char *text)
{
	uint32_t crc = store_crc(0, tab, strlen(tab) + 1);

	crc = store_crc(crc, key, strlen(key) + 1);
	crc = store_crc(crc, &rev, sizeof(rev));
	return store_crc(crc, text, strlen(text));
}

/* ---- reading ---- */

BG_DEFINE_UNREF(stmt, sqlite3_stmt *, sqlite3_finalize)

static int check_pages(struct ledger *ledger, struct bg_err **err)
{
	_unref_(stmt) sqlite3_stmt *stmt = NULL;
	int r = prepare(ledger, "PRAGMA quick_check(1)", &stmt, err);
	int rc = r < 0 ? SQLITE_OK : sqlite3_step(stmt);

	if (r < 0)
		return r;
	if (rc != SQLITE_ROW)
		return failed(ledger, "check", rc, err);
	if (bg_streq((const char *)sqlite3_column_text(stmt, 0), "ok"))
		return 0;
	return bg_err_set(err, BG_ERR_STATE, EUCLEAN, "database %s: %s", ledger->path,
		(const char *)sqlite3_column_text(stmt, 0));
}

static bool is_complete_mark(const char *tab, const char *key)
{
	return bg_streq(tab, "ledger") && bg_streq(key, "complete");
}

struct reading {
	struct rows *rows;
	unsigned bad;
	bool complete;
	int version;
};

static int take_row(struct reading *reading, sqlite3_stmt *stmt)
{
	const char *tab = (const char *)sqlite3_column_text(stmt, 0);
	const char *key = (const char *)sqlite3_column_text(stmt, 1);
	const char *text = (const char *)sqlite3_column_text(stmt, 3);
	uint64_t rev = (uint64_t)sqlite3_column_int64(stmt, 2);
	enum table_id table;
	void *row = NULL;
	int r;

	if (!tab || !key || !text ||
		row_crc(tab, key, rev, text) != (uint32_t)sqlite3_column_int64(stmt, 4)) {
		reading->bad++;
		return 0;
	}
	if (is_complete_mark(tab, key)) {
		reading->complete = true;
		reading->version = atoi(text);
		return 0;
	}
	if (store_table_find(tab, &table) < 0)
		return 0; /* of a newer banger: its mark says so */
	r = table_parse(table, text, &row);
	if (r >= 0 && bg_streq(table_key(table, row), key))
		r = rows_put(reading->rows, table, key, text, rev, NULL);
	else if (r != -ENOMEM)
		reading->bad++;
	table_row_free(table, row);
	return r == -ENOMEM ? r : 0;
}

static int read_rows(struct ledger *ledger, struct reading *reading, struct bg_err **err)
{
	_unref_(stmt) sqlite3_stmt *stmt = NULL;
	int rc, r = prepare(ledger, "SELECT tab, key, rev, text, crc FROM row", &stmt, err);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		if (take_row(reading, stmt) < 0)
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return rc == SQLITE_DONE ? 0 : failed(ledger, "read", rc, err);
}

static int judge(const struct ledger *ledger, const struct reading *reading, struct bg_err **err)
{
	if (reading->complete && reading->version > LEDGER_VERSION)
		return bg_err_set(err, BG_ERR_STORE_NEWER, EPROTONOSUPPORT,
			"%s was written by a newer banger: its format is %d, banger %s reads %d",
			ledger->path, reading->version, BG_VERSION, LEDGER_VERSION);
	if (reading->bad)
		return bg_err_set(err, BG_ERR_STATE, EUCLEAN,
			"database %s: %u of its rows are damaged", ledger->path, reading->bad);
	if (!reading->complete)
		return bg_err_set(err, BG_ERR_STATE, ENODATA,
			"database %s is empty or was never finished", ledger->path);
	return 0;
}

int ledger_open(const char *path, struct rows *rows, struct ledger **ret, struct bg_err **err)
{
	_unref_(ledger_open) struct ledger *ledger = NULL;
	struct reading reading = {.rows = rows};
	_err_ struct bg_err *damage = NULL;
	int r = connect_to(path, 0, &ledger, err), pages;

	if (r < 0)
		return r;
	pages = check_pages(ledger, &damage);
	r = read_rows(ledger, &reading, pages < 0 ? NULL : err);
	if (pages < 0) {
		if (err)
			*err = TAKE_PTR(damage);
		return pages;
	}
	if (r >= 0)
		r = judge(ledger, &reading, err);
	if (r >= 0)
		r = prepare_all(ledger, err);
	if (r < 0)
		return r;
	/* From here on the log is written over from its beginning; where that cannot be done now it grows. */
	(void)ledger_checkpoint(ledger, NULL);
	*ret = TAKE_PTR(ledger);
	return 0;
}

/* ---- writing ---- */

static int bind_and_step(struct ledger *ledger, sqlite3_stmt *stmt, const char *tab,
	const char *key, uint64_t rev, const char *text, struct bg_err **err)
{
	int rc = sqlite3_bind_text(stmt, 1, tab, -1, SQLITE_STATIC), r;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 2, key, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && text)
		rc = sqlite3_bind_int64(stmt, 3, (sqlite3_int64)rev);
	if (rc == SQLITE_OK && text)
		rc = sqlite3_bind_text(stmt, 4, text, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && text)
		rc = sqlite3_bind_int64(stmt, 5, row_crc(tab, key, rev, text));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	r = rc == SQLITE_DONE ? 0 : failed(ledger, "write", rc, err);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return r;
}

static int apply_one(struct ledger *ledger, const struct change *c, struct bg_err **err)
{
	return bind_and_step(ledger, c->text ? ledger->put : ledger->drop,
		store_table(c->table)->name, c->key, c->rev, c->text, err);
}

static int end(struct ledger *ledger, int r, struct bg_err **err)
{
	if (r >= 0)
		r = exec(ledger, "commit", "COMMIT", err);
	if (r < 0 && !sqlite3_get_autocommit(ledger->db))
		sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* Zeros at some place of the log. SQLite's locks are on the other file, so that closing this one drops none. */
static int spoil_log(const char *path, off_t at, size_t len)
{
	static const char zero[BG_MAX(LOG_HEADER, FRAME_HEADER)];
	_free_ char *log = NULL;
	_close_ int fd = -1;

	if (asprintf(&log, "%s-wal", path) < 0)
		return -ENOMEM;
	fd = open(log, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || pwrite(fd, zero, len, at) != (ssize_t)len)
		return -errno;
	return fdatasync(fd) < 0 ? -errno : 0;
}

/*
 * After a checkpoint the log's frames are in the database, and would still be read again at the next start: one bit that flips
 * among them would then bring old pages back. Without its header it is an empty log that keeps its blocks.
 */
static void forget_log(const char *path)
{
	(void)spoil_log(path, 0, LOG_HEADER);
}

/*
 * A commit whose sync failed is in the log all the same, and whoever waited for it was told that it failed: without the header of
 * its first frame the log ends before it.
 */
static void forget_commit(const struct ledger *ledger, int pages)
{
	if (ledger->log_known)
		(void)spoil_log(ledger->path,
			LOG_HEADER + (off_t)pages * (LEDGER_PAGE + FRAME_HEADER), FRAME_HEADER);
}

int ledger_apply(struct ledger *ledger, const struct change *changes, size_t n, struct bg_err **err)
{
	int r, pages = ledger->log_pages;

	if (n == 0)
		return 0;
	r = exec(ledger, "begin", "BEGIN IMMEDIATE", err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = apply_one(ledger, &changes[i], err);
	r = end(ledger, r, err);
	if (r < 0 && r != -ENOSPC && r != -EINVAL)
		forget_commit(ledger, pages);
	return r;
}

int ledger_log_pages(const struct ledger *ledger)
{
	return ledger->log_pages;
}

int ledger_checkpoint(struct ledger *ledger, struct bg_err **err)
{
	int rc = sqlite3_wal_checkpoint_v2(
		ledger->db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);

	if (rc != SQLITE_OK)
		return failed(ledger, "checkpoint", rc, err);
	ledger->log_pages = 0;
	ledger->log_known = true;
	return 0;
}

static int write_all(struct ledger *ledger, const struct rows *rows, struct bg_err **err)
{
	char version[16];
	int r = exec(ledger, "begin", "BEGIN IMMEDIATE", err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < rows->n && r >= 0; i++) {
		const struct stored *row = rows->row[i];

		r = bind_and_step(ledger, ledger->put, store_table(row->table)->name, row->key,
			row->rev, row->text, err);
	}
	snprintf(version, sizeof(version), "%d", LEDGER_VERSION);
	if (r >= 0)
		r = bind_and_step(ledger, ledger->put, "ledger", "complete", 0, version, err);
	return end(ledger, r, err);
}

int ledger_create(
	const char *path, const struct rows *rows, struct ledger **ret, struct bg_err **err)
{
	_unref_(ledger_open) struct ledger *ledger = NULL;
	int r = connect_to(path, SQLITE_OPEN_CREATE, &ledger, err);

	if (r >= 0)
		r = exec(ledger, "create", schema, err);
	if (r >= 0)
		r = exec(ledger, "create",
			"INSERT INTO filler VALUES (zeroblob(" LOG_BYTES "));"
			"DELETE FROM filler;",
			err);
	if (r >= 0)
		r = prepare_all(ledger, err);
	if (r >= 0)
		r = ledger_checkpoint(ledger, err);
	if (r >= 0)
		r = write_all(ledger, rows, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ledger);
	return 0;
}

void ledger_abandon(struct ledger *ledger)
{
	if (!ledger)
		return;
	sqlite3_finalize(ledger->put);
	sqlite3_finalize(ledger->drop);
	sqlite3_close(ledger->db);
	free(ledger->path);
	free(ledger);
}

void ledger_close(struct ledger *ledger)
{
	_free_ char *path = ledger ? strdup(ledger->path) : NULL;
	bool whole = path && ledger_checkpoint(ledger, NULL) >= 0;

	ledger_abandon(ledger);
	if (whole)
		forget_log(path);
}
