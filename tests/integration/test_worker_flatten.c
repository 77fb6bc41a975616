/* SPDX-License-Identifier: ISC */
/* The flatten job of the real banger-worker: layers on layers, good ones and hostile ones. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/limits.h"
#include "tests/integration/archives.h"
#include "tests/integration/worker_client.h"
#include "tests/lib/test.h"

#define LAYERS_MAX (BG_LAYERS_MAX + 1)

typedef void (*build_fn)(struct archive *t);

static int layer_fds[2 + LAYERS_MAX];
static size_t n_layers;

static void begin(void)
{
	for (size_t i = 0; i < n_layers; i++)
		close(layer_fds[2 + i]);
	n_layers = 0;
}

static int add_layer(build_fn build, int filter)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "layer%zu", n_layers);
	fd = worker_file(name);
	if (build) {
		struct archive *t = tar_begin(fd, filter);

		build(t);
		tar_end(t, fd);
	}
	layer_fds[2 + n_layers++] = fd;
	return fd;
}

static struct worker_answer flatten(const char *params)
{
	_json_ json_t *names = json_array();
	_free_ char *list = NULL, *rq = NULL;
	struct worker_answer a;

	for (size_t i = 0; i < n_layers; i++)
		json_array_append_new(names, json_sprintf("sha256:%zu", i));
	list = json_dumps(names, 0);
	CHECK(asprintf(&rq, "{\"job\":\"flatten\",\"layers\":%s%s}", list, params) > 0);
	layer_fds[0] = worker_file("root");
	layer_fds[1] = worker_file("seed");
	a = worker_run(rq, layer_fds, 2 + n_layers);
	close(layer_fds[0]);
	close(layer_fds[1]);
	return a;
}

static void flatten_well(void)
{
	struct worker_answer a = flatten("");
	struct stat st;

	CHECK_INT(stat(worker_path("root"), &st), 0);
	CHECK_INT(worker_result_int(&a, "size"), st.st_size);
	worker_answer_clear(&a);
	worker_fsck("root");
	worker_fsck("seed");
}

/* What debugfs says to this request, in a buffer that the next call reuses. */
static const char *debugfs(const char *image, const char *request)
{
	static char out[64 * 1024];
	char cmd[1024];
	size_t n;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "PATH=/usr/sbin:/sbin:$PATH debugfs -R '%s' %s 2>&1", request,
		worker_path(image));
	f = popen(cmd, "r");
	CHECK(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	pclose(f);
	return out;
}

static bool there(const char *image, const char *path)
{
	char rq[600];

	snprintf(rq, sizeof(rq), "stat \"%s\"", path);
	return strstr(debugfs(image, rq), "Inode:") != NULL;
}

/* The file's text must be this; NULL: there must be no such name. */
static void expect_file(const char *image, const char *path, const char *text)
{
	char rq[600];
	const char *got;

	if (!text) {
		if (there(image, path))
			test_fail(__FILE__, __LINE__, "%s is in the %s", path, image);
		return;
	}
	snprintf(rq, sizeof(rq), "cat \"%s\"", path);
	got = strchr(debugfs(image, rq), '\n'); /* its version comes first */
	CHECK_STR(got ? got + 1 : "", text);
}

static void base(struct archive *t)
{
	tar_add(t, "./", AE_IFDIR, 0755, NULL);
	tar_add(t, "etc/os-release", AE_IFREG, 0644, "PRETTY_NAME=Old\n");
	tar_add(t, "etc/gone", AE_IFREG, 0644, "gone");
	tar_add(t, "etc/changed", AE_IFREG, 0644, "one");
	tar_link(t, "etc/kept", "etc/changed", 1);
	tar_add(t, "dir/", AE_IFDIR, 0700, NULL);
	tar_add(t, "dir/a", AE_IFREG, 0644, "lower a");
	tar_add(t, "dir/sub/b", AE_IFREG, 0644, "lower b");
	tar_add(t, "tree/x/y/z", AE_IFREG, 0644, "z");
	tar_add(t, "became-file/x/y", AE_IFREG, 0644, "y");
	tar_add(t, "usr/lib/a", AE_IFREG, 0644, "lib");
	tar_link(t, "lib", "usr/lib", 0);
	tar_add(t, "root/old", AE_IFREG, 0600, "old");
	tar_add(t, "root/cache", AE_IFREG, 0600, "cached");
}

