/* SPDX-License-Identifier: ISC */
/*
 * daemon/store from the engine's side, over the real process: rows come back, what was acknowledged is there whoever is killed,
 * and nothing ends by not being found.
 */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fd.h"
#include "common/landlock.h"
#include "common/seal.h"
#include "daemon/store/seal.h"
#include "tests/unit/store_lib.h"

static struct fixture f;

static pid_t store_pid(void)
{
	_json_ json_t *status = store_status(f.store);

	return (pid_t)json_integer_value(json_object_get(status, "pid"));
}

static const char *mode(void)
{
	static char text[16];
	_json_ json_t *status = store_status(f.store);

	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(status, "mode")));
	return text;
}

static int check_full_row(struct vm_row *row, void *userdata)
{
	const struct vm_row *want = userdata;
	_free_ char *a = table_text(TABLE_VM, row, false), *b = table_text(TABLE_VM, want, false);

	CHECK_STR(a, b);
	vm_row_free(row);
	return 0;
}

TEST(a_row_comes_back_as_it_went_in)
{
	struct vm_row row = lib_vm("aa", "alpha");

	row.state = 3;
	row.vmm = S("qemu");
	row.pid = 1LL << 40;
	row.pid_start = UINT64_MAX - 5;
	row.address = S("10.209.1.2");
	row.error_json = S("{\"code\":\"x\"}");
	row.publish = S("[{\"host\":8080,\"guest\":80}]");
	row.boot_serial = 1ULL << 50;
	row.peers = true;
	row.home_slot = 9;
	row.image = S("caf\xe9"); /* not UTF-8, as a path may be */
	open_store(&f);
	store_vm_put(f.store, &row);
	CHECK_INT(commit(&f), 0);
	close_store(&f);
	CHECK_INT(store_open(f.loop, test_tmpdir(), NULL, &f.store, NULL), 0);
	CHECK_INT(store_vm_each(f.store, check_full_row, &row, NULL), 0);
	close_store(&f);
}

TEST(the_last_put_counts_and_a_drop_is_one)
{
	struct vm_row a = lib_vm("aa", "alpha"), b = lib_vm("bb", "beta");

	open_store(&f);
	store_vm_put(f.store, &a);
	store_vm_put(f.store, &b);
	store_vm_drop(f.store, "aa");
	CHECK_INT(commit(&f), 0);
	b.name = S("gamma");
	store_vm_put(f.store, &b); /* nobody waits: closing is enough */
	reopen(&f);
	CHECK_INT(f.vms, 1);
	CHECK_STR(f.names[0], "gamma");
	close_store(&f);
}

TEST(acknowledged_is_there_after_the_process_was_killed)
{
	struct vm_row row = lib_vm("aa", "alpha");
	char id[3] = "aa";

	open_store(&f);
	for (int i = 0; i < 20; i++) {
		id[1] = (char)('a' + i);
		memcpy(row.id, id, 3);
		store_vm_put(f.store, &row);
		CHECK_INT(commit(&f), 0);
		if (i % 5 == 4)
			kill(store_pid(), SIGKILL); /* another one takes over */
	}
	CHECK_INT(commit(&f), 0);
	kill(store_pid(), SIGKILL);
	reopen(&f);
	CHECK_INT(f.vms, 20);
	close_store(&f);
}

/* Killed between a post and its answer: the next process is told again. */
TEST(posted_is_written_though_the_process_dies_first)
{
	struct vm_row row = lib_vm("aa", "alpha");

	open_store(&f);
	kill(store_pid(), SIGSTOP);
	store_vm_put(f.store, &row);
	CHECK_INT(commit_within(&f, 100000), -1);
	kill(store_pid(), SIGKILL);
	CHECK_INT(commit(&f), 0);
	reopen(&f);
	CHECK_INT(f.vms, 1);
	close_store(&f);
}

/* A hung file system: the loop goes on, the status says it, and what waits ends when it answers. */
TEST(one_that_does_not_answer_is_told_of)
{
	struct vm_row row = lib_vm("aa", "alpha");

	open_store(&f);
	CHECK_STR(mode(), "ok");
	kill(store_pid(), SIGSTOP);
	store_vm_put(f.store, &row);
	CHECK_INT(commit_within(&f, 5200000), -1);
	CHECK_STR(mode(), "silent");
	kill(store_pid(), SIGCONT);
	CHECK_INT(commit(&f), 0);
	CHECK_STR(mode(), "ok");
	close_store(&f);
}

TEST(a_row_that_is_too_large_fails_alone)
{
	struct vm_row big = lib_vm("aa", "alpha"), row = lib_vm("bb", "beta");
	_free_ char *labels = calloc(1, 300000);

	memset(labels, 'x', 299999);
	big.labels = labels;
	open_store(&f);
	store_vm_put(f.store, &big);
	CHECK_INT(commit(&f), EMSGSIZE);
	store_vm_put(f.store, &row);
	CHECK_INT(commit(&f), 0);
	reopen(&f);
	CHECK_INT(f.vms, 1);
	close_store(&f);
}

