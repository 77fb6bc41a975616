/* SPDX-License-Identifier: ISC */
/* common/tar_*.c: trees there and back, what GNU tar writes and reads, and streams that mean harm.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/tar.h"
#include "common/tar_head.h"
#include "tests/lib/test.h"

static char path_buf[8][600];

/* A path below the test's directory; eight stay valid. */
static const char *at(const char *name)
{
	static unsigned turn;
	char *p = path_buf[turn++ % ARRAY_SIZE(path_buf)];

	if (name[0] == '/')
		return name;
	snprintf(p, sizeof(path_buf[0]), "%s/%s", test_tmpdir(), name);
	return p;
}

static void put(const char *name, const char *text, mode_t mode)
{
	CHECK_INT(bg_write_file_at(AT_FDCWD, at(name), text, strlen(text), mode), 0);
}

static void folder(const char *name)
{
	CHECK_INT(mkdir(at(name), 0755), 0);
}

static void check_text(const char *name, const char *text)
{
	_free_ char *got = NULL;

	CHECK_INT(bg_read_file_at(AT_FDCWD, at(name), 4096, &got, NULL), 0);
	CHECK_STR(got, text);
}

static void pack(const char *tree, const char *file)
{
	_close_ int fd = open(at(file), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	const struct bg_tar_packing p = {.out_fd = fd};
	_err_ struct bg_err *err = NULL;

	CHECK(fd >= 0);
	CHECK_INT(bg_tar_pack(&p, at(tree), &err), 0);
}

static int unpack(const char *file, const char *to, bool folder_only)
{
	_close_ int fd = open(at(file), O_RDONLY);
	struct bg_tar_unpacking u = {.in_fd = fd};
	_err_ struct bg_err *err = NULL;
	int r = bg_tar_unpack(&u, at(to), folder_only, &err);

	CHECK(fd >= 0);
	CHECK((r < 0) == (err != NULL));
	return r;
}

static void shell(const char *command)
{
	char text[1024];

	snprintf(text, sizeof(text), "cd '%s' && %s", test_tmpdir(), command);
	CHECK_INT(system(text), 0);
}

TEST(a_tree_comes_back_as_it_was)
{
	static char deep[400];
	struct stat a, b;

	memset(deep, 'n', 150);
	memcpy(deep, "src/", 4);
	folder("src");
	folder("src/empty");
	folder("src/closed");
	put("src/closed/in", "x", 0600);
	put("src/run", "#!/bin/sh\n", 0755);
	put(deep, "long name", 0640);
	CHECK_INT(symlink("../../etc/passwd", at("src/link")), 0);
	CHECK_INT(chmod(at("src/closed"), 0500), 0);
	shell("touch -d 2001-02-03T04:05:06Z src/run src/empty");
	pack("src", "t.tar");
	CHECK_INT(unpack("t.tar", "dst", false), 0);
	shell("diff -r --no-dereference src dst");
	shell("cd src && find . -printf '%p %m %y %l %Ts\\n' | sort >../a; cd ../dst && "
	      "find . -printf '%p %m %y %l %Ts\\n' | sort >../b; cmp ../a ../b");
	CHECK_INT(lstat(at("src/run"), &a), 0);
	CHECK_INT(lstat(at("dst/run"), &b), 0);
	CHECK_INT(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	CHECK_INT(chmod(at("src/closed"), 0700), 0);
	CHECK_INT(chmod(at("dst/closed"), 0700), 0);
}

TEST(holes_stay_holes)
{
	struct stat st;
	int fd = open(at("sparse"), O_RDWR | O_CREAT, 0600);

	CHECK_INT(ftruncate(fd, 64 << 20), 0);
	CHECK_INT(pwrite(fd, "head", 4, 1 << 20), 4);
	CHECK_INT(pwrite(fd, "tail", 4, (40 << 20) + 5), 4);
	close(fd);
	pack("sparse", "t.tar");
	CHECK_INT(stat(at("t.tar"), &st), 0);
	CHECK(st.st_size < 1 << 20);
	CHECK_INT(unpack("t.tar", "back", false), 0);
	shell("cmp sparse back");
	CHECK_INT(stat(at("back"), &st), 0);
	CHECK(st.st_blocks * 512 < 1 << 20);
	shell("mkdir gnu && tar -xf t.tar -C gnu && cmp sparse gnu/sparse");
}

TEST(gnu_tar_and_we_understand_each_other)
{
	shell("mkdir -p src/d && head -c 100000 /dev/urandom >src/d/f && ln src/d/f src/hard && "
	      "touch src/$(printf 'x%.0s' $(seq 180)) && ln -s $(printf 'y%.0s' $(seq 180)) src/l");
	pack("src", "ours.tar");
	shell("mkdir a && tar -xf ours.tar -C a && diff -r --no-dereference src a/src");
	shell("tar -cf gnu.tar --format=gnu src && tar -cf pax.tar --format=posix src && mkdir b "
	      "c");
	CHECK_INT(unpack("gnu.tar", "b", true), 0);
	CHECK_INT(unpack("pax.tar", "c", true), 0);
	shell("diff -r --no-dereference src b/src && diff -r --no-dereference src c/src");
	shell("test b/src/hard -ef b/src/d/f");
}

TEST(where_it_goes)
{
	folder("into");
	put("f", "text", 0644);
	pack("f", "t.tar");
	CHECK_INT(unpack("t.tar", "into", false), 0);
	check_text("into/f", "text");
	CHECK_INT(unpack("t.tar", "new", false), 0);
	check_text("new", "text");
	CHECK_INT(unpack("t.tar", "no/such", false), -ENOENT);
	CHECK_INT(unpack("t.tar", "missing/", false), -ENOENT);
	CHECK_INT(unpack("t.tar", "missing", true), -ENOENT);
	CHECK_INT(unpack("t.tar", "f", false), 0);
	check_text("f", "text");
}

/* One entry, and the end. */
static void evil(const char *file, const char *path, char type, const char *link, bool more)
{
	static const uint8_t zeros[2 * TAR_BLOCK];
	struct tar_entry e = {.type = type,
		.path = (char *)(uintptr_t)path,
		.link = (char *)(uintptr_t)link,
		.mode = 0755,
		.size = type == '0' ? 5 : 0};
	int fd = open(at(file), O_WRONLY | O_CREAT | O_APPEND, 0600);
	struct tar_head h;

	tar_head_make(&h, &e);
	CHECK_INT(write(fd, &h, sizeof(h)), sizeof(h));
	if (type == '0') {
		CHECK_INT(write(fd, "evil!", 5), 5);
		CHECK_INT(write(fd, zeros, TAR_BLOCK - 5), TAR_BLOCK - 5);
	}
	if (!more)
		CHECK_INT(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
	close(fd);
}

static void outside_is_untouched(void)
{
	check_text("out/keep", "safe");
	shell("test $(ls -A out | wc -l) = 1 && test ! -e evil");
}

static void setting(void)
{
	folder("out");
	folder("dst");
	put("out/keep", "safe", 0644);
}

TEST(dots_are_refused)
{
	setting();
	evil("t.tar", "../out/keep", '0', NULL, false);
	CHECK_INT(unpack("t.tar", "dst", false), -EPROTO);
	evil("u.tar", "a/../../evil", '0', NULL, false);
	CHECK_INT(unpack("u.tar", "dst", false), -EPROTO);
	outside_is_untouched();
}

TEST(absolute_names_are_below)
{
	setting();
	evil("t.tar", "/etc/evil", '0', NULL, false);
	CHECK_INT(unpack("t.tar", "dst", false), 0);
	check_text("dst/etc/evil", "evil!");
}

/* What was asked for has this name, whatever the stream says. */
static int unpack_as(const char *file, const char *to, const char *top)
{
	_close_ int fd = open(at(file), O_RDONLY), dir = open(at(to), O_PATH | O_DIRECTORY);
	struct bg_tar_unpacking u = {.in_fd = fd, .top = top, .umask = 027};
	_err_ struct bg_err *err = NULL;
	int r = bg_tar_unpack_at(&u, dir, &err);

	CHECK((r < 0) == (err != NULL));
	return r;
}

TEST(names_are_held_to_what_was_asked_for)
{
	setting();
	evil("a.tar", ".bashrc", '0', NULL, false);
	CHECK_INT(unpack_as("a.tar", "dst", "log"), 0);
	check_text("dst/log", "evil!");
	evil("b.tar", "log", '0', NULL, true);
	evil("b.tar", ".ssh/authorized_keys", '0', NULL, false);
	CHECK_INT(unpack_as("b.tar", "dst", "log"), -EPROTO);
	evil("c.tar", "d/", '5', NULL, true);
	evil("c.tar", "e/f", '0', NULL, false);
	CHECK_INT(unpack_as("c.tar", "dst", ""), -EPROTO);
	shell("test \"$(ls -A dst)\" = log");
	outside_is_untouched();
}

TEST(what_was_asked_for_is_no_link)
{
	setting();
	evil("a.tar", "log", '2', at("out"), false);
	CHECK_INT(unpack_as("a.tar", "dst", "log"), -EPROTO);
	evil("b.tar", "log", '1', "x", false);
	CHECK_INT(unpack_as("b.tar", "dst", "log"), -EPROTO);
	evil("c.tar", "log", '6', NULL, false);
	CHECK_INT(unpack_as("c.tar", "dst", "log"), -EPROTO);
	shell("test -z \"$(ls -A dst)\"");
	/* one that is there is replaced, or is in the way of a folder, and never followed */
	CHECK_INT(symlink(at("out"), at("dst/log")), 0);
	evil("d.tar", "log/keep", '0', NULL, false);
	CHECK(unpack_as("d.tar", "dst", "log") < 0);
	evil("e.tar", "log", '0', NULL, false);
	CHECK_INT(unpack_as("e.tar", "dst", "log"), 0);
	check_text("dst/log", "evil!");
	outside_is_untouched();
}

TEST(the_content_of_a_folder)
{
	struct stat st;

	setting();
	evil("t.tar", "src/", '5', NULL, true);
	evil("t.tar", "src/a", '0', NULL, true);
	evil("t.tar", "src/b/c", '0', NULL, false);
	CHECK_INT(unpack_as("t.tar", "dst", ""), 0);
	check_text("dst/a", "evil!");
	check_text("dst/b/c", "evil!");
	CHECK_INT(stat(at("dst/a"), &st), 0);
	CHECK_INT(st.st_mode & 0777, 0755 & ~027);
	evil("u.tar", "src", '0', NULL, false);
	CHECK(unpack_as("u.tar", "dst", "") < 0);
}

TEST(a_part_never_has_the_name)
{
	setting();
	put("dst/f", "older", 0644);
	put("f", "newer than that", 0644);
	pack("f", "t.tar");
	shell("head -c 516 t.tar >cut.tar");
	CHECK(unpack_as("cut.tar", "dst", "f") < 0);
	check_text("dst/f", "older");
	shell("test \"$(ls -A dst)\" = f");
	CHECK_INT(unpack_as("t.tar", "dst", "f"), 0);
	check_text("dst/f", "newer than that");
}

TEST(a_device_is_not_replaced)
{
	setting();
	if (mknod(at("dst/null"), S_IFCHR | 0666, makedev(1, 3)) < 0)
		test_skip("only root makes devices");
	evil("t.tar", "null", '0', NULL, false);
	CHECK_INT(unpack_as("t.tar", "dst", "null"), -EEXIST);
	shell("test -c dst/null");
}

static void check_time(int64_t s, long ns)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)s, .tv_nsec = ns}};
	struct stat st;

	CHECK_INT(utimensat(AT_FDCWD, at("f"), times, 0), 0);
	pack("f", "t.tar");
	CHECK_INT(unpack_as("t.tar", "dst", "f"), 0);
	CHECK_INT(stat(at("dst/f"), &st), 0);
	CHECK_INT(st.st_mtim.tv_sec, s);
	CHECK_INT(st.st_mtim.tv_nsec, ns);
}