static void upper(struct archive *t)
{
	tar_add(t, "dir/new", AE_IFREG, 0644, "upper");
	tar_add(t, "dir/.wh..wh..opq", AE_IFREG, 0, NULL);
	tar_add(t, "dir/sub/c", AE_IFREG, 0644, "upper c");
	tar_add(t, "etc/.wh.gone", AE_IFREG, 0, NULL);
	tar_add(t, "etc/.wh.never-was", AE_IFREG, 0, NULL);
	tar_add(t, "no/such/.wh.dir", AE_IFREG, 0, NULL);
	tar_add(t, "etc/changed", AE_IFREG, 0644, "two");
	tar_link(t, "etc/linked", "etc/kept", 1);
	tar_add(t, "etc/os-release", AE_IFREG, 0644, "PRETTY_NAME='New one'\n");
	tar_add(t, ".wh.tree", AE_IFREG, 0, NULL);
	tar_add(t, "became-file", AE_IFREG, 0644, "file");
	tar_add(t, "lib/.wh.a", AE_IFREG, 0, NULL);
	tar_add(t, "lib/b", AE_IFREG, 0644, "through");
	tar_add(t, "root/.wh.old", AE_IFREG, 0, NULL);
	tar_link(t, "usr/cached", "root/cache", 1);
	tar_add(t, "etc/both", AE_IFREG, 0644, "both");
	tar_add(t, "etc/.wh.both", AE_IFREG, 0, NULL);
	tar_add(t, ".wh..wh.plnk/1.2", AE_IFREG, 0644, "aufs");
	tar_add(t, ".wh..wh.aufs", AE_IFREG, 0644, NULL);
}

TEST(layers_replace_and_remove)
{
	struct worker_answer a;
	const char *name = NULL;

	begin();
	add_layer(base, ARCHIVE_FILTER_GZIP);
	add_layer(upper, ARCHIVE_FILTER_ZSTD);
	a = flatten("");
	CHECK_INT(worker_result_int(&a, "entries"), 23);
	bg_json_get_str(json_object_get(a.result, "os_release"), "PRETTY_NAME", &name);
	CHECK_STR(name, "New one");
	worker_answer_clear(&a);
	worker_fsck("root");
	worker_fsck("seed");
	expect_file("root", "/etc/gone", NULL);
	expect_file("root", "/etc/changed", "two");
	expect_file("root", "/etc/kept", "one");
	expect_file("root", "/etc/linked", "one");
	expect_file("root", "/etc/both", "both");
	expect_file("root", "/dir/a", NULL);
	expect_file("root", "/dir/new", "upper");
	expect_file("root", "/dir/sub/b", NULL);
	expect_file("root", "/dir/sub/c", "upper c");
	expect_file("root", "/tree", NULL);
	expect_file("root", "/no", NULL);
	expect_file("root", "/became-file", "file");
	expect_file("root", "/usr/lib/a", NULL);
	expect_file("root", "/usr/lib/b", "through");
	expect_file("root", "/usr/cached", "cached");
	expect_file("root", "/.wh..wh.plnk", NULL);
	expect_file("root", "/etc/.wh.gone", NULL);
	expect_file("seed", "/old", NULL);
	expect_file("seed", "/cache", "cached");
	CHECK(there("root", "/root"));
}

static void all_gone(struct archive *t)
{
	tar_add(t, "only", AE_IFREG, 0644, "only");
	tar_add(t, ".wh..wh..opq", AE_IFREG, 0, NULL);
}

static void root_gone(struct archive *t)
{
	tar_add(t, ".wh.root", AE_IFREG, 0, NULL);
}

static void links_across(struct archive *t)
{
	tar_add(t, "root/data/a", AE_IFREG, 0644, "a");
	tar_link(t, "data", "root/data", 0);
	tar_link(t, "root/up", "..", 0);
	tar_link(t, "root/opt", "/opt", 0);
	tar_link(t, "root/self", "/root/data", 0);
	tar_link(t, "var/lib", "../data", 0);
	tar_add(t, "opt/", AE_IFDIR, 0755, NULL);
}

static void entries_across(struct archive *t)
{
	tar_add(t, "data/in", AE_IFREG, 0644, "in");
	tar_add(t, "root/up/opt/out", AE_IFREG, 0644, "out");
	tar_add(t, "root/opt/absolute", AE_IFREG, 0644, "absolute");
	tar_add(t, "root/self/self", AE_IFREG, 0644, "self");
	tar_add(t, "var/lib/two", AE_IFREG, 0644, "two");
	tar_add(t, "root/up/root/up/root/both", AE_IFREG, 0644, "both");
	tar_link(t, "hard", "data/in", 1);
	tar_link(t, "root/hard", "root/up/opt/out", 1);
	tar_link(t, "data/again", "root/data/in", 1);
	tar_add(t, "data/.wh.a", AE_IFREG, 0, NULL);
}

