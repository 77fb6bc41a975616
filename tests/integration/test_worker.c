/* SPDX-License-Identifier: ISC */
/* The real banger-worker over its socket: copy, mkfs, unpack; requests that are wrong;
 * cancellation. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/limits.h"
#include "tests/integration/archives.h"
#include "tests/integration/worker_client.h"
#include "tests/lib/test.h"

static bool result_bool(const struct worker_answer *a, const char *key)
{
	bool v = false;

	CHECK_INT(bg_json_get_bool(a->result, key, &v), 0);
	return v;
}

static off_t size_of(const char *name)
{
	struct stat st;

	CHECK_INT(stat(worker_path(name), &st), 0);
	return st.st_size;
}

TEST(wrong_requests)
{
	int fds[BG_JOB_ALL_FDS_MAX + 2];
	struct worker_answer a;
	struct worker w;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = worker_file("x");
	a = worker_run("{\"job\":\"dance\"}", NULL, 0);
	worker_expect_error(&a, "worker.failed", "no job \"dance\"");
	a = worker_run("{}", NULL, 0);
	worker_expect_error(&a, "worker.failed", "\"job\" is missing");
	a = worker_run("[1]", NULL, 0);
	worker_expect_error(&a, "worker.failed", "not a JSON object");
	a = worker_run("{\"job\":\"mkfs\",\"job\":\"copy\"}", NULL, 0);
	worker_expect_error(&a, "worker.failed", "not a JSON object");
	a = worker_run("{\"job\":\"mkfs\",\"size\":99999999}", fds, 2);
	worker_expect_error(&a, "worker.failed", "takes 1 descriptors, not 2");
	a = worker_run("{\"job\":\"mkfs\",\"size\":99999999}", fds, 9);
	worker_expect_error(&a, "worker.failed", "takes 1 descriptors, not 9");
	a = worker_run("{\"job\":\"mkfs\",\"size\":99999999}", fds, ARRAY_SIZE(fds));
	worker_expect_error(&a, "worker.failed", "too large");
	a = worker_run("{\"job\":\"mkfs\",\"size\":\"big\"}", fds, 1);
	worker_expect_error(&a, "worker.failed", "\"size\" is not a whole number");
	a = worker_run("{\"job\":\"mkfs\",\"size\":4096}", fds, 1);
	worker_expect_error(&a, "worker.failed", "\"size\" is not a whole number");
	worker_start(&w, "\xff\x00\x01", 3, NULL, 0);
	a = worker_wait(&w);
	worker_expect_error(&a, "worker.failed", "not a JSON object");
}

static void put_text(int fd, const char *text)
{
	CHECK_INT(pwrite(fd, text, strlen(text), 0), strlen(text));
}

TEST(initrd_puts_its_parts_behind_each_other)
{
	int fds[5];
	char buf[2000];
	struct worker_answer a;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = worker_file((char[]){(char)('a' + i), 0});
	put_text(fds[1], "settings");
	put_text(fds[2], "init");
	put_text(fds[3], "modules");
	put_text(fds[4], "first");
	a = worker_run("{\"job\":\"initrd\",\"modules\":true,\"first\":true}", fds, 5);
	CHECK(a.result);
	worker_answer_clear(&a);
	CHECK_INT(size_of("a"), 2048);
	CHECK_INT(pread(fds[0], buf, sizeof(buf), 0), sizeof(buf));
	CHECK(memcmp(buf, "first\0", 6) == 0 && memcmp(buf + 512, "070701", 6) == 0);
	CHECK(memcmp(buf + 1024, "modules\0", 8) == 0 && memcmp(buf + 1536, "settings\0", 9) == 0);
	CHECK_INT(ftruncate(fds[0], 0), 0);
	a = worker_run("{\"job\":\"initrd\",\"modules\":false,\"first\":true}", fds, 5);
	worker_expect_error(&a, "worker.failed", "4 descriptors, not 5");
}

TEST(cut_gives_back_the_beginning)
{
	int fd = worker_file("log");
	struct worker_answer a;
	char c = 1;

	CHECK_INT(ftruncate(fd, 0), 0);
	CHECK_INT(pwrite(fd, "old", 3, 0), 3);
	CHECK_INT(pwrite(fd, "new", 3, 8192), 3);
	a = worker_run("{\"job\":\"cut\",\"bytes\":4096}", &fd, 1);
	CHECK(a.result);
	worker_answer_clear(&a);
	if (size_of("log") == 0)
		test_skip("this file system makes no holes");
	CHECK_INT(size_of("log"), 8195);
	CHECK(pread(fd, &c, 1, 0) == 1 && c == 0);
	CHECK(pread(fd, &c, 1, 8192) == 1 && c == 'n');
	a = worker_run("{\"job\":\"cut\"}", &fd, 1);
	worker_expect_error(&a, "worker.failed", "\"bytes\"");
}

TEST(flush_says_what_did_not_reach_the_disk)
{
	struct worker_answer a;
	int fds[2] = {worker_file("x"), open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

	a = worker_run("{\"job\":\"flush\"}", fds, 2);
	CHECK(a.result);
	worker_answer_clear(&a);
	fds[1] = open("/dev/full", O_WRONLY | O_CLOEXEC); /* no file of a disk: EINVAL */
	a = worker_run("{\"job\":\"flush\"}", fds, 2);
	worker_expect_error(&a, "worker.failed", "flush a file");
}