TEST(many_rows_in_one_turn)
{
	char id[8], name[16];

	open_store(&f);
	for (int i = 0; i < 500; i++) {
		struct vm_row row = lib_vm("aa", name);

		snprintf(id, sizeof(id), "i%05d", i);
		snprintf(name, sizeof(name), "vm-%d", i);
		memcpy(row.id, id, 7);
		store_vm_put(f.store, &row);
	}
	CHECK_INT(commit(&f), 0);
	reopen(&f);
	CHECK_INT(f.vms, 500);
	close_store(&f);
}

static int64_t seen[8];
static unsigned n_seen;

static void on_op(int64_t id, const char *kind, const char *target, void *userdata)
{
	CHECK_STR(kind, "vm.create");
	CHECK_STR(target, "alpha");
	seen[n_seen++ % 8] = id;
}

TEST(unfinished_operations_are_found_once_and_numbers_are_not_given_again)
{
	int64_t a, b, c;

	open_store(&f);
	a = store_op_begin(f.store, "vm.create", "alpha");
	b = store_op_begin(f.store, "vm.create", "alpha");
	CHECK(a > 0 && b > a);
	store_op_end(f.store, a);
	CHECK_INT(commit(&f), 0);
	kill(store_pid(), SIGKILL);
	reopen(&f);
	store_op_each_unfinished(f.store, on_op, NULL);
	CHECK_INT(n_seen, 1);
	CHECK_INT(seen[0], b);
	c = store_op_begin(f.store, "vm.create", "alpha");
	CHECK(c > b);
	store_op_end(f.store, c);
	reopen(&f);
	n_seen = 0;
	store_op_each_unfinished(f.store, on_op, NULL);
	CHECK_INT(n_seen, 0);
	close_store(&f);
}

/* ---- nothing ends by not being found ---- */

static void make_some(void)
{
	open_store(&f);
	add_vm(&f, "aa", "alpha");
	add_vm(&f, "bb", "beta");
	add_image(&f, "default");
	CHECK(shell("echo some >blobs/some"));
	close_store(&f);
}

/* BANGER_STORE_FULL: all of it. Else a share, another one each day. */
static bool is_todays(unsigned i, unsigned shares)
{
	return getenv("BANGER_STORE_FULL") || i % shares == (unsigned)(time(NULL) / 86400) % shares;
}

static void expect_all(const char *how)
{
	open_store(&f);
	if (f.vms != 2 || f.images != 1)
		test_fail(__FILE__, __LINE__, "%s: %u VMs, %u images", how, f.vms, f.images);
	CHECK(shell("test -f vms/aa/root.img && test -f vms/bb/root.img && test -f blobs/some && "
		    "test -f images/default/image.rec"));
}

TEST(a_database_that_is_lost_is_made_anew_from_the_records)
{
	static const char *const ways[] = {"rm -f *.db *.db-*", "for i in *.db; do : >$i; done",
		"for i in *.db; do : >$i; done; rm -f *.db-*", "truncate -s 1 *.db; rm -f *.db-*",
		"truncate -s 4096 *.db; rm -f *.db-*", "truncate -s 8192 *.db",
		"for i in *.db; do head -c 20000 /dev/urandom >$i; done"};

	make_some();
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		CHECK(shell(ways[i]));
		expect_all(ways[i]);
		CHECK(has_note(&f, "2 VMs, 1 images"));
		CHECK(has_note(&f, i == 0 ? "missing" : "set-aside/banger."));
		reopen(&f);
		CHECK_INT(f.vms, 2);
		CHECK(!has_note(&f, "anew")); /* told once */
		close_store(&f);
	}
}

TEST(a_mark_with_a_wrong_checksum_is_damage)
{
	make_some();
	CHECK(shell("python3 -c \"import sqlite3, glob; d = "
		    "sqlite3.connect(glob.glob('banger.*.db')[0]);"
		    "d.execute(\\\"update row set text = '99' where tab = 'ledger'\\\"); "
		    "d.commit()\""));
	expect_all("another mark"); /* whose checksum is not right: damaged */
	close_store(&f);
}

