/* SPDX-License-Identifier: ISC */
/*
 * daemon/driver/storage*.c on real file systems: plain directories, a small tmpfs, btrfs on a loop
 * device (the last two as root only). Copies are made by banger-worker when it is built, else by
 * fake_worker.c.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "common/disk_layout.h"
#include "common/fd.h"
#include "daemon/driver/storage_impl.h"
#include "tests/driver/spin.h"

struct outcome {
	struct storage_call *call;
	unsigned completed;
	bool ok;
	enum bg_err_code code;
	char message[600];
};

static struct loop *loop;
static struct jobs *jobs;
static int worker_log = -1;
static char source[200], target[200];

static void setup(const char *dir)
{
	char path[512];

	/* banger-worker's sandbox keeps the leak checker of sanitizer builds from working. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	worker_log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	CHECK_INT(loop_new(&loop), 0);
	snprintf(path, sizeof(path), "%s/worker/banger-worker", test_build_dir());
	if (access(path, X_OK) < 0)
		snprintf(path, sizeof(path), "%s/tests/driver/fake-worker", test_build_dir());
	CHECK_INT(jobs_new(loop, path, worker_log, &jobs, NULL), 0);
	snprintf(source, sizeof(source), "%s/source.img", dir);
	snprintf(target, sizeof(target), "%s/target.img", dir);
}

static void teardown(void)
{
	jobs_free(jobs);
	bg_close(worker_log);
	loop_free(loop);
}

/* 64 MiB long, a piece of data at both ends. */
static void make_source(void)
{
	_close_ int fd = open(source, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);

	CHECK(fd >= 0);
	CHECK_INT(ftruncate(fd, (off_t)(64 * MIB)), 0);
	CHECK_INT(pwrite(fd, "head", 4, 0), 4);
	CHECK_INT(pwrite(fd, "tail", 4, (off_t)(64 * MIB) - 4), 4);
}

static void on_done(struct bg_err *err, void *userdata)
{
	struct outcome *o = userdata;

	o->completed++;
	o->ok = !err;
	o->code = err ? err->code : BG_ERR_MAX_;
	snprintf(o->message, sizeof(o->message), "%s", err ? err->message : "");
}

static int begin(
	struct outcome *o, const struct storage_driver *driver, uint64_t size, struct bg_err **err)
{
	return driver->clone(loop, jobs, source, target, size, NULL, on_done, o, &o->call, err);
}

static bool exists(const char *path, const char *suffix)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", path, suffix);
	return access(full, F_OK) == 0;
}

static void check_clone(uint64_t size, bool with_data)
{
	_close_ int fd = open(target, O_RDONLY | O_CLOEXEC);
	char buf[4] = "";
	struct stat st;

	CHECK(fd >= 0);
	CHECK_INT(fstat(fd, &st), 0);
	CHECK_INT(st.st_size, size);
	CHECK_INT(st.st_mode & 07777, 0600);
	CHECK(st.st_blocks * 512 < (off_t)MIB); /* holes stay holes */
	CHECK(!exists(target, ".new"));
	if (!with_data)
		return;
	CHECK_INT(pread(fd, buf, 4, 0), 4);
	CHECK_INT(memcmp(buf, "head", 4), 0);
	CHECK_INT(pread(fd, buf, 4, (off_t)(64 * MIB) - 4), 4);
	CHECK_INT(memcmp(buf, "tail", 4), 0);
}