/* As the guest sees it, where /root is another file system. */
TEST(links_lead_over_both_file_systems)
{
	begin();
	add_layer(links_across, ARCHIVE_FILTER_GZIP);
	add_layer(entries_across, ARCHIVE_FILTER_GZIP);
	flatten_well();
	expect_file("seed", "/data/in", "in");
	expect_file("seed", "/data/again", "in");
	expect_file("seed", "/data/self", "self");
	expect_file("seed", "/data/two", "two");
	expect_file("seed", "/data/a", NULL);
	expect_file("seed", "/both", "both");
	expect_file("seed", "/hard", "out");
	expect_file("root", "/opt/out", "out");
	expect_file("root", "/opt/absolute", "absolute");
	expect_file("root", "/hard", "in");
	CHECK_STR(strstr(debugfs("root", "ls -p /root"), "/1007") ? "hidden" : "", "");
	CHECK(!there("root", "/root/data"));
}

static void home_behind_link(struct archive *t)
{
	tar_add(t, "var/roothome/", AE_IFDIR, 0700, NULL);
	tar_add(t, "var/roothome/.profile", AE_IFREG, 0600, "profile");
	tar_link(t, "var/roothome/second", "var/roothome/.profile", 1);
	tar_link(t, "var/outside", "var/roothome/.profile", 1);
	tar_link(t, "root", "var/roothome", 0);
	tar_link(t, "var/roothome/soft", ".profile", 0);
}

static void more_of_home(struct archive *t)
{
	tar_add(t, "root/dir/new", AE_IFREG, 0644, "new");
}

/* Systems of the ostree kind: the work disk comes where the link leads. */
TEST(root_may_be_a_link)
{
	begin();
	add_layer(home_behind_link, ARCHIVE_FILTER_GZIP);
	add_layer(more_of_home, ARCHIVE_FILTER_GZIP);
	flatten_well();
	expect_file("seed", "/.profile", "profile");
	expect_file("seed", "/second", "profile");
	CHECK(strstr(debugfs("seed", "stat /second"), "Links: 2"));
	CHECK(strstr(debugfs("seed", "stat /"), "Mode:  0700"));
	CHECK(strstr(debugfs("seed", "stat /soft"), "Type: symlink"));
	expect_file("seed", "/dir/new", "new");
	expect_file("root", "/var/outside", "profile");
	CHECK(strstr(debugfs("root", "stat /root"), "Type: symlink"));
	CHECK(strstr(debugfs("root", "stat /var/roothome"), "Type: directory"));
	CHECK(!there("root", "/var/roothome/.profile"));
}

static void link_to_nothing(struct archive *t)
{
	tar_link(t, "root", "/var/roothome", 0);
}

static void home_again(struct archive *t)
{
	tar_add(t, ".wh.root", AE_IFREG, 0, NULL);
}

static void plain_home(struct archive *t)
{
	tar_add(t, "root/", AE_IFDIR, 0710, NULL);
	tar_add(t, "root/f", AE_IFREG, 0644, "f");
}

TEST(root_changes_between_link_and_directory)
{
	begin();
	add_layer(base, ARCHIVE_FILTER_GZIP);
	add_layer(link_to_nothing, ARCHIVE_FILTER_GZIP);
	flatten_well();
	CHECK(strstr(debugfs("root", "stat /var/roothome"), "Mode:  0700"));
	CHECK(!there("seed", "/old"));
	add_layer(home_again, ARCHIVE_FILTER_GZIP);
	flatten_well();
	CHECK(strstr(debugfs("root", "stat /root"), "Type: directory"));
	add_layer(plain_home, ARCHIVE_FILTER_GZIP);
	flatten_well();
	expect_file("seed", "/f", "f");
	CHECK(strstr(debugfs("seed", "stat /"), "Mode:  0710"));
	CHECK(strstr(debugfs("root", "stat /root"), "Mode:  0710"));
	begin();
	add_layer(link_to_nothing, ARCHIVE_FILTER_GZIP);
	add_layer(plain_home, ARCHIVE_FILTER_GZIP);
	flatten_well();
	/* A directory replaces a link. */
	expect_file("seed", "/f", "f");
	CHECK(strstr(debugfs("root", "stat /root"), "Type: directory"));
}