TEST(times_keep_their_fractions)
{
	setting();
	put("f", "x", 0644);
	check_time(1700000000, 123456789);
	check_time(1700000000, 0);
	check_time(-1, 250000000);
	check_time(-2, 0);
	check_time(-3, 999999999);
	check_time(0, 1);
}

TEST(what_tells_no_size_or_a_wrong_one)
{
	setting();
	pack("/proc/self/status", "t.tar");
	CHECK_INT(unpack_as("t.tar", "dst", "status"), 0);
	shell("grep -q '^Pid:' dst/status");
	pack("/proc/kallsyms", "u.tar");
	CHECK_INT(unpack_as("u.tar", "dst", "symbols"), 0);
	shell("test $(wc -c <dst/symbols) -gt 65536 && test \"$(wc -l <dst/symbols)\" = \"$(wc -l "
	      "</proc/kallsyms)\"");
	pack("/sys/kernel/mm/transparent_hugepage/enabled", "v.tar");
	CHECK_INT(unpack_as("v.tar", "dst", "enabled"), 0);
	shell("cmp dst/enabled /sys/kernel/mm/transparent_hugepage/enabled");
}

TEST(a_pipe_or_device_gives_its_content)
{
	pid_t pid;

	setting();
	pack("/dev/null", "t.tar");
	CHECK_INT(unpack_as("t.tar", "dst", "null"), 0);
	shell("test -f dst/null && test ! -s dst/null");
	CHECK_INT(mkfifo(at("pipe"), 0600), 0);
	pid = fork();
	if (pid == 0)
		_exit(execl("/bin/sh", "sh", "-c", "head -c 200000 /dev/zero >\"$0\"", at("pipe"),
			(char *)NULL));
	pack("pipe", "u.tar");
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK_INT(unpack_as("u.tar", "dst", "p"), 0);
	shell("test -f dst/p && test $(wc -c <dst/p) = 200000");
}