static void clone_and_check(const struct storage_driver *driver, uint64_t size, bool with_data)
{
	struct outcome o = {0};
	_err_ struct bg_err *err = NULL;

	if (begin(&o, driver, size, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	CHECK_INT(o.completed, 0);
	SPIN(loop, o.completed == 1);
	if (!o.ok)
		test_fail(__FILE__, __LINE__, "%s", o.message);
	storage_call_free(o.call);
	check_clone(BG_MAX(size, 64 * MIB), with_data);
}

TEST(copy_keeps_holes_and_grows)
{
	setup(test_tmpdir());
	make_source();
	clone_and_check(&storage_copy, 200 * MIB, true);
	teardown();
}

/* Zeros of a small source are holes in its copy, whose last page may be half a one. */
TEST(small_copy_drops_zeros)
{
	static const char zeros[MIB];
	_close_ int fd = -1;
	struct stat st;

	setup(test_tmpdir());
	make_source();
	fd = open(source, O_RDWR | O_CLOEXEC);
	CHECK_INT(pwrite(fd, zeros, sizeof(zeros), 4096), sizeof(zeros));
	CHECK_INT(fstat(fd, &st), 0);
	CHECK(st.st_blocks * 512 >= (off_t)MIB);
	clone_and_check(&storage_copy, 100 * MIB, true);
	CHECK_INT(stat(target, &st), 0);
	CHECK(st.st_blocks * 512 <= 64 * 1024);
	CHECK_INT(unlink(target), 0);
	CHECK_INT(ftruncate(fd, 4099), 0);
	CHECK_INT(pwrite(fd, "end", 3, 4096), 3);
	{
		struct outcome o = {0};
		char end[4] = "";
		_close_ int copy = -1;

		CHECK_INT(begin(&o, &storage_copy, 0, NULL), 0);
		SPIN(loop, o.completed == 1);
		CHECK(o.ok);
		storage_call_free(o.call);
		copy = open(target, O_RDONLY | O_CLOEXEC);
		CHECK_INT(fstat(copy, &st), 0);
		CHECK_INT(st.st_size, 4099);
		CHECK_INT(pread(copy, end, 4, 4096), 3);
		CHECK_STR(end, "end");
	}
	teardown();
}

/* So much data that a worker copies it. */
static void grow_source(unsigned mib)
{
	static char block[MIB];
	_close_ int fd = open(source, O_RDWR | O_CLOEXEC);

	memset(block, 5, sizeof(block));
	for (unsigned i = 0; i < mib; i++)
		CHECK_INT(pwrite(fd, block, sizeof(block), (off_t)((i + 8) * MIB)), sizeof(block));
}

TEST(large_copy_is_a_workers)
{
	static char got[MIB];
	struct outcome o = {0};
	_close_ int copy = -1;
	struct stat st;

	setup(test_tmpdir());
	make_source();
	grow_source(3);
	CHECK_INT(begin(&o, &storage_copy, 100 * MIB, NULL), 0);
	SPIN(loop, o.completed == 1);
	CHECK(o.ok);
	storage_call_free(o.call);
	copy = open(target, O_RDONLY | O_CLOEXEC);
	CHECK_INT(fstat(copy, &st), 0);
	CHECK_INT(st.st_size, 100 * MIB);
	CHECK(st.st_blocks * 512 < (off_t)(4 * MIB));
	CHECK_INT(pread(copy, got, sizeof(got), (off_t)(10 * MIB)), sizeof(got));
	CHECK(got[0] == 5 && memcmp(got, got + 1, sizeof(got) - 1) == 0);
	teardown();
}

/* The loop does not wait for the disk to give it. */
TEST(small_copy_of_what_is_not_in_memory_is_a_workers)
{
	struct outcome o = {0};
	_close_ int fd = -1;
	char c;

	setup(test_tmpdir());
	make_source();
	fd = open(source, O_RDONLY | O_CLOEXEC);
	CHECK_INT(fsync(fd), 0);
	CHECK_INT(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	if (preadv2(fd, &(struct iovec){&c, 1}, 1, 0, RWF_NOWAIT) >= 0 || errno != EAGAIN)
		test_skip("this file system keeps what it has in memory, or does not tell");
	CHECK_INT(begin(&o, &storage_cow, 100 * MIB, NULL), 0);
	CHECK(o.call->job);
	SPIN(loop, o.completed == 1);
	CHECK(o.ok);
	storage_call_free(o.call);
	check_clone(100 * MIB, true);
	teardown();
}

TEST(copy_is_never_shorter_than_its_source)
{
	setup(test_tmpdir());
	make_source();
	clone_and_check(&storage_copy, 0, true);
	teardown();
}

TEST(stale_new_file_is_replaced)
{
	char stale[256];

	setup(test_tmpdir());
	make_source();
	snprintf(stale, sizeof(stale), "%s.new", target);
	CHECK_INT(bg_write_file_at(AT_FDCWD, stale, "old", 3, 0644), 0);
	clone_and_check(&storage_copy, 0, true);
	teardown();
}

TEST(existing_target_is_kept)
{
	_err_ struct bg_err *err = NULL;
	_free_ char *text = NULL;
	struct outcome o = {0};

	setup(test_tmpdir());
	make_source();
	CHECK_INT(bg_write_file_at(AT_FDCWD, target, "precious", 8, 0600), 0);
	CHECK_INT(begin(&o, &storage_copy, 0, &err), -EEXIST);
	CHECK_INT(o.completed, 0);
	CHECK(!exists(target, ".new"));
	CHECK_INT(bg_read_file_at(AT_FDCWD, target, 100, &text, NULL), 0);
	CHECK_STR(text, "precious");
	teardown();
}

static const char *new_target(void)
{
	static char path[sizeof(target) + 4];

	snprintf(path, sizeof(path), "%s.new", target);
	return path;
}

TEST(freed_copy_leaves_nothing)
{
	struct outcome o = {0};

	setup(test_tmpdir());
	make_source();
	CHECK_INT(begin(&o, &storage_copy, 0, NULL), 0);
	storage_call_free(o.call);
	spin_for(loop, 50 * 1000);
	CHECK_INT(o.completed, 0);
	CHECK(!exists(target, "") && !exists(target, ".new"));
	teardown();
}

TEST(missing_source)
{
	_err_ struct bg_err *err = NULL;
	struct outcome o = {0};

	setup(test_tmpdir());
	CHECK_INT(begin(&o, &storage_copy, 0, &err), -ENOENT);
	CHECK(strstr(err->message, source));
	CHECK(!exists(target, ".new"));
	teardown();
}

TEST(source_that_is_no_file)
{
	_err_ struct bg_err *err = NULL;
	struct outcome o = {0};

	setup(test_tmpdir());
	CHECK_INT(mkfifo(source, 0600), 0);
	CHECK(begin(&o, &storage_copy, 0, &err) < 0);
	CHECK(strstr(err->message, "not a regular file"));
	teardown();
}

TEST(fake_clones_and_fails_when_told)
{
	_err_ struct bg_err *err = NULL;
	struct outcome o = {0};

	setup(test_tmpdir());
	make_source();
	storage_fake_fail(1);
	CHECK(begin(&o, &storage_fake, 0, &err) < 0);
	CHECK_INT(err->code, BG_ERR_NO_SPACE);
	CHECK(!exists(target, "") && !exists(target, ".new"));
	clone_and_check(&storage_fake, 80 * MIB, false);
	teardown();
}

TEST(freed_before_it_was_told)
{
	struct outcome o = {0};

	setup(test_tmpdir());
	make_source();
	CHECK_INT(begin(&o, &storage_fake, 0, NULL), 0);
	storage_call_free(o.call);
	CHECK(!exists(target, "") && !exists(target, ".new"));
	teardown();
}

static struct {
	char thrown[512];
	unsigned n_thrown, n_closed, n_closed_after;
} waste;

static void take_thrown(const char *path, void *userdata)
{
	waste.n_thrown++;
	snprintf(waste.thrown, sizeof(waste.thrown), "%s", path);
	CHECK_INT(unlink(path), 0);
}

static void take_closed(int fd, void *userdata)
{
	waste.n_closed++;
	waste.n_closed_after += waste.n_thrown > 0;
	bg_close(fd);
}

/* Gigabytes that a cancelled copy has written are not for the loop to free: no unlink, and no last
 * close. */
TEST(what_a_freed_clone_leaves_is_not_freed_here)
{
	struct outcome o = {0};

	setup(test_tmpdir());
	make_source();
	grow_source(3);
	jobs_set_waste(jobs, &(struct job_waste){take_thrown, take_closed, NULL});
	CHECK_INT(begin(&o, &storage_copy, 0, NULL), 0);
	storage_call_free(o.call);
	CHECK_INT(waste.n_thrown, 0); /* the worker writes still */
	SPIN(loop, waste.n_thrown > 0);
	CHECK_STR(waste.thrown, new_target());
	CHECK_INT(waste.n_thrown, 1);
	CHECK_INT(waste.n_closed, 2); /* source and copy, when the worker had them */
	CHECK_INT(waste.n_closed_after, 0);
	CHECK_INT(begin(&o, &storage_fake, 0, NULL), 0);
	storage_call_free(o.call);
	CHECK_STR(waste.thrown, target); /* it had its name already */
	teardown();
}

TEST(names)
{
	CHECK(storage_driver_by_name("copy") == &storage_copy);
	CHECK(storage_driver_by_name("reflink") == &storage_reflink);
	CHECK(!storage_driver_by_name("zfs"));
}

/* Mounts are seen by this test process only, and go with it. */
static void own_mounts(void)
{
	if (geteuid() != 0)
		test_skip("mounting needs root");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		test_skip("no mount namespace of our own: %s", strerror(errno));
}

TEST(full_disk)
{
	_err_ struct bg_err *err = NULL;
	static char block[MIB];
	struct outcome o = {0};

	own_mounts();
	setup(test_tmpdir());
	make_source();
	memset(block, 1, sizeof(block));
	for (unsigned i = 0; i < 8; i++) {
		_close_ int fd = open(source, O_RDWR | O_CLOEXEC);

		CHECK_INT(pwrite(fd, block, sizeof(block), (off_t)((i + 1) * MIB)), sizeof(block));
	}
	snprintf(target, sizeof(target), "%s/small", test_tmpdir());
	CHECK_INT(mkdir(target, 0700), 0);
	CHECK_INT(mount("tmpfs", target, "tmpfs", 0, "size=2m"), 0);
	strcat(target, "/target.img");
	CHECK_INT(begin(&o, &storage_copy, 0, &err), 0);
	SPIN(loop, o.completed == 1);
	CHECK_INT(o.code, BG_ERR_NO_SPACE);
	CHECK(strstr(o.message, target) && strstr(o.message, source));
	CHECK(strstr(o.message, "needs 9 MiB"));
	storage_call_free(o.call);
	CHECK(!exists(target, "") && !exists(target, ".new"));
	teardown();
}

/* A btrfs of its own at ret, or a skip. */
static void mount_btrfs(char *ret, size_t size)
{
	char command[600];

	own_mounts();
	if (system("command -v mkfs.btrfs >/dev/null && command -v losetup >/dev/null") != 0)
		test_skip("mkfs.btrfs or losetup is not installed");
	snprintf(ret, size, "%s/btrfs", test_tmpdir());
	/* autoclear: the loop device goes with its mount, which goes with this process. */
	snprintf(command, sizeof(command),
		"d=%s; mkdir $d/btrfs && truncate -s 256M $d/disk && mkfs.btrfs -q $d/disk "
		">/dev/null && mount -o loop $d/disk $d/btrfs",
		test_tmpdir());
	if (system(command) != 0)
		test_skip("btrfs cannot be mounted here");
}

TEST(reflink_on_btrfs)
{
	const char *reason;
	char dir[128];

	mount_btrfs(dir, sizeof(dir));
	setup(dir);
	make_source();
	CHECK(storage_choose(CONFIG_STORAGE_AUTO, dir, &reason, NULL) == &storage_reflink);
	CHECK(strstr(reason, "reflink"));
	clone_and_check(&storage_reflink, 100 * MIB, true);
	CHECK(storage_choose(CONFIG_STORAGE_COPY, dir, &reason, NULL) == &storage_copy);
	CHECK_INT(unlink(target), 0);
	clone_and_check(&storage_copy, 100 * MIB, true);
	teardown();
}

TEST(reflink_shares_blocks)
{
	static char block[MIB];
	struct outcome o = {0};
	char dir[128];
	int fd;

	mount_btrfs(dir, sizeof(dir));
	setup(dir);
	/* More than fits twice. */
	fd = open(source, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	memset(block, 7, sizeof(block));
	for (unsigned i = 0; i < 110; i++)
		CHECK_INT(write(fd, block, sizeof(block)), sizeof(block));
	close(fd);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(target, sizeof(target), "%s/target%u.img", dir, i);
		CHECK_INT(begin(&o, &storage_reflink, 0, NULL), 0);
		SPIN(loop, o.completed == i + 1);
		CHECK(o.ok);
		storage_call_free(o.call);
	}
	teardown();
}

TEST(reflink_from_elsewhere_is_copied)
{
	char dir[128];

	mount_btrfs(dir, sizeof(dir));
	setup(test_tmpdir());
	make_source();
	snprintf(target, sizeof(target), "%s/target.img", dir);
	clone_and_check(&storage_reflink, 0, true);
	teardown();
}

TEST(choose_by_the_disk_helper)
{
	_err_ struct bg_err *err = NULL, *helper = NULL;
	const char *reason = NULL;

	if (!storage_dm_fs_ok(test_tmpdir()))
		test_skip("the tests' folder is on no ext4, btrfs or xfs");
	CHECK(!storage_choose(CONFIG_STORAGE_DM, test_tmpdir(), &reason, &err) && !err);
	CHECK(storage_choose_dm(test_tmpdir(), NULL, &reason, &err) == &storage_dm);
	CHECK(strstr(reason, "dm-snapshot: ") == reason);
	bg_err_set(&helper, BG_ERR_HELPER_MISSING, ENOENT, "it is not there");
	CHECK(!storage_choose_dm(test_tmpdir(), helper, &reason, &err));
	CHECK(err->code == BG_ERR_CONFIG && strstr(err->message, "it is not there"));
}

TEST(overlay_is_sparse_and_as_long_as_the_layout_says)
{
	struct outcome o = {0};
	struct stat st;

	if (!storage_dm_fs_ok(test_tmpdir()))
		test_skip("the tests' folder is on no ext4, btrfs or xfs");
	setup(test_tmpdir());
	make_source();
	CHECK_INT(stat(source, &st), 0);
	CHECK_INT(begin(&o, &storage_dm, 100 * MIB, NULL), 0);
	SPIN(loop, o.completed == 1);
	CHECK(o.ok);
	storage_call_free(o.call);
	CHECK(storage_dm_fits(source) == (st.st_size % BG_DISK_CHUNK == 0));
	CHECK_INT((int64_t)bg_disk_overlay_size((uint64_t)st.st_size, 100 * MIB),
		(int64_t)(bg_disk_store_size((uint64_t)st.st_size, BG_DISK_CHUNK) + 100 * MIB -
			  (uint64_t)st.st_size));
	CHECK_INT(stat(target, &st), 0);
	CHECK(st.st_blocks == 0 && st.st_size > (off_t)(100 * MIB));
	teardown();
}

/* Of the source, an image's seed, comes what is in it; the rest is a hole. */
TEST(cow_begins_as_its_seed)
{
	setup(test_tmpdir());
	make_source();
	CHECK(storage_cow_fits(source));
	clone_and_check(&storage_cow, 300 * MIB, true);
	CHECK_INT(truncate(source, BG_COW_CHUNK / 2), 0);
	CHECK(!storage_cow_fits(source) && !storage_cow_fits(test_tmpdir()));
	teardown();
}

TEST(cow_by_name_needs_no_helper)
{
	_err_ struct bg_err *err = NULL;
	const char *reason = NULL;

	CHECK(storage_choose(CONFIG_STORAGE_COW, test_tmpdir(), &reason, &err) == &storage_cow);
	CHECK(strstr(reason, "guest-cow: ") == reason && !err);
}

TEST(choose_without_reflink)
{
	_err_ struct bg_err *err = NULL;
	const char *reason;
	char dir[128];

	own_mounts();
	snprintf(dir, sizeof(dir), "%s/tmpfs", test_tmpdir());
	CHECK_INT(mkdir(dir, 0700), 0);
	CHECK_INT(mount("tmpfs", dir, "tmpfs", 0, "size=2m"), 0);
	CHECK(storage_choose(CONFIG_STORAGE_AUTO, dir, &reason, &err) == &storage_cow && !err);
	CHECK(strstr(reason, "guest-cow: ") == reason && strstr(reason, "cannot share blocks"));
	CHECK(!storage_choose_dm(dir, NULL, &reason, &err));
	CHECK(err->code == BG_ERR_CONFIG && strstr(err->message, "ext4, btrfs or xfs"));
	bg_err_free(TAKE_PTR(err));
	CHECK(!storage_choose(CONFIG_STORAGE_REFLINK, dir, &reason, &err));
	CHECK_INT(err->code, BG_ERR_CONFIG);
}

TEST(choose_in_no_directory)
{
	_err_ struct bg_err *err = NULL;
	const char *reason;

	CHECK(!storage_choose(CONFIG_STORAGE_AUTO, "/nonexistent/dir", &reason, &err));
	CHECK_INT(err->code, BG_ERR_IO);
}