static void files_and_links(struct archive *t)
{
	tar_add(t, "file", AE_IFREG, 0644, "x");
	tar_add(t, "target/keep", AE_IFREG, 0644, "keep");
	tar_add(t, "target/sub/keep", AE_IFREG, 0644, "keep");
	tar_link(t, "link", "target", 0);
	tar_link(t, "to-file", "file", 0);
	tar_link(t, "loop", "loop", 0);
	tar_add(t, "root/file", AE_IFREG, 0644, "x");
}

static void below_them(struct archive *t)
{
	tar_add(t, "file/a/b", AE_IFREG, 0644, "b");
	tar_add(t, "to-file/c", AE_IFREG, 0644, "c");
	tar_add(t, "loop/d", AE_IFREG, 0644, "d");
	tar_add(t, "root/file/e", AE_IFREG, 0644, "e");
	tar_add(t, "link/.wh..wh..opq", AE_IFREG, 0, NULL);
	tar_add(t, "link/sub/.wh..wh..opq", AE_IFREG, 0, NULL);
	tar_add(t, "link/new", AE_IFREG, 0644, "new");
}

TEST(names_below_a_file_and_markers_through_a_link)
{
	begin();
	add_layer(files_and_links, ARCHIVE_FILTER_GZIP);
	add_layer(below_them, ARCHIVE_FILTER_GZIP);
	flatten_well();
	expect_file("root", "/file/a/b", "b");
	expect_file("root", "/to-file/c", "c");
	expect_file("root", "/loop/d", "d");
	expect_file("seed", "/file/e", "e");
	expect_file("root", "/target/keep", "keep");
	expect_file("root", "/target/sub/keep", "keep");
	expect_file("root", "/target/new", "new");
}

/* owner, group; then device numbers, of a device when there are any. */
static void add_numbers(struct archive *t, int64_t uid, int64_t gid, unsigned major, unsigned minor)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, "etc/odd");
	archive_entry_set_filetype(e, major || minor ? AE_IFCHR : AE_IFREG);
	archive_entry_set_uid(e, uid);
	archive_entry_set_gid(e, gid);
	archive_entry_set_rdevmajor(e, major);
	archive_entry_set_rdevminor(e, minor);
	CHECK_INT(archive_write_header(t, e), 0);
	archive_entry_free(e);
}

static void largest_numbers(struct archive *t)
{
	add_numbers(t, UINT32_MAX, UINT32_MAX, 4095, (1u << 20) - 1);
}

TEST(a_layer_may_be_of_no_bytes)
{
	begin();
	add_layer(base, ARCHIVE_FILTER_GZIP);
	add_layer(NULL, 0);
	add_layer(largest_numbers, ARCHIVE_FILTER_NONE);
	flatten_well();
	expect_file("root", "/etc/changed", "one");
	CHECK(strstr(debugfs("root", "stat /etc/odd"), "4095:1048575"));
}

TEST(an_opaque_root_leaves_one_layer)
{
	begin();
	add_layer(base, ARCHIVE_FILTER_NONE);
	add_layer(all_gone, ARCHIVE_FILTER_NONE);
	flatten_well();
	expect_file("root", "/only", "only");
	expect_file("root", "/etc", NULL);
	expect_file("seed", "/old", NULL);
	CHECK(there("root", "/root"));
	begin();
	add_layer(base, ARCHIVE_FILTER_NONE);
	add_layer(root_gone, ARCHIVE_FILTER_NONE);
	flatten_well();
	expect_file("seed", "/old", NULL);
	expect_file("root", "/etc/gone", "gone");
	CHECK(there("root", "/root"));
}

static char *megabytes(size_t n, char c)
{
	char *p = malloc((n << 20) + 1);

	CHECK(p);
	memset(p, c, n << 20);
	p[n << 20] = '\0';
	return p;
}

static void large(struct archive *t)
{
	_free_ char *data = megabytes(40, 'x');

	tar_add(t, "a", AE_IFREG, 0644, data);
	tar_add(t, "b", AE_IFREG, 0644, data);
}

static void large_gone(struct archive *t)
{
	_free_ char *data = megabytes(10, 'y');

	tar_add(t, ".wh.a", AE_IFREG, 0, NULL);
	tar_add(t, "b", AE_IFREG, 0644, data);
}