TEST(a_link_is_never_a_way_out)
{
	setting();
	evil("t.tar", "l", '2', at("out"), true);
	evil("t.tar", "l/keep", '0', NULL, false);
	CHECK(unpack("t.tar", "dst", false) < 0);
	evil("u.tar", "d", '2', at("out"), true);
	evil("u.tar", "d", '5', NULL, false);
	CHECK(unpack("u.tar", "dst", false) < 0);
	evil("v.tar", "m", '2', at("out/keep"), true);
	evil("v.tar", "m", '0', NULL, false);
	CHECK_INT(unpack("v.tar", "dst", false), 0);
	check_text("dst/m", "evil!");
	evil("w.tar", "n", '1', at("out/keep"), false);
	CHECK(unpack("w.tar", "dst", false) < 0);
	evil("x.tar", "q", '2', at("out"), true);
	evil("x.tar", "h", '1', "q/keep", false);
	CHECK(unpack("x.tar", "dst", false) < 0);
	outside_is_untouched();
}

TEST(a_file_of_ours_with_two_names_is_replaced_not_written)
{
	setting();
	CHECK_INT(link(at("out/keep"), at("dst/f")), 0);
	evil("t.tar", "f", '0', NULL, false);
	CHECK_INT(unpack("t.tar", "dst", false), 0);
	check_text("dst/f", "evil!");
	outside_is_untouched();
}

TEST(special_files_are_left_out)
{
	_close_ int fd = -1;
	struct bg_tar_unpacking u = {0};

	setting();
	evil("t.tar", "null", '3', NULL, true);
	evil("t.tar", "pipe", '6', NULL, false);
	fd = open(at("t.tar"), O_RDONLY);
	u.in_fd = fd;
	CHECK_INT(bg_tar_unpack(&u, at("dst"), false, NULL), 0);
	CHECK_INT(u.left_out, 2);
	shell("test -z \"$(ls -A dst)\"");
}

TEST(every_cut_is_told)
{
	struct stat st;

	setting();
	put("f", "some text", 0644);
	pack("f", "t.tar");
	CHECK_INT(stat(at("t.tar"), &st), 0);
	/* The second block of zeros at the end is for the form only. */
	for (off_t len = 0; len < st.st_size - TAR_BLOCK; len += 128) {
		shell("cp t.tar cut.tar");
		CHECK_INT(truncate(at("cut.tar"), len), 0);
		CHECK_INT(unpack("cut.tar", "dst", false), -EPROTO);
	}
}
