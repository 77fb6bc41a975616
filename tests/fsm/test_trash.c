/* SPDX-License-Identifier: ISC */
/* daemon/trash with the real worker: everything goes, also beside what cannot, and nothing else. */
#include "daemon/trash.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/job/job.h"
#include "daemon/loop/loop.h"
#include "tests/lib/test.h"

enum { WAIT_USEC = 20000000 };

static struct loop *loop;
static struct trash *trash;
static int worker_log = -1;

/* In the test's directory, in a buffer that the fourth next call reuses. */
static const char *at(const char *name)
{
	static char path[4][512];
	static unsigned next;
	char *p = path[next++ % ARRAY_SIZE(path)];

	snprintf(p, sizeof(path[0]), "%s/%s", test_tmpdir(), name);
	return p;
}

static void begin_with(const char *worker)
{
	const char *dir = at("trash");

	CHECK_INT(loop_new(&loop), 0);
	worker_log = open(at("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK_INT(trash_new(loop, worker, worker_log, &dir, 1, &trash, NULL), 0);
}

static void begin(void)
{
	_free_ char *worker = NULL;

	CHECK(asprintf(&worker, "%s/worker/banger-worker", test_build_dir()) > 0);
	begin_with(worker);
}

static void end(void)
{
	trash_free(TAKE_PTR(trash));
	worker_log = bg_close(worker_log);
	loop_free(TAKE_PTR(loop));
}

static void put(const char *name)
{
	CHECK_INT(bg_write_file_at(AT_FDCWD, at(name), "x", 1, 0600), 0);
}

static unsigned entries(const char *name)
{
	DIR *dir = opendir(at(name));
	unsigned n = 0;

	CHECK(dir);
	for (const struct dirent *de; (de = readdir(dir));)
		n += de->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void on_late(void *userdata)
{
	*(bool *)userdata = true;
	loop_exit(loop, 0);
}

static void on_look(void *userdata)
{
	if (trash_is_empty(trash))
		loop_exit(loop, 0);
}

/* Runs until the worker has done what it can. */
static void run(void)
{
	struct loop_source *late = NULL, *look = NULL;
	bool is_late = false;

	CHECK_INT(loop_add_timer(loop, "late", WAIT_USEC, on_late, &is_late, &late), 0);
	CHECK_INT(loop_add_ticker(loop, "look", 2000, on_look, NULL, &look), 0);
	loop_run(loop);
	loop_source_free(late);
	loop_source_free(look);
	CHECK(!is_late);
}

static void make_tree(const char *name, unsigned files)
{
	char path[128];

	CHECK_INT(mkdir(at(name), 0700), 0);
	snprintf(path, sizeof(path), "%s/deeper", name);
	CHECK_INT(mkdir(at(path), 0700), 0);
	for (unsigned i = 0; i < files; i++) {
		snprintf(path, sizeof(path), "%s/%s%u", name, i % 2 ? "deeper/" : "", i);
		put(path);
	}
}

TEST(all_of_a_folder_goes_and_no_more)
{
	begin();
	put("outside");
	make_tree("vm", 3000);
	CHECK_INT(symlink(at("outside"), at("vm/link")), 0);
	CHECK_INT(symlink(test_tmpdir(), at("vm/deeper/up")), 0);
	put("single");
	CHECK_INT(trash_throw(trash, at("vm")), 0);
	CHECK_INT(trash_throw(trash, at("single")), 0);
	CHECK_INT(trash_throw(trash, at("never-was")), 0);
	CHECK(access(at("vm"), F_OK) < 0 && access(at("single"), F_OK) < 0);
	CHECK(!trash_is_empty(trash));
	run();
	CHECK_INT(entries("trash"), 0);
	CHECK(access(at("outside"), F_OK) == 0);
	end();
}

TEST(what_comes_while_it_is_emptied_goes_too)
{
	char name[32];

	begin();
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		make_tree(name, 4);
		CHECK_INT(trash_throw(trash, at(name)), 0);
	}
	run();
	CHECK_INT(entries("trash"), 0);
	end();
}

TEST(what_a_daemon_left_is_emptied_by_the_next)
{
	begin();
	make_tree("vm", 500);
	CHECK_INT(trash_throw(trash, at("vm")), 0);
	end();
	begin();
	run();
	CHECK_INT(entries("trash"), 0);
	end();
}

/* Root is stopped by chattr +i alone, others by a folder without rights. */
static bool lock_entry(bool locked)
{
	_close_ int fd = -1;
	int flags = 0;

	if (geteuid() != 0)
		return chmod(at("trash/b"), locked ? 0 : 0700) == 0;
	fd = open(at("trash/b/stuck"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return false;
	flags = locked ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

TEST(one_that_cannot_go_keeps_no_other)
{
	CHECK_INT(mkdir(at("trash"), 0700), 0);
	make_tree("trash/a", 10);
	make_tree("trash/b", 0);
	put("trash/b/stuck");
	make_tree("trash/c", 10);
	if (!lock_entry(true))
		test_skip("no immutable files on this file system");
	begin();
	run();
	CHECK_INT(entries("trash"), 1);
	CHECK(lock_entry(false));
	CHECK_INT(entries("trash/b"), 1);
	make_tree("vm", 10);
	CHECK_INT(trash_throw(trash, at("vm")), 0);
	run();
	CHECK_INT(entries("trash"), 0);
	end();
}

TEST(a_worker_that_cannot_start_is_tried_again)
{
	begin_with("/nonexistent/worker");
	make_tree("vm", 10);
	CHECK_INT(trash_throw(trash, at("vm")), 0);
	run();
	CHECK(access(at("vm"), F_OK) < 0);
	CHECK_INT(entries("trash"), 1);
	make_tree("vm", 10);
	CHECK_INT(trash_throw(trash, at("vm")), 0);
	run();
	CHECK_INT(entries("trash"), 2);
	end();
}

/* ---- what a worker is to free, and not the loop ---- */

enum { LARGE_MIB = 8 };

static void make_large(const char *path)
{
	_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	static char block[1024 * 1024];

	CHECK(fd >= 0);
	memset(block, 3, sizeof(block));
	for (unsigned i = 0; i < LARGE_MIB; i++)
		CHECK_INT(write(fd, block, sizeof(block)), sizeof(block));
}

/* A worker that never reads what it was sent: what it holds goes when it is killed. */
static void begin_with_idle_worker(void)
{
	static const char script[] = "#!/bin/sh\nexec sleep 600\n";

	CHECK_INT(bg_write_file_at(AT_FDCWD, at("idle"), script, strlen(script), 0700), 0);
	begin_with(at("idle"));
}

/* IN_DELETE_SELF comes when a file's blocks go: with its last descriptor. */
static int watch(const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	CHECK(fd >= 0 && inotify_add_watch(fd, path, IN_DELETE_SELF) >= 0);
	return fd;
}

static bool is_freed(int watched, int within_ms)
{
	return poll(&(struct pollfd){.fd = watched, .events = POLLIN}, 1, within_ms) == 1;
}

TEST(the_last_descriptor_of_a_large_file_is_closed_by_a_worker)
{
	_close_ int watched = -1;
	int fd;

	begin_with_idle_worker();
	make_large(at("big"));
	fd = open(at("big"), O_RDONLY | O_CLOEXEC);
	watched = watch(at("big"));
	CHECK_INT(unlink(at("big")), 0);
	trash_close(trash, fd);
	CHECK(!is_freed(watched, 0));
	end();
	CHECK(is_freed(watched, WAIT_USEC / 1000));
}

TEST(what_is_small_or_has_a_name_is_closed_on_the_spot)
{
	_close_ int watched = -1;
	int fd;

	begin_with_idle_worker();
	put("small");
	fd = open(at("small"), O_RDONLY | O_CLOEXEC);
	watched = watch(at("small"));
	CHECK_INT(unlink(at("small")), 0);
	trash_close(trash, fd);
	CHECK(is_freed(watched, 0));
	make_large(at("big"));
	fd = open(at("big"), O_RDONLY | O_CLOEXEC);
	trash_close(trash, fd);
	trash_close(trash, -1);
	CHECK(fcntl(fd, F_GETFD) < 0);
	CHECK(trash_is_empty(trash)); /* no worker was needed */
	end();
}

TEST(unlink_throws_what_is_large)
{
	_close_ int watched = -1;

	begin_with_idle_worker();
	put("small");
	trash_unlink(trash, at("small"));
	trash_unlink(trash, at("missing"));
	CHECK(access(at("small"), F_OK) < 0);
	CHECK(trash_is_empty(trash));
	make_large(at("big"));
	watched = watch(at("big"));
	trash_unlink(trash, at("big"));
	CHECK(access(at("big"), F_OK) < 0);
	CHECK(!trash_is_empty(trash));
	CHECK(!is_freed(watched, 0));
	end();
	CHECK_INT(entries("trash"), 1);
}

/* A job that was cancelled in its queue may have had the last descriptor. */
TEST(what_jobs_leave_goes_into_the_trash)
{
	_unref_(jobs) struct jobs *jobs = NULL;
	_close_ int watched = -1;

	begin_with_idle_worker();
	CHECK_INT(jobs_new(loop, at("idle"), worker_log, &jobs, NULL), 0);
	trash_serve(trash, jobs);
	make_large(at("big"));
	watched = watch(at("big"));
	{
		int fd = open(at("big"), O_RDONLY | O_CLOEXEC);

		CHECK_INT(unlink(at("big")), 0);
		jobs_close(jobs, fd);
	}
	CHECK(!is_freed(watched, 0));
	make_large(at("other"));
	jobs_throw(jobs, at("other"));
	CHECK(access(at("other"), F_OK) < 0);
	CHECK_INT(entries("trash"), 1);
	jobs_free(TAKE_PTR(jobs));
	end();
}

static const char *elsewhere(void)
{
	static char path[64];

	if (!path[0])
		snprintf(path, sizeof(path), "/dev/shm/banger-test-%llx",
			(unsigned long long)loop_now_usec());
	return path;
}

static bool is_elsewhere(const char *path)
{
	struct stat here, there;

	CHECK(stat(path, &there) == 0 && stat(test_tmpdir(), &here) == 0);
	return here.st_dev != there.st_dev;
}

/* A rename does not leave the file system: the blocks are the worker's to free all the same. */
TEST(a_file_elsewhere_goes_with_its_descriptor)
{
	_close_ int watched = -1;
	bool other;

	make_large(elsewhere());
	other = is_elsewhere(elsewhere());
	begin_with_idle_worker();
	watched = watch(elsewhere());
	CHECK_INT(trash_throw(trash, elsewhere()), 0);
	CHECK(access(elsewhere(), F_OK) < 0);
	CHECK(!other || !is_freed(watched, 0));
	end();
	CHECK(!other || is_freed(watched, WAIT_USEC / 1000));
	if (!other)
		test_skip("/dev/shm is no other file system");
}

TEST(a_folder_elsewhere_goes_too)
{
	_close_ int watched = -1;
	char disk[128], deeper[96];
	bool other;

	snprintf(deeper, sizeof(deeper), "%s/deeper", elsewhere());
	snprintf(disk, sizeof(disk), "%s/disk", deeper);
	CHECK(mkdir(elsewhere(), 0700) == 0 && mkdir(deeper, 0700) == 0);
	make_large(disk);
	CHECK_INT(symlink(test_tmpdir(), strcat(deeper, "/link")), 0);
	other = is_elsewhere(elsewhere());
	begin_with_idle_worker();
	put("outside");
	watched = watch(disk);
	CHECK_INT(trash_throw(trash, elsewhere()), 0);
	CHECK(access(elsewhere(), F_OK) < 0);
	CHECK_INT(access(at("outside"), F_OK), 0);
	CHECK(!other || !is_freed(watched, 0));
	end();
	CHECK(!other || is_freed(watched, WAIT_USEC / 1000));
	if (!other)
		test_skip("/dev/shm is no other file system");
}