/* Bytes of the file that are 'x'. */
static size_t stale(const char *name)
{
	int fd = open(worker_path(name), O_RDONLY | O_CLOEXEC);
	static char buf[1 << 20];
	size_t count = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i + 64 <= n; i += 64)
			count += memcmp(buf + i, "xxxxxxxxxxxxxxxx", 16) == 0 ? 64 : 0;
	close(fd);
	return count;
}

TEST(removed_files_leave_no_bytes_and_no_room)
{
	struct stat st;

	begin();
	add_layer(large, ARCHIVE_FILTER_GZIP);
	add_layer(large_gone, ARCHIVE_FILTER_GZIP);
	flatten_well();
	CHECK_INT(stale("root"), 0);
	CHECK_INT(stat(worker_path("root"), &st), 0);
	CHECK(st.st_blocks * 512 < 20 << 20);
}

static void one_file(struct archive *t)
{
	static int n;
	char name[32];

	snprintf(name, sizeof(name), "f/%d", n++);
	tar_add(t, name, AE_IFREG, 0644, name);
	tar_add(t, "same", AE_IFREG, 0644, name);
}

TEST(as_many_layers_as_there_may_be)
{
	begin();
	for (int i = 0; i < BG_LAYERS_MAX; i++)
		add_layer(one_file, i % 2 ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_ZSTD);
	flatten_well();
	expect_file("root", "/same", "f/127");
	expect_file("root", "/f/0", "f/0");
	expect_file("root", "/f/127", "f/127");
}

static void empty(struct archive *t)
{
	(void)t;
}

TEST(the_same_layer_may_come_twice)
{
	begin();
	add_layer(base, ARCHIVE_FILTER_GZIP);
	layer_fds[2 + n_layers++] = dup(layer_fds[2]);
	add_layer(empty, ARCHIVE_FILTER_GZIP);
	flatten_well();
	expect_file("root", "/etc/gone", "gone");
}

TEST(wrong_requests)
{
	struct worker_answer a;
	int fds[3] = {worker_file("root"), worker_file("seed"), worker_file("layer")}, tube[2];

	a = worker_run("{\"job\":\"flatten\",\"layers\":[]}", fds, 2);
	worker_expect_error(&a, "worker.failed", "is not a list");
	a = worker_run("{\"job\":\"flatten\",\"layers\":[\"a\",\"b\"]}", fds, 3);
	worker_expect_error(&a, "worker.failed", "is not a list");
	a = worker_run("{\"job\":\"flatten\",\"layers\":[7]}", fds, 3);
	worker_expect_error(&a, "worker.failed", "is not a string");
	a = worker_run("{\"job\":\"flatten\",\"layers\":[\"a\"],\"max_unpacked\":0}", fds, 3);
	worker_expect_error(&a, "worker.failed", "\"max_unpacked\"");
	a = worker_run("{\"job\":\"flatten\",\"layers\":[\"a\"]}", fds, 1);
	worker_expect_error(&a, "worker.failed", "descriptors");
	CHECK_INT(pipe2(tube, O_CLOEXEC), 0);
	fds[2] = tube[0];
	a = worker_run("{\"job\":\"flatten\",\"layers\":[\"a\"]}", fds, 3);
	worker_expect_error(&a, "worker.failed", "is not a plain file");
}

static void expect_refused(build_fn second, const char *words)
{
	struct worker_answer a;

	begin();
	add_layer(base, ARCHIVE_FILTER_GZIP);
	add_layer(second, ARCHIVE_FILTER_GZIP);
	a = flatten(",\"max_unpacked\":67108864");
	worker_expect_error(&a, "image.invalid", words);
}

static void wh_nothing(struct archive *t)
{
	tar_add(t, "etc/.wh.", AE_IFREG, 0, NULL);
}

static void wh_self(struct archive *t)
{
	tar_add(t, "etc/.wh..", AE_IFREG, 0, NULL);
}

static void wh_parent(struct archive *t)
{
	tar_add(t, "etc/.wh...", AE_IFREG, 0, NULL);
}

static void wh_outside(struct archive *t)
{
	tar_add(t, "../../.wh.tmp", AE_IFREG, 0, NULL);
}

static void dotdot(struct archive *t)
{
	tar_add(t, "a/../../etc/passwd", AE_IFREG, 0644, "x");
}

static void root_is_file(struct archive *t)
{
	tar_add(t, "root", AE_IFREG, 0644, "x");
}

