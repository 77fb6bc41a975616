/* SPDX-License-Identifier: ISC */
/* daemon/store: rows come back as they went in, names are unique, old and broken files are handled.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/store/db.h"
#include "tests/lib/test.h"

static char path[128];

static struct store *open_store(void)
{
	_err_ struct bg_err *err = NULL;
	struct store *store = NULL;

	snprintf(path, sizeof(path), "%s/banger.db", test_tmpdir());
	if (store_open(path, &store, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	return store;
}

static void expect_open_error(int r, enum bg_err_code code, const char *words)
{
	_err_ struct bg_err *err = NULL;
	struct store *store = NULL;

	CHECK_INT(store_open(path, &store, &err), r);
	CHECK(!store && err);
	CHECK_STR(bg_err_code_str(err->code), bg_err_code_str(code));
	if (!strstr(err->message, words))
		test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", err->message, words);
	CHECK(err->hint);
}

static char *S(const char *s)
{
	return (char *)(uintptr_t)s;
}

static struct vm_row vm_row(const char *id, const char *name, int slot)
{
	struct vm_row row = {.name = S(name),
		.state = 3,
		.image = S("default"),
		.kernel = S("k"),
		.vcpus = 2,
		.memory_mib = 1024,
		.disk_mib = 1 << 24,
		.work_mib = 7,
		.nat = true,
		.slot = slot,
		.peers = true,
		.home_slot = 9,
		.vmm = S("qemu"),
		.accel = S("tcg"),
		.storage = S("copy"),
		.address = S("10.209.1.2"),
		.pid = 1LL << 40,
		.pid_start = 1ULL << 50,
		.created_at = 1700000000,
		.started_at = 0,
		.error_json = S("{\"a\":\"\xc3\xa9\"}"),
		.host_key_public = NULL,
		.has_sshd = true};

	snprintf(row.id, sizeof(row.id), "%s", id);
	return row;
}

static struct vm_row *found[8];
static unsigned n_found;

static int collect_vm(struct vm_row *row, void *userdata)
{
	CHECK(n_found < ARRAY_SIZE(found));
	found[n_found++] = row;
	return userdata ? -ECANCELED : 0;
}

static void forget(void)
{
	while (n_found > 0)
		vm_row_free(found[--n_found]);
}

TEST(vm_rows_come_back_whole)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row row = vm_row("0123456789abcdef0123456789abcdef", "alpha", -1);

	CHECK_INT(store_vm_insert(store, &row, NULL), 0);
	CHECK_INT(store_vm_each(store, collect_vm, NULL, NULL), 0);
	CHECK_INT(n_found, 1);
	CHECK_STR(found[0]->id, row.id);
	CHECK_STR(found[0]->name, "alpha");
	CHECK_INT(found[0]->state, 3);
	CHECK_INT(found[0]->disk_mib, 1 << 24);
	CHECK_INT(found[0]->slot, -1);
	CHECK_INT(found[0]->pid, 1LL << 40);
	CHECK_INT(found[0]->pid_start, 1LL << 50);
	CHECK_STR(found[0]->error_json, row.error_json);
	CHECK(!found[0]->host_key_public && !found[0]->vmm_reason);
	CHECK(found[0]->nat && found[0]->has_sshd && found[0]->peers);
	CHECK_INT(found[0]->home_slot, 9);
	forget();
}

TEST(save_writes_every_column_and_survives_reopening)
{
	struct store *store = open_store();
	struct vm_row row = vm_row("aa", "alpha", 4), *got;

	CHECK_INT(store_vm_insert(store, &row, NULL), 0);
	row.name = S("beta");
	row.slot = -1;
	row.nat = false;
	row.address = NULL;
	row.host_key_public = S("ssh-ed25519 AAAA");
	CHECK_INT(store_vm_save(store, &row, NULL), 0);
	store_close(store);
	store = open_store();
	CHECK_INT(store_vm_each(store, collect_vm, NULL, NULL), 0);
	CHECK_INT(n_found, 1);
	got = found[0];
	CHECK_STR(got->name, "beta");
	CHECK_INT(got->slot, -1);
	CHECK(!got->nat && !got->address);
	CHECK_STR(got->host_key_public, "ssh-ed25519 AAAA");
	forget();
	store_close(store);
}

TEST(names_are_unique)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row a = vm_row("aa", "alpha", -1), b = vm_row("bb", "alpha", -1);
	struct image_row image = {.name = S("default"), .source = S("build")};
	struct kernel_row kernel = {.name = S("k"), .format = S("elf"), .path = S("/k")};
	_err_ struct bg_err *err = NULL, *err2 = NULL, *err3 = NULL, *err4 = NULL;

	CHECK_INT(store_vm_insert(store, &a, NULL), 0);
	CHECK_INT(store_vm_insert(store, &b, &err), -EEXIST);
	CHECK_STR(bg_err_code_str(err->code), "vm.name_taken");
	CHECK_STR(err->message, "there is already a VM named \"alpha\"");
	b.name = S("beta");
	CHECK_INT(store_vm_insert(store, &b, NULL), 0);
	b.name = S("alpha");
	CHECK_INT(store_vm_save(store, &b, &err2), -EEXIST);
	CHECK_STR(bg_err_code_str(err2->code), "vm.name_taken");
	CHECK_INT(store_image_insert(store, &image, NULL), 0);
	CHECK_INT(store_image_insert(store, &image, &err3), -EEXIST);
	CHECK_STR(bg_err_code_str(err3->code), "image.name_taken");
	CHECK_INT(store_kernel_insert(store, &kernel, NULL), 0);
	CHECK_INT(store_kernel_insert(store, &kernel, &err4), -EEXIST);
	CHECK_STR(bg_err_code_str(err4->code), "kernel.name_taken");
}

TEST(ids_and_slots_are_unique_too)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row a = vm_row("aa", "alpha", 1), b = vm_row("aa", "beta", 2);
	_err_ struct bg_err *err = NULL, *err2 = NULL;

	CHECK_INT(store_vm_insert(store, &a, NULL), 0);
	CHECK_INT(store_vm_insert(store, &b, &err), -EEXIST);
	CHECK_INT(err->code, BG_ERR_STATE);
	b = vm_row("bb", "beta", 1);
	CHECK_INT(store_vm_insert(store, &b, &err2), -EEXIST);
	CHECK_INT(err2->code, BG_ERR_STATE);
	CHECK(strstr(err2->message, "vm.slot") && strstr(err2->message, "vm.insert"));
}

TEST(row_without_its_name_is_refused)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row a = vm_row("aa", NULL, -1);
	_err_ struct bg_err *err = NULL;

	CHECK_INT(store_vm_insert(store, &a, &err), -EINVAL);
	CHECK_INT(err->code, BG_ERR_STATE);
}

TEST(save_of_nothing_is_an_error_and_delete_is_not)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row row = vm_row("aa", "alpha", -1);
	_err_ struct bg_err *err = NULL;

	CHECK_INT(store_vm_save(store, &row, &err), -ENOENT);
	CHECK_INT(err->code, BG_ERR_VM_NOT_FOUND);
	CHECK_INT(store_vm_insert(store, &row, NULL), 0);
	CHECK_INT(store_vm_delete(store, "aa", NULL), 0);
	CHECK_INT(store_vm_delete(store, "aa", NULL), 0);
	CHECK_INT(store_vm_each(store, collect_vm, NULL, NULL), 0);
	CHECK_INT(n_found, 0);
}

TEST(each_is_ordered_and_stops_when_told)
{
	_unref_(store) struct store *store = open_store();
	static const char *const names[] = {"mike", "alpha", "zulu"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct vm_row row = vm_row(names[i], names[i], -1);

		CHECK_INT(store_vm_insert(store, &row, NULL), 0);
	}
	CHECK_INT(store_vm_each(store, collect_vm, NULL, NULL), 0);
	CHECK_INT(n_found, 3);
	CHECK_STR(found[0]->name, "alpha");
	CHECK_STR(found[2]->name, "zulu");
	forget();
	CHECK_INT(store_vm_each(store, collect_vm, store, NULL), -ECANCELED);
	CHECK_INT(n_found, 1);
	forget();
}

static int delete_it(struct vm_row *row, void *userdata)
{
	CHECK_INT(store_vm_delete(userdata, row->id, NULL), 0);
	n_found++;
	vm_row_free(row);
	return 0;
}

TEST(each_may_change_its_table)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row a = vm_row("aa", "alpha", 1), b = vm_row("bb", "beta", 2);

	CHECK_INT(store_vm_insert(store, &a, NULL), 0);
	CHECK_INT(store_vm_insert(store, &b, NULL), 0);
	CHECK_INT(store_vm_each(store, delete_it, store, NULL), 0);
	CHECK_INT(n_found, 2);
	CHECK_INT(store_vm_each(store, delete_it, store, NULL), 0);
	CHECK_INT(n_found, 2);
}

static int check_image(struct image_row *row, void *userdata)
{
	CHECK_STR(row->os, "Debian GNU/Linux 12 (bookworm)");
	CHECK(row->managed && !row->ready && row->has_sshd && !row->kernel);
	CHECK_INT(row->size_bytes, 5LL << 32);
	image_row_free(row);
	(*(int *)userdata)++;
	return 0;
}

static int check_kernel(struct kernel_row *row, void *userdata)
{
	CHECK_STR(row->release, "6.1.0-1");
	CHECK_INT(row->n_modules, 12);
	CHECK(row->ready);
	kernel_row_free(row);
	(*(int *)userdata)++;
	return 0;
}

TEST(images_and_kernels)
{
	_unref_(store) struct store *store = open_store();
	struct image_row image = {.name = S("d"),
		.managed = true,
		.source = S("build"),
		.os = S("Debian GNU/Linux 12 (bookworm)"),
		.has_sshd = true,
		.size_bytes = 5ULL << 32};
	struct kernel_row kernel = {.name = S("k"),
		.ready = true,
		.format = S("bzimage"),
		.release = S("6.1.0-1"),
		.path = S("/k"),
		.n_modules = 12};
	int n = 0;

	CHECK_INT(store_image_insert(store, &image, NULL), 0);
	CHECK_INT(store_kernel_insert(store, &kernel, NULL), 0);
	CHECK_INT(store_image_save(store, &image, NULL), 0);
	CHECK_INT(store_kernel_save(store, &kernel, NULL), 0);
	CHECK_INT(store_image_each(store, check_image, &n, NULL), 0);
	CHECK_INT(store_kernel_each(store, check_kernel, &n, NULL), 0);
	CHECK_INT(n, 2);
	CHECK_INT(store_image_delete(store, "d", NULL), 0);
	CHECK_INT(store_kernel_delete(store, "k", NULL), 0);
	CHECK_INT(store_image_each(store, check_image, &n, NULL), 0);
	CHECK_INT(store_kernel_each(store, check_kernel, &n, NULL), 0);
	CHECK_INT(n, 2);
}

static int64_t unfinished[4];
static unsigned n_unfinished;

static int collect_op(int64_t id, const char *kind, const char *target, void *userdata)
{
	CHECK_STR(kind, "vm.create");
	CHECK_STR(target, "alpha");
	CHECK(n_unfinished < ARRAY_SIZE(unfinished));
	unfinished[n_unfinished++] = id;
	return userdata ? store_op_end(userdata, id, "failed", NULL, NULL) : 0;
}

TEST(unfinished_operations_are_found_again)
{
	struct store *store = open_store();
	_err_ struct bg_err *err = NULL;
	int64_t a, b;

	CHECK_INT(store_op_begin(store, "vm.create", "alpha", &a, NULL), 0);
	CHECK_INT(store_op_begin(store, "vm.create", "alpha", &b, NULL), 0);
	CHECK(b > a);
	CHECK_INT(store_op_end(store, a, "done", NULL, NULL), 0);
	CHECK_INT(store_op_end(store, 999, "done", NULL, &err), -ENOENT);
	store_close(store);
	store = open_store();
	CHECK_INT(store_op_each_unfinished(store, collect_op, store, NULL), 0);
	CHECK_INT(n_unfinished, 1);
	CHECK_INT(unfinished[0], b);
	CHECK_INT(store_op_each_unfinished(store, collect_op, NULL, NULL), 0);
	CHECK_INT(n_unfinished, 1);
	store_close(store);
}

static int64_t count(struct store *store, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t n;

	CHECK_INT(sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

TEST(old_operations_go_and_ids_are_not_given_again)
{
	_unref_(store) struct store *store = open_store();
	int64_t running, id = 0, first = 0;

	CHECK_INT(store_op_begin(store, "vm.create", "alpha", &running, NULL), 0);
	for (int i = 0; i < 230; i++) {
		CHECK_INT(store_op_begin(store, "vm.stop", "b", &id, NULL), 0);
		CHECK_INT(store_op_end(store, id, "done", NULL, NULL), 0);
		first = first ? first : id;
	}
	CHECK_INT(count(store, "SELECT count(*) FROM op WHERE ended_at IS NOT NULL"), 200);
	CHECK_INT(count(store, "SELECT count(*) FROM op WHERE ended_at IS NULL"), 1);
	CHECK_INT(id, first + 229);
}

static void check_schema(struct store *store, const struct table *t)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM pragma_table_info('%s')", t->name);
	CHECK_INT(count(store, sql), t->n_columns);
}

TEST(column_lists_match_the_schema)
{
	_unref_(store) struct store *store = open_store();

	for (unsigned i = 0; i < TABLE_MAX_; i++)
		check_schema(store, store_table((enum table_id)i));
	CHECK_INT(count(store, "PRAGMA user_version"), store_n_migrations);
}

static sqlite3 *open_raw(void)
{
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/banger.db", test_tmpdir());
	CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

TEST(older_database_is_migrated_with_its_rows)
{
	sqlite3 *db = open_raw();
	struct store *store;
	int64_t id;

	CHECK_INT(store_migrate(db, store_migrations, 1, NULL), 0);
	CHECK_INT(
		sqlite3_exec(db,
			"INSERT INTO vm VALUES('aa','alpha',1,'i','k',1,2,3,4,1,-1,NULL,NULL,NULL,"
			"NULL,NULL,0,0,5,0,NULL,NULL,1)",
			NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	store = open_store();
	CHECK_INT(count(store, "PRAGMA user_version"), store_n_migrations);
	CHECK_INT(store_vm_each(store, collect_vm, NULL, NULL), 0);
	CHECK_INT(n_found, 1);
	CHECK_STR(found[0]->name, "alpha");
	CHECK_INT(store_op_begin(store, "vm.create", "alpha", &id, NULL), 0);
	forget();
	store_close(store);
}

TEST(failed_migration_leaves_the_old_version)
{
	static const char *const bad[] = {
		"CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"};
	sqlite3 *db = open_raw();
	_err_ struct bg_err *err = NULL;

	CHECK(store_migrate(db, bad, 2, &err) < 0);
	CHECK(strstr(err->message, "migration 2") && strstr(err->message, "already exists"));
	CHECK_INT(sqlite3_exec(db, "CREATE TABLE b (x)", NULL, NULL, NULL), SQLITE_OK);
	CHECK_INT(store_migrate(db, bad, 1, NULL), 0);
	sqlite3_close(db);
}

TEST(newer_database_is_refused)
{
	sqlite3 *db = open_raw();

	CHECK_INT(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	expect_open_error(-EPROTONOSUPPORT, BG_ERR_STATE, "newer banger (format 999");
}

TEST(file_that_is_no_database)
{
	FILE *f;

	snprintf(path, sizeof(path), "%s/banger.db", test_tmpdir());
	f = fopen(path, "w");
	CHECK(f);
	for (int i = 0; i < 1000; i++)
		fputs("this is no database ", f);
	fclose(f);
	expect_open_error(-EUCLEAN, BG_ERR_STATE, "not a database");
}

TEST(damage_inside_is_found_at_open)
{
	struct store *store = open_store();
	char junk[3000];
	int fd;

	store_close(store);
	memset(junk, 0x5a, sizeof(junk));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_INT(pwrite(fd, junk, sizeof(junk), 4096), sizeof(junk));
	close(fd);
	expect_open_error(-EUCLEAN, BG_ERR_STATE, "banger.db");
}

TEST(locked_database_is_an_error_not_a_hang)
{
	_unref_(store) struct store *store = open_store();
	struct vm_row row = vm_row("aa", "alpha", -1);
	_err_ struct bg_err *err = NULL;
	sqlite3 *other = open_raw();

	CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_busy_timeout(store->db, 20);
	CHECK_INT(store_vm_insert(store, &row, &err), -EBUSY);
	CHECK(strstr(err->message, "vm.insert") && strstr(err->hint, "fuser"));
	CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	CHECK_INT(store_vm_insert(store, &row, NULL), 0);
	sqlite3_close(other);
}

/* In a child without rights: the tests may run as root, who may write everywhere. */
TEST(database_that_may_not_be_written)
{
	struct store *store = open_store();

	store_close(store);
	if (geteuid() == 0) {
		CHECK_INT(chown(test_tmpdir(), 65534, 65534), 0);
		CHECK_INT(chown(path, 65534, 65534), 0);
		CHECK_INT(setresgid(65534, 65534, 65534), 0);
		CHECK_INT(setresuid(65534, 65534, 65534), 0);
	}
	CHECK_INT(chmod(path, 0400), 0);
	expect_open_error(-EROFS, BG_ERR_STATE, "readonly");
	CHECK_INT(chmod(path, 0), 0);
	expect_open_error(-EACCES, BG_ERR_STATE, "open the database");
}

TEST(killed_in_the_middle_keeps_what_was_said_done)
{
	struct store *store;
	int ready[2];
	char c;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/banger.db", test_tmpdir());
	CHECK_INT(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct vm_row row = vm_row("aa", "alpha", -1);

		store = open_store();
		if (store_vm_insert(store, &row, NULL) == 0)
			(void)!write(ready[1], "x", 1);
		for (;;)
			store_vm_save(store, &row, NULL);
	}
	CHECK_INT(read(ready[0], &c, 1), 1);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	store = open_store();
	CHECK_INT(store_vm_each(store, collect_vm, NULL, NULL), 0);
	CHECK_INT(n_found, 1);
	forget();
	store_close(store);
}