static void flip(const char *path, unsigned long bit)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	uint8_t byte;
	off_t at;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	at = (off_t)((bit / 8) % (unsigned long)st.st_size);
	CHECK_INT(pread(fd, &byte, 1, at), 1);
	byte ^= (uint8_t)(1U << (bit % 8));
	CHECK_INT(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static char *newest(const char *end)
{
	_json_ json_t *status = store_status(f.store);
	char *path;

	CHECK(asprintf(&path, "%s%s", json_string_value(json_object_get(status, "file")), end) > 0);
	return path;
}

enum { FLIPS = 400, STEP = 512 };

/* The files as a kill leaves them, with all commits in the log, or as a close does. */
static void each_flip(bool killed, const char *end, unsigned shares)
{
	unsigned long seed = 12345;

	make_some();
	for (unsigned i = 0; i < FLIPS; i++) {
		_free_ char *path = NULL;

		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		if (!is_todays(i, shares))
			continue;
		open_store(&f);
		path = newest(end);
		if (killed)
			kill(store_pid(), SIGKILL);
		close_store(&f);
		flip(path, seed >> 20);
		expect_all(path);
		close_store(&f);
		CHECK(shell("rm -rf set-aside"));
	}
}

TEST(flips_in_the_database)
{
	each_flip(false, "", 4);
}

TEST(flips_in_the_log)
{
	each_flip(true, "-wal", 8);
}

static void each_length(const char *end, unsigned shares)
{
	_free_ char *path = NULL;
	struct stat st;

	make_some();
	open_store(&f);
	path = newest(end);
	close_store(&f);
	CHECK_INT(stat(path, &st), 0);
	for (off_t len = 0; len < st.st_size; len += STEP) {
		_free_ char *now = NULL;

		if (!is_todays((unsigned)(len / STEP), shares))
			continue;
		open_store(&f);
		now = newest(end);
		close_store(&f);
		CHECK_INT(truncate(now, len), 0);
		expect_all(now);
		close_store(&f);
		CHECK(shell("rm -rf set-aside"));
	}
}

TEST(truncations_of_the_database)
{
	each_length("", 33);
}

TEST(truncations_of_the_log)
{
	each_length("-wal", 129);
}

TEST(a_folder_without_row_and_record_is_listed)
{
	_json_ json_t *status = NULL;
	const json_t *orphans;

	make_some();
	CHECK(shell(
		"mkdir -p vms/cc images/old && echo x >vms/cc/root.img && echo x >images/old/f"));
	expect_all("orphans");
	status = store_status(f.store);
	orphans = json_object_get(status, "orphans");
	CHECK_INT(json_array_size(orphans), 2);
	/* An image's name may be given again: its folder is moved. */
	CHECK(shell("test -f vms/cc/root.img && test -f set-aside/images-old/f && ! test -e "
		    "images/old"));
	close_store(&f);
}

TEST(a_record_without_a_row_is_taken_in)
{
	make_some();
	CHECK(shell("cp -r vms/aa vms/keep && rm -f *.db *.db-*"));
	CHECK(shell("rm -r vms/keep")); /* its record says another id */
	expect_all("all lost");
	store_vm_drop(f.store, "aa");
	CHECK_INT(commit(&f), 0);
	reopen(&f); /* the folder is there still: nobody deleted it */
	CHECK_INT(f.vms, 2);
	close_store(&f);
}

TEST(a_record_of_another_is_not_believed)
{
	make_some();
	CHECK(shell("mkdir vms/cc && cp vms/aa/vm.rec vms/cc/"));
	expect_all("a copied record");
	close_store(&f);
}

TEST(two_vms_of_one_name)
{
	make_some();
	CHECK(shell("mkdir vms/cc && sed 's/\"id\":\"aa\"/\"id\":\"cc\"/; /crc32/d' vms/aa/vm.rec "
		    ">vms/cc/vm.rec"));
	CHECK(shell("python3 -c \"import zlib; p = 'vms/cc/vm.rec'; b = open(p, 'rb').read();"
		    "open(p, 'ab').write(b'crc32 %08x\\n' % zlib.crc32(b))\""));
	open_store(&f);
	CHECK_INT(f.vms, 3);
	CHECK_STR(f.names[2], "alpha-2");
	CHECK(has_note(&f, "alpha-2"));
	close_store(&f);
}

TEST(a_damaged_record_is_written_anew)
{
	make_some();
	CHECK(shell("echo garbage >vms/aa/vm.rec && rm vms/bb/vm.rec"));
	expect_all("records");
	/* In an idle moment; until then it lags. */
	lib_wait_for(&f, "grep -q alpha vms/aa/vm.rec && grep -q beta vms/bb/vm.rec");
	close_store(&f);
	CHECK(shell("rm -f *.db *.db-*"));
	expect_all("after it");
	close_store(&f);
}

TEST(the_later_state_of_row_and_record_counts)
{
	struct vm_row row = lib_vm("aa", "alpha");

	make_some();
	CHECK(shell("mkdir old && cp banger.*.db* old/"));
	open_store(&f);
	row.name = S("renamed");
	store_vm_put(f.store, &row);
	CHECK_INT(commit(&f), 0);
	close_store(&f);
	CHECK(shell("cp old/* .")); /* the database of yesterday */
	open_store(&f);
	CHECK_INT(f.vms, 2);
	CHECK_STR(f.names[0], "renamed");
	CHECK(has_note(&f, "older state"));
	close_store(&f);
}

TEST(a_marked_folder_goes_on_being_removed)
{
	make_some();
	CHECK(shell("chmod 1700 vms/aa && mkdir vms/dd && chmod 1700 vms/dd"));
	CHECK_INT(store_open(f.loop, test_tmpdir(), NULL, &f.store, NULL), 0);
	/* One with a row is deleting again, one without lies in the trash. */
	CHECK(shell("test -d vms/aa && ! test -e vms/dd && test -d trash/vm-dd"));
	close_store(&f);
}

/* ---- others ---- */

static pid_t hold(const char *sql)
{
	_free_ char *script = NULL;
	int ready[2];
	char c;
	pid_t pid;

	CHECK(asprintf(&script,
		      "import sqlite3, glob, sys, time\n"
		      "d = sqlite3.connect(glob.glob('%s/banger.*.db')[0], isolation_level=None)\n"
		      "d.execute('%s'); d.execute('select count(*) from row').fetchall()\n"
		      "sys.stdout.write('x'); sys.stdout.flush(); time.sleep(100)",
		      test_tmpdir(), sql) > 0);
	CHECK_INT(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ready[1], STDOUT_FILENO);
		execlp("python3", "python3", "-c", script, NULL);
		_exit(1);
	}
	CHECK_INT(read(ready[0], &c, 1), 1);
	return pid;
}