static void root_leads_to_file(struct archive *t)
{
	tar_link(t, "root", "etc/changed", 0);
}

static void root_leads_to_all(struct archive *t)
{
	tar_link(t, "root", "dir/..", 0);
}

static void root_leads_to_itself(struct archive *t)
{
	tar_link(t, "root", "root", 0);
}

static void removed_target(struct archive *t)
{
	tar_add(t, "etc/.wh.gone", AE_IFREG, 0, NULL);
	tar_link(t, "etc/again", "etc/gone", 1);
}

static void link_outside(struct archive *t)
{
	tar_link(t, "etc/shadow", "../../../etc/shadow", 1);
}

static void through_file(struct archive *t)
{
	tar_add(t, "etc/own", AE_IFREG, 0644, "x");
	tar_add(t, "etc/own/g", AE_IFREG, 0644, "x");
}

static void owner_of_33_bits(struct archive *t)
{
	add_numbers(t, 1LL << 32, 0, 0, 0);
}

static void group_of_33_bits(struct archive *t)
{
	add_numbers(t, 0, (1LL << 32) + 1000, 0, 0);
}

static void major_of_13_bits(struct archive *t)
{
	add_numbers(t, 0, 0, 4096, 1);
}

static void minor_of_21_bits(struct archive *t)
{
	add_numbers(t, 0, 0, 1, 1u << 20);
}

static void bomb(struct archive *t)
{
	static const char zero[1 << 20];
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, "bomb");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, 100LL << 20);
	CHECK_INT(archive_write_header(t, e), 0);
	for (int i = 0; i < 100; i++)
		CHECK(archive_write_data(t, zero, sizeof(zero)) == sizeof(zero));
	archive_entry_free(e);
}

/* The same behind a marker whose data nobody asks for. */
static void hidden_bomb(struct archive *t)
{
	_free_ char *data = megabytes(100, 'x');

	tar_add(t, "etc/.wh.x", AE_IFREG, 0, data);
}

/* Few bytes that ask for many: each link is a file of its own on the other disk. */
static void copy_bomb(struct archive *t)
{
	_free_ char *data = megabytes(10, 'x');
	char name[32];

	tar_add(t, "big", AE_IFREG, 0, data);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "root/%d", i);
		tar_link(t, name, "big", 1);
	}
}

TEST(hostile_layers)
{
	expect_refused(wh_nothing, "layer 2 of 2 (sha256:1): the whiteout");
	expect_refused(wh_self, "names no file");
	expect_refused(wh_parent, "names no file");
	expect_refused(wh_outside, "\"..\" in its name");
	expect_refused(dotdot, "\"..\" in its name");
	expect_refused(root_is_file, "/root is not a directory");
	expect_refused(root_leads_to_file, "/root is not a directory");
	expect_refused(root_leads_to_all, "/root leads to the whole file system");
	expect_refused(root_leads_to_itself, "symbolic links that lead nowhere");
	expect_refused(removed_target, "is a hard link to /etc/gone, which is not");
	expect_refused(link_outside, "\"..\" in its name");
	expect_refused(through_file, "is not a directory");
	expect_refused(owner_of_33_bits, "/etc/odd belongs to 4294967296:0");
	expect_refused(group_of_33_bits, "/etc/odd belongs to 0:4294968296");
	expect_refused(major_of_13_bits, "/etc/odd is a device whose numbers");
	expect_refused(minor_of_21_bits, "/etc/odd is a device whose numbers");
	expect_refused(bomb, "over 63 MiB without its compression");
	expect_refused(hidden_bomb, "over 63 MiB without its compression");
	expect_refused(copy_bomb, "without its compression");
}

TEST(every_layer_may_be_cut)
{
	for (int i = 0; i < 3; i++) {
		struct worker_answer a;
		struct stat st;
		char words[32];

		begin();
		add_layer(base, ARCHIVE_FILTER_NONE);
		add_layer(upper, ARCHIVE_FILTER_GZIP);
		add_layer(large, ARCHIVE_FILTER_ZSTD);
		CHECK_INT(fstat(layer_fds[2 + i], &st), 0);
		CHECK_INT(ftruncate(layer_fds[2 + i], st.st_size / 3 + 100), 0);
		snprintf(words, sizeof(words), "layer %d of 3 (sha256:%d): ", i + 1, i);
		a = flatten("");
		worker_expect_error(&a, "image.invalid", words);
	}
}