/* "kind name size" of each, a line each; the caller's. */
static char *lines_of(const struct worker_answer *a)
{
	const json_t *list = json_object_get(a->result, "entries"), *entry;
	char *text = NULL;
	size_t len = 0, i;
	FILE *f = open_memstream(&text, &len);

	json_array_foreach (list, i, entry)
		fprintf(f, "%s %s %lld\n", json_string_value(json_object_get(entry, "kind")),
			json_string_value(json_object_get(entry, "name")),
			(long long)json_integer_value(json_object_get(entry, "size")));
	CHECK_INT(fclose(f), 0);
	return text;
}

TEST(list_shows_a_folder_and_leads_nowhere_else)
{
	static const char *const wrong[] = {"..", ".", "a/..", "a/../..", "/a", "a//b", "link",
		"link/b", "file", "file/x", "none"};
	int fd = open(test_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	_free_ char *text = NULL;
	struct worker_answer a;

	CHECK_INT(mkdirat(fd, "a", 0700) | mkdirat(fd, "a/b", 0700) | symlinkat("a", fd, "link") |
			  mkfifoat(fd, "a/pipe", 0600),
		0);
	CHECK_INT(close(openat(fd, "a/.hidden", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	CHECK_INT(close(openat(fd, "a/\xff", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	CHECK_INT(close(openat(fd, "a/a \"\\\n", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	CHECK_INT(symlinkat("/etc", fd, "a/out"), 0);
	put_text(worker_file("file"), "12345");
	a = worker_run("{\"job\":\"list\",\"path\":\"a\"}", &fd, 1);
	text = lines_of(&a);
	CHECK_STR(text, "folder b 0\nfile a \"\\\n 0\nlink out 0\nother pipe 0\n");
	CHECK_INT(worker_result_int(&a, "left_out"), 1);
	worker_answer_clear(&a);
	a = worker_run("{\"job\":\"list\",\"path\":\"a/b\"}", &fd, 1);
	CHECK_INT(json_array_size(json_object_get(a.result, "entries")), 0);
	worker_answer_clear(&a);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char request[128];

		snprintf(request, sizeof(request), "{\"job\":\"list\",\"path\":\"%s\"}", wrong[i]);
		a = worker_run(request, &fd, 1);
		worker_expect_error(&a, "folder.unreadable", "");
	}
}

/* An answer is one datagram, whatever the names are. */
TEST(list_of_very_many)
{
	int fd = open(test_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[256];
	struct worker_answer a;
	int64_t n;

	CHECK_INT(mkdirat(fd, "m", 0700), 0);
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "m/%04d%.*s", i, 240,
			"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
			"\1\1\1");
		CHECK_INT(close(openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	}
	a = worker_run("{\"job\":\"list\",\"path\":\"m\"}", &fd, 1);
	CHECK(a.result);
	n = (int64_t)json_array_size(json_object_get(a.result, "entries"));
	CHECK(n > 100 && n < 1000);
	CHECK_INT(n + worker_result_int(&a, "left_out"), 1500);
	CHECK(!result_bool(&a, "more"));
	worker_answer_clear(&a);
	for (int i = 0; i < 20100; i++) {
		snprintf(name, sizeof(name), "m/n%d", i);
		CHECK_INT(mknodat(fd, name, S_IFREG | 0600, 0), 0);
	}
	a = worker_run("{\"job\":\"list\",\"path\":\"m\"}", &fd, 1);
	CHECK(result_bool(&a, "more"));
	n = (int64_t)json_array_size(json_object_get(a.result, "entries"));
	CHECK(n > 100 && n <= 1000);
	/* "." and ".." are read, too */
	CHECK(n + worker_result_int(&a, "left_out") >= 19998 &&
		n + worker_result_int(&a, "left_out") <= 20000);
	worker_answer_clear(&a);
}

TEST(mkfs_makes_a_clean_file_system)
{
	static const char *const sizes[] = {"16777216", "67108864", "10737418240"};
	char rq[200];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int fd = worker_file("fs");
		struct worker_answer a;

		snprintf(rq, sizeof(rq),
			"{\"job\":\"mkfs\",\"size\":%s,\"label\":\"work\",\"root_mode\":448}",
			sizes[i]);
		a = worker_run(rq, &fd, 1);
		CHECK(a.result);
		worker_answer_clear(&a);
		CHECK_INT(size_of("fs"), strtoll(sizes[i], NULL, 10));
		worker_fsck("fs");
		close(fd);
	}
}

TEST(copy_keeps_data_and_holes)
{
	int fds[2] = {worker_file("a"), worker_file("b")};
	char buf[8192], back[8192];
	struct worker_answer a;
	struct stat st;

	memset(buf, 'z', sizeof(buf));
	CHECK(pwrite(fds[0], buf, sizeof(buf), 100 << 20) == (ssize_t)sizeof(buf));
	CHECK_INT(ftruncate(fds[0], 200 << 20), 0);
	a = worker_run("{\"job\":\"copy\",\"size\":314572800}", fds, 2);
	CHECK(worker_result_int(&a, "bytes") <= (200 << 20));
	worker_answer_clear(&a);
	CHECK(pread(fds[1], back, sizeof(back), 100 << 20) == (ssize_t)sizeof(back));
	CHECK(memcmp(buf, back, sizeof(buf)) == 0);
	CHECK_INT(fstat(fds[1], &st), 0);
	CHECK_INT(st.st_size, 300 << 20);
	CHECK(st.st_blocks * 512 < (4 << 20));
	a = worker_run("{\"job\":\"copy\",\"size\":1048576}", fds, 2);
	worker_expect_error(&a, "worker.failed", "smaller than its source");
}

static const char *digest_of(const struct worker_answer *a, size_t i)
{
	return json_string_value(json_array_get(json_object_get(a->result, "digests"), i));
}

TEST(digest_goes_by_content)
{
	int fds[4] = {worker_file("dense"), worker_file("sparse"), worker_file("longer"),
		worker_file("other")};
	struct worker_answer a;
	_free_ char *zeros = calloc(1, 1 << 20);
	int pipe_fds[2];

	/* Two MiB of zeros, once written and once left out, and a word behind them. */
	CHECK(pwrite(fds[0], zeros, 1 << 20, 0) == 1 << 20);
	CHECK(pwrite(fds[0], zeros, 1 << 20, 1 << 20) == 1 << 20);
	for (size_t i = 0; i < 3; i++)
		CHECK(pwrite(fds[i], "word", 4, 2 << 20) == 4);
	CHECK_INT(ftruncate(fds[2], (2 << 20) + 5), 0);
	CHECK(pwrite(fds[3], "worD", 4, 2 << 20) == 4);
	a = worker_run("{\"job\":\"digest\"}", fds, 4);
	CHECK(a.result);
	CHECK_INT(strlen(digest_of(&a, 0)), 64);
	CHECK_STR(digest_of(&a, 0), digest_of(&a, 1));
	for (size_t i = 2; i < 4; i++)
		CHECK(strcmp(digest_of(&a, 0), digest_of(&a, i)) != 0);
	CHECK(strcmp(digest_of(&a, 2), digest_of(&a, 3)) != 0);
	worker_answer_clear(&a);
	CHECK_INT(pipe(pipe_fds), 0);
	a = worker_run("{\"job\":\"digest\"}", pipe_fds, 1);
	worker_expect_error(&a, "worker.failed", "file 1 is not a plain file");
}

/* A small root file system with a bit of everything. */
static void fill(int fd, int filter)
{
	struct archive *a = tar_begin(fd, filter);
	char deep[600] = "long";

	for (int i = 0; i < 9; i++)
		strcat(deep, "/a-component-that-takes-fifty-bytes-of-a-path-name");
	tar_add(a, "./", AE_IFDIR, 0755, NULL);
	tar_link(a, "sbin", "usr/sbin", 0);
	tar_add(a, "usr/sbin/", AE_IFDIR, 0755, NULL);
	tar_add(a, "usr/sbin/sshd", AE_IFREG, 0755, "elf");
	tar_link(a, "usr/sbin/init", "../lib/systemd/systemd", 0);
	tar_add(a, "usr/lib/systemd/systemd", AE_IFREG, 0755, "elf");
	tar_add(a, "usr/lib/os-release", AE_IFREG, 0644,
		"ID=test\nPRETTY_NAME=\"A \\\"Test\\\" 1\"\nX=y\n");
	tar_link(a, "etc/os-release", "../usr/lib/os-release", 0);
	tar_add(a, "root/", AE_IFDIR, 0700, NULL);
	tar_add(a, "root/.bashrc", AE_IFREG, 0600, "alias");
	tar_link(a, "root/.profile", "root/.bashrc", 1);
	tar_link(a, "usr/sbin/sshd2", "./usr/sbin/sshd", 1);
	tar_add(a, deep, AE_IFREG, 0644, "deep");
	tar_add(a, "h\xc3\xa9", AE_IFREG, 0644, "utf-8");
	tar_end(a, fd);
}

static struct worker_answer unpack(int tar, const char *params)
{
	int fds[3] = {tar, worker_file("root"), worker_file("seed")};
	char rq[300];
	struct worker_answer a;

	snprintf(rq, sizeof(rq), "{\"job\":\"unpack\"%s}", params);
	a = worker_run(rq, fds, 3);
	close(fds[1]);
	close(fds[2]);
	return a;
}

/* What is equal can be kept once: nothing of chance or of the moment gets into a file system. */
TEST(the_same_content_makes_the_same_bytes)
{
	int tar = worker_file("tar"), fds[4];
	struct worker_answer a;

	fill(tar, ARCHIVE_FILTER_NONE);
	for (int i = 0; i < 2; i++) {
		fds[2 * i] = worker_file(i ? "root2" : "root1");
		fds[2 * i + 1] = worker_file(i ? "seed2" : "seed1");
		CHECK_INT(lseek(tar, 0, SEEK_SET), 0);
		a = worker_run("{\"job\":\"unpack\"}", (int[]){tar, fds[2 * i], fds[2 * i + 1]}, 3);
		CHECK(a.result);
		worker_answer_clear(&a);
	}
	a = worker_run("{\"job\":\"digest\"}", fds, 4);
	CHECK(a.result);
	CHECK_STR(digest_of(&a, 0), digest_of(&a, 2));
	CHECK_STR(digest_of(&a, 1), digest_of(&a, 3));
	CHECK(strcmp(digest_of(&a, 0), digest_of(&a, 1)) != 0);
	worker_answer_clear(&a);
}

TEST(unpack_every_compression)
{
	static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ,
		ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_LZ4};

	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		int fd = worker_file("tar");
		struct worker_answer a;
		const char *name = NULL;

		fill(fd, filters[i]);
		a = unpack(fd, "");
		CHECK_INT(worker_result_int(&a, "size"), size_of("root"));
		CHECK_INT(worker_result_int(&a, "entries"), 14);
		CHECK(result_bool(&a, "has_sshd"));
		CHECK(result_bool(&a, "has_init"));
		bg_json_get_str(json_object_get(a.result, "os_release"), "PRETTY_NAME", &name);
		CHECK_STR(name, "A \"Test\" 1");
		worker_fsck("root");
		worker_fsck("seed");
		worker_answer_clear(&a);
		close(fd);
	}
}

TEST(unpack_sizes)
{
	int fd = worker_file("tar");
	struct worker_answer a;

	fill(fd, ARCHIVE_FILTER_NONE);
	a = unpack(fd, ",\"size\":1073741824,\"seed_size\":134217728");
	CHECK_INT(worker_result_int(&a, "size"), 1 << 30);
	CHECK_INT(size_of("root"), 1 << 30);
	CHECK_INT(size_of("seed"), 128 << 20);
	worker_answer_clear(&a);
	worker_fsck("root");
}

TEST(unpack_refuses_what_does_not_fit)
{
	int fd = worker_file("tar");
	_free_ char *data = malloc(30 << 20);
	struct archive *t = tar_begin(fd, ARCHIVE_FILTER_ZSTD);
	struct worker_answer a;

	memset(data, 'x', (30 << 20) - 1);
	data[(30 << 20) - 1] = '\0';
	tar_add(t, "bomb", AE_IFREG, 0644, data);
	tar_end(t, fd);
	a = unpack(fd, ",\"size\":16777216");
	worker_expect_error(&a, "image.invalid", "/bomb is where it ended");
}

static void expect_refused(void (*build)(struct archive *t), const char *words)
{
	int fd = worker_file("tar");
	struct archive *t = tar_begin(fd, ARCHIVE_FILTER_NONE);
	struct worker_answer a;

	build(t);
	tar_end(t, fd);
	a = unpack(fd, "");
	worker_expect_error(&a, "image.invalid", words);
	close(fd);
}

static void dotdot(struct archive *t)
{
	tar_add(t, "a/../../etc/passwd", AE_IFREG, 0644, "x");
}

static void root_is_file(struct archive *t)
{
	tar_add(t, "root", AE_IFREG, 0644, "x");
}

static void lost_link(struct archive *t)
{
	tar_link(t, "a", "b", 1);
}

static void through_file(struct archive *t)
{
	tar_add(t, "f", AE_IFREG, 0644, "x");
	tar_add(t, "f/g", AE_IFREG, 0644, "x");
}

static void dir_replaced(struct archive *t)
{
	tar_add(t, "d/f", AE_IFREG, 0644, "x");
	tar_link(t, "d", "elsewhere", 0);
}

static void nothing(struct archive *t)
{
	(void)t;
}

TEST(unpack_hostile_names)
{
	expect_refused(dotdot, "\"..\" in its name");
	expect_refused(root_is_file, "/root is not a directory");
	expect_refused(lost_link, "not in the archive");
	expect_refused(through_file, "is not a directory");
	expect_refused(dir_replaced, "replaces a directory");
	expect_refused(nothing, "empty");
}

TEST(unpack_contains_links_and_absolute_names)
{
	int fd = worker_file("tar");
	struct archive *t = tar_begin(fd, ARCHIVE_FILTER_NONE);
	_free_ char *in_archive = NULL, *outside = NULL; /* of a name that nobody else has there */
	struct worker_answer a;

	CHECK(asprintf(&outside, "/tmp/owned-%d", (int)getpid()) > 0);
	CHECK(asprintf(&in_archive, "out/owned-%d", (int)getpid()) > 0);
	tar_link(t, "out", "../../../../tmp", 0);
	tar_add(t, in_archive, AE_IFREG, 0644, "x");
	tar_add(t, "/abs/file", AE_IFREG, 0644, "x");
	tar_add(t, "abs/file", AE_IFREG, 0644, "again");
	tar_end(t, fd);
	a = unpack(fd, "");
	CHECK_INT(worker_result_int(&a, "entries"), 4);
	worker_answer_clear(&a);
	worker_fsck("root");
	CHECK(access(outside, F_OK) < 0);
}

TEST(unpack_damaged_archives)
{
	int fd = worker_file("tar");
	struct worker_answer a;
	off_t size;

	fill(fd, ARCHIVE_FILTER_XZ);
	size = size_of("tar");
	CHECK_INT(ftruncate(fd, size / 2), 0);
	a = unpack(fd, "");
	worker_expect_error(&a, "image.invalid", "damaged archive");
	CHECK_INT(ftruncate(fd, 0), 0);
	CHECK(pwrite(fd, "this is no archive at all", 25, 0) == 25);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	a = unpack(fd, "");
	worker_expect_error(&a, "image.invalid", "damaged archive");
}

TEST(closing_the_socket_ends_a_worker_that_waits)
{
	int fds[3], tar[2];
	const char rq[] = "{\"job\":\"unpack\"}";
	struct worker w;
	int status = 0;

	CHECK_INT(pipe2(tar, O_CLOEXEC), 0);
	fds[0] = tar[0];
	fds[1] = worker_file("root");
	fds[2] = worker_file("seed");
	worker_start(&w, rq, sizeof(rq) - 1, fds, 3);
	/* The images are started before the first read: then it waits for the pipe. */
	while (size_of("seed") == 0)
		poll(NULL, 0, 5);
	close(w.sock);
	CHECK(waitpid(w.pid, &status, 0) == w.pid); /* the test's alarm bounds this */
	CHECK(WIFEXITED(status));
}

TEST(a_full_disk_is_told_as_such)
{
	int fds[3] = {worker_file("tar")};
	_free_ char *data = malloc(8 << 20);
	char dir[300];
	struct archive *t = tar_begin(fds[0], ARCHIVE_FILTER_NONE);
	struct worker_answer a;

	memset(data, 'x', (8 << 20) - 1);
	data[(8 << 20) - 1] = '\0';
	tar_add(t, "file", AE_IFREG, 0644, data);
	tar_end(t, fds[0]);
	snprintf(dir, sizeof(dir), "%s", worker_path("small"));
	CHECK_INT(mkdir(dir, 0700), 0);
	if (mount("none", dir, "tmpfs", 0, "size=4m") < 0)
		test_skip("cannot mount a tmpfs: %s", strerror(errno));
	fds[1] = worker_file("small/root");
	fds[2] = worker_file("small/seed");
	a = worker_run("{\"job\":\"unpack\"}", fds, 3);
	close(fds[1]);
	close(fds[2]);
	CHECK_INT(umount2(dir, MNT_DETACH), 0);
	worker_expect_error(&a, "disk.full", "write /file: No space left on device");
}

TEST(a_large_archive_needs_little_memory)
{
	int fd = worker_file("tar");
	_free_ char *data = malloc(1 << 20);
	struct archive *t = tar_begin(fd, ARCHIVE_FILTER_NONE);
	struct worker_answer a;
	struct rusage ru;
	char name[64];

	memset(data, 'x', (1 << 20) - 1);
	data[(1 << 20) - 1] = '\0';
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		tar_add(t, name, AE_IFREG, 0644, data);
	}
	tar_end(t, fd);
	a = unpack(fd, "");
	CHECK_INT(worker_result_int(&a, "entries"), 200);
	CHECK(a.progress < 100);
	worker_answer_clear(&a);
	CHECK_INT(getrusage(RUSAGE_CHILDREN, &ru), 0);
#if !defined(__SANITIZE_ADDRESS__)
	CHECK(ru.ru_maxrss < 64 * 1024);
#endif
}

/* A tree with one file, of a guest that says what it likes; the answer of a worker that was asked
 * for "log". */
static struct worker_answer receive(const char *name, unsigned mode)
{
	int fds[2] = {worker_file("tar")};
	struct archive *t = tar_begin(fds[0], ARCHIVE_FILTER_NONE);
	struct worker_answer a;

	tar_add(t, name, AE_IFREG, mode, "text");
	tar_end(t, fds[0]);
	(void)mkdir(worker_path("to"), 0700);
	fds[1] = open(worker_path("to"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	a = worker_run("{\"job\":\"receive\",\"top\":\"6c6f67\",\"umask\":18}", fds, 2);
	close(fds[0]);
	close(fds[1]);
	return a;
}

TEST(what_a_guest_sends_gets_the_name_that_was_asked_for)
{
	struct worker_answer a = receive(".bashrc", 04777);
	struct stat st;

	CHECK_INT(worker_result_int(&a, "left_out"), 0);
	worker_answer_clear(&a);
	CHECK_INT(stat(worker_path("to/log"), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK(access(worker_path("to/.bashrc"), F_OK) < 0);
	a = receive("x/../../out", 0644);
	worker_expect_error(&a, "io", "\"..\"");
}

TEST(a_name_to_receive_is_one)
{
	static const char *const names[] = {"2e2e", "2e", "612f62", "6100", "6", "zz", "4A"};
	int fds[2] = {worker_file("tar"), open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	char request[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct worker_answer a;

		snprintf(request, sizeof(request),
			"{\"job\":\"receive\",\"top\":\"%s\",\"umask\":0}", names[i]);
		a = worker_run(request, fds, 2);
		worker_expect_error(&a, "worker.failed", "not a file name");
	}
	close(fds[1]);
}