TEST(another_programs_lock_does_not_stop_the_start)
{
	pid_t pid;

	make_some();
	pid = hold("BEGIN IMMEDIATE");
	expect_all("locked");
	CHECK(has_note(&f, "another program"));
	add_vm(&f, "cc", "gamma");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	reopen(&f);
	CHECK_INT(f.vms, 3);
	close_store(&f);
}

TEST(nobody_gets_in_while_it_is_open)
{
	struct vm_row row = lib_vm("cc", "gamma");

	make_some();
	open_store(&f);
	CHECK(shell(
		"python3 -c \"import sqlite3, glob; sqlite3.connect(glob.glob('banger.*.db')[0], "
		"timeout=0).execute('select * from row').fetchall()\" 2>&1 | grep -q locked"));
	store_vm_put(f.store, &row);
	CHECK_INT(commit(&f), 0);
	CHECK(shell("! ls *-shm 2>/dev/null"));
	close_store(&f);
}

/* ---- the process ---- */

TEST(it_ends_with_the_engine_and_the_next_one_waits_for_it)
{
	int ready[2];
	pid_t engine;
	char c;

	CHECK_INT(pipe(ready), 0);
	engine = fork();
	if (engine == 0) {
		struct vm_row row = lib_vm("aa", "alpha");

		open_store(&f);
		store_vm_put(f.store, &row);
		(void)commit(&f);
		(void)!write(ready[1], "x", 1);
		for (;;) {
			store_vm_put(f.store, &row);
			(void)commit(&f);
		}
	}
	CHECK_INT(read(ready[0], &c, 1), 1);
	kill(engine, SIGKILL);
	CHECK_INT(waitpid(engine, NULL, 0), engine);
	open_store(&f);
	CHECK_INT(f.vms, 1);
	close_store(&f);
}

/* In a child: what is refused there stays refused. Exit status 0, or the number of the door that is open. */
static int try_doors(void)
{
	char *argv[] = {S("/bin/true"), NULL};
	_free_ char *inside = in_dir("inside");
	int fd;

	store_seal(test_tmpdir());
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		return 1;
	if (execv("/bin/true", argv) == 0 || errno != EPERM || fork() >= 0)
		return 2;
	if (kill(getppid(), 0) == 0 || getppid() > 0)
		return 3;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED)
		return 4;
	if (bg_landlock_abi() >= 2 && open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
		return 5;
	fd = open(inside, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && unlink(inside) == 0 ? 0 : 6;
}

TEST(the_process_is_sealed)
{
	int status;
	pid_t pid;

	if (BG_SANITIZED)
		test_skip("sanitizers need what is refused");
	pid = fork();
	if (pid == 0)
		_exit(try_doors());
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	open_store(&f);
	{
		_free_ char *command = NULL;

		CHECK(asprintf(&command, "grep -q '^Seccomp:.2' /proc/%d/status",
			      (int)store_pid()) > 0);
		CHECK(shell(command));
	}
	close_store(&f);
}

TEST(a_folder_that_may_not_be_written_is_an_error_with_words)
{
	_err_ struct bg_err *err = NULL;

	if (getuid() == 0)
		test_skip("root may write anywhere");
	CHECK(shell("chmod 500 ."));
	CHECK(try_open(&f, &err) < 0);
	CHECK(err && err->message);
	CHECK(shell("chmod 700 ."));
}
