/* SPDX-License-Identifier: ISC */
/* daemon/store and the database of a banger that had no generations yet: it is taken over once, or kept. */
#include <sqlite3.h>

#include "common/fd.h"
#include "tests/unit/store_lib.h"

static struct fixture f;

static void make_legacy(const char *columns, const char *values, int version)
{
	_free_ char *path = in_dir("banger.db"), *sql = NULL;
	sqlite3 *db;
	char *message = NULL;

	CHECK(asprintf(&sql,
		      "PRAGMA journal_mode = WAL;"
		      "CREATE TABLE vm (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE,"
		      " state INTEGER, image TEXT, kernel TEXT, vcpus INTEGER, memory_mib INTEGER,"
		      " disk_mib INTEGER, work_mib INTEGER, nat INTEGER, slot INTEGER%s);"
		      "CREATE TABLE image (name TEXT PRIMARY KEY, managed INTEGER, ready INTEGER,"
		      " kernel TEXT, source TEXT, rootfs TEXT, size_bytes INTEGER);"
		      "CREATE TABLE kernel (name TEXT PRIMARY KEY, ready INTEGER, format TEXT,"
		      " path TEXT);"
		      "INSERT INTO vm VALUES ('aa', 'alpha', 1, 'i', 'k', 1, 64, 16, 16, 1, -1%s);"
		      "INSERT INTO image VALUES ('i', 1, 1, 'k', 'build', '/x', 5);"
		      "INSERT INTO kernel VALUES ('k', 1, 'bzimage', '/s/kernels/k/kernel');"
		      "PRAGMA user_version = %d",
		      columns, values, version) > 0);
	CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		test_fail(__FILE__, __LINE__, "%s", message);
	sqlite3_close(db);
}

static int check_elf(struct kernel_row *row, void *userdata)
{
	CHECK_STR(row->elf, userdata);
	kernel_row_free(row);
	return 0;
}

TEST(the_old_database_is_taken_over_and_an_old_banger_kept_out)
{
	_free_ char *path = in_dir("banger.db");
	sqlite3_stmt *stmt;
	sqlite3 *db;

	make_legacy("", "", 2);
	CHECK(shell("mkdir -p vms/aa && echo x >vms/aa/root.img"));
	CHECK_INT(loop_new(&f.loop), 0);
	CHECK_INT(store_open(f.loop, test_tmpdir(), NULL, &f.store, NULL), 0);
	CHECK_INT(store_vm_each(f.store, lib_on_vm, &f, NULL), 0);
	CHECK_INT(store_image_each(f.store, lib_on_image, &f, NULL), 0);
	CHECK_INT(store_kernel_each(f.store, check_elf, S("/s/kernels/k/vmlinux"), NULL), 0);
	CHECK_INT(f.vms, 1);
	CHECK_INT(f.images, 1);
	CHECK(!has_note(&f, "damaged"));
	CHECK(shell("test -f set-aside/banger.db"));
	CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
	CHECK_INT(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_step(stmt), SQLITE_ROW);
	CHECK(sqlite3_column_int(stmt, 0) > 1000); /* "written by a newer banger" */
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	/* The records of what was there before are written in an idle moment. */
	lib_wait_for(&f, "test -f vms/aa/vm.rec && test -f images/i/image.rec");
	close_store(&f);
	CHECK(shell("rm -f *.db *.db-*"));
	open_store(&f);
	CHECK_INT(f.vms, 1);
	CHECK_INT(f.images, 1);
	close_store(&f);
}

TEST(a_damaged_old_database_is_kept_and_what_reads_counts)
{
	make_legacy(", labels TEXT", ", NULL", 3);
	CHECK(shell("mkdir -p vms/aa && python3 -c \"p = 'banger.db'; b = bytearray(open(p, "
		    "'rb').read());"
		    "i = b.rindex(b'/s/kernels'); b[i - 40:i - 20] = bytes(20); open(p, "
		    "'wb').write(b)\""));
	open_store(&f);
	CHECK_INT(f.vms, 1);
	CHECK(shell("test -f set-aside/banger.db"));
	close_store(&f);
}
