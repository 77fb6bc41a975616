/* SPDX-License-Identifier: ISC */
/* Bundles through the real banger-worker: there and back with all holes, and every kind of bad one.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "tests/integration/archives.h"
#include "tests/integration/worker_client.h"
#include "tests/lib/test.h"

#define ROOTFS_SIZE (8LL << 30) /* nearly all of it holes */
#define SMALL	    8192

static const char *const out_names[] = {
	"o-rootfs", "o-seed", "o-kernel", "o-cpio", "o-tree", "o-initrd"};

static void expect_error(struct worker_answer *a, const char *code, const char *words)
{
	const char *message;

	CHECK(!a->result);
	CHECK(a->error);
	message = json_string_value(json_object_get(a->error, "message"));
	CHECK_STR(json_string_value(json_object_get(a->error, "code")), code);
	if (!strstr(message, words))
		test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", message, words);
	worker_answer_clear(a);
}

static void expect_result(const struct worker_answer *a)
{
	if (a->error)
		test_fail(__FILE__, __LINE__, "failed: %s",
			json_string_value(json_object_get(a->error, "message")));
	CHECK(a->result);
}

static struct worker_answer unpack_with(int bundle, const char *params)
{
	int fds[7] = {bundle};
	struct worker_answer a;
	char request[300];

	CHECK(lseek(bundle, 0, SEEK_SET) == 0);
	for (int i = 1; i < 7; i++)
		fds[i] = worker_file(out_names[i - 1]);
	snprintf(request, sizeof(request), "{\"job\":\"unpack_bundle\"%s}", params);
	a = worker_run(request, fds, 7);
	for (int i = 1; i < 7; i++)
		close(fds[i]);
	return a;
}

static struct worker_answer unpack(int bundle)
{
	return unpack_with(bundle, "");
}

static int file_with(const char *name, const void *p, size_t len, off_t at)
{
	int fd = worker_file(name);

	CHECK(pwrite(fd, p, len, at) == (ssize_t)len);
	return fd;
}

static int make_rootfs(off_t size)
{
	int fd = file_with("rootfs", "\x53\xef", 2, 1024 + 56);

	CHECK_INT(ftruncate(fd, size), 0);
	return fd;
}

static int make_kernel(void)
{
	Elf64_Ehdr eh = {.e_type = ET_EXEC, .e_machine = EM_X86_64};

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	return file_with("kernel", &eh, sizeof(eh), 0);
}

#define MANIFEST                                                                                   \
	"\"manifest\":{\"image\":{\"name\":\"x\",\"has_sshd\":true,\"os\":\"Debian\"},"            \
	"\"kernel\":{\"format\":\"elf\",\"release\":\"6.1.0-x\",\"modules\":3}}"

/* All six members; the initrd has data at both ends of a hole and odd offsets. */
static struct worker_answer pack_all(int bundle, off_t rootfs_size)
{
	int fds[7] = {bundle, make_rootfs(rootfs_size), file_with("seed", "seed", 4, 100000),
		make_kernel(), file_with("cpio", "070701", 6, 0), file_with("tree", "t", 1, 4095),
		file_with("initrd", "begin", 5, 0)};
	struct worker_answer a;

	CHECK(pwrite(fds[1], "data", 4, rootfs_size / 2 + 4094) == 4);
	CHECK(pwrite(fds[6], "end", 3, 1000001) == 3);
	a = worker_run(
		"{\"job\":\"pack_bundle\"," MANIFEST ",\"files\":[\"rootfs.ext4\","
		"\"work-seed.ext4\",\"kernel\",\"modules.cpio\",\"modules.ext4\",\"initrd\"]}",
		fds, 7);
	for (int i = 1; i < 7; i++)
		close(fds[i]);
	return a;
}

static void check_same(const char *from, const char *to)
{
	char cmd[1400];

	snprintf(cmd, sizeof(cmd),
		"cd %s && [ $(stat -c %%s %s) = $(stat -c %%s %s) ] && "
		"[ $(stat -c %%b %s) -le $(($(stat -c %%b %s) + 16)) ]",
		test_tmpdir(), from, to, to, from);
	if (system(cmd) != 0)
		test_fail(__FILE__, __LINE__, "%s and %s differ in size or use", from, to);
}

/* Compares the two files at these places, so that holes need not be read. */
static void check_bytes(const char *name, off_t at, const char *want)
{
	char got[16] = "";
	int fd = open(worker_path(name), O_RDONLY | O_CLOEXEC);
	size_t len = strlen(want);

	CHECK(fd >= 0);
	CHECK(pread(fd, got, len, at) == (ssize_t)len);
	CHECK_STR(got, want);
	close(fd);
}

TEST(there_and_back)
{
	static const char *const in_names[] = {
		"rootfs", "seed", "kernel", "cpio", "tree", "initrd"};
	int bundle = worker_file("bundle");
	struct worker_answer a = pack_all(bundle, ROOTFS_SIZE);
	char params[100];
	struct stat st;

	expect_result(&a);
	CHECK_INT(fstat(bundle, &st), 0);
	CHECK_INT(json_integer_value(json_object_get(a.result, "bytes")), st.st_size);
	CHECK(st.st_size < 64 * 1024); /* 8 GiB of holes are next to nothing */
	snprintf(params, sizeof(params), ",\"sha256\":\"%s\"",
		json_string_value(json_object_get(a.result, "sha256")));
	worker_answer_clear(&a);
	a = unpack_with(bundle, params);
	expect_result(&a);
	CHECK_STR(json_string_value(json_object_get(
			  json_object_get(json_object_get(a.result, "manifest"), "image"), "os")),
		"Debian");
	worker_answer_clear(&a);
	for (size_t i = 0; i < ARRAY_SIZE(in_names); i++)
		check_same(in_names[i], out_names[i]);
	check_bytes("o-rootfs", ROOTFS_SIZE / 2 + 4094, "data");
	check_bytes("o-rootfs", 1024 + 56, "\x53\xef");
	check_bytes("o-seed", 100000, "seed");
	check_bytes("o-tree", 4095, "t");
	check_bytes("o-initrd", 0, "begin");
	check_bytes("o-initrd", 1000001, "end");
}

static struct worker_answer pack_rootfs(int bundle, int rootfs)
{
	int fds[7] = {bundle, rootfs, rootfs, rootfs, rootfs, rootfs, rootfs};

	return worker_run("{\"job\":\"pack_bundle\",\"manifest\":{\"image\":{\"name\":\"x\","
			  "\"has_sshd\":false}},\"files\":[\"rootfs.ext4\"]}",
		fds, 7);
}

/* The same content gives the same bytes, wherever its holes are. */
TEST(an_image_alone_and_reproducible)
{
	int a_fd = worker_file("a"), b_fd = worker_file("b"), rootfs = make_rootfs(1 << 20);
	static const char zeros[65536];
	struct worker_answer a = pack_rootfs(a_fd, rootfs), b;

	expect_result(&a);
	CHECK(pwrite(rootfs, zeros, sizeof(zeros), 512 * 1024) == (ssize_t)sizeof(zeros));
	b = pack_rootfs(b_fd, rootfs);
	expect_result(&b);
	CHECK_STR(json_string_value(json_object_get(a.result, "sha256")),
		json_string_value(json_object_get(b.result, "sha256")));
	worker_answer_clear(&a);
	worker_answer_clear(&b);
	a = unpack(a_fd);
	expect_result(&a);
	CHECK(!json_object_get(json_object_get(a.result, "manifest"), "kernel"));
	worker_answer_clear(&a);
}

/* ---- bad ones ---- */

struct member {
	const char *name, *data;
	size_t len;
	unsigned type;
};

/* A bundle of these members, after the manifest. */
static int bundle_of(const char *manifest, const struct member *m, size_t n)
{
	int fd = worker_file("bad");
	struct archive *t = tar_begin(fd, ARCHIVE_FILTER_ZSTD);

	if (manifest)
		tar_add(t, "manifest.json", AE_IFREG, 0644, manifest);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, m[i].name);
		archive_entry_set_filetype(e, m[i].type ? m[i].type : AE_IFREG);
		archive_entry_set_perm(e, 0644);
		archive_entry_set_size(e, m[i].type ? 0 : (la_int64_t)m[i].len);
		if (m[i].type == AE_IFLNK)
			archive_entry_set_symlink(e, m[i].data);
		CHECK_INT(archive_write_header(t, e), 0);
		if (!m[i].type)
			CHECK(archive_write_data(t, m[i].data, m[i].len) == (la_ssize_t)m[i].len);
		archive_entry_free(e);
	}
	tar_end(t, fd);
	return fd;
}

/* A sound bundle's rootfs and manifest, to make bad ones of. */
static char rootfs_data[SMALL];
static char *sound_manifest(void)
{
	int bundle = worker_file("sound"), rootfs = make_rootfs(SMALL);
	struct archive *r = archive_read_new();
	struct worker_answer a = pack_rootfs(bundle, rootfs);
	struct archive_entry *e;
	static char text[4096];
	la_ssize_t n;

	expect_result(&a);
	worker_answer_clear(&a);
	CHECK(pread(rootfs, rootfs_data, SMALL, 0) == SMALL);
	CHECK(lseek(bundle, 0, SEEK_SET) == 0);
	archive_read_support_filter_zstd(r);
	archive_read_support_format_tar(r);
	CHECK_INT(archive_read_open_fd(r, bundle, 4096), 0);
	CHECK_INT(archive_read_next_header(r, &e), 0);
	n = archive_read_data(r, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = '\0';
	archive_read_free(r);
	close(bundle);
	close(rootfs);
	return text;
}

static char *replaced(const char *text, const char *from, const char *to)
{
	static char out[8192];
	const char *hit = strstr(text, from);

	CHECK(hit);
	snprintf(out, sizeof(out), "%.*s%s%s", (int)(hit - text), text, to, hit + strlen(from));
	return out;
}

TEST(members_that_are_wrong)
{
	const char *m = sound_manifest();
	struct member root = {"rootfs.ext4", rootfs_data, SMALL, 0};
	static const struct {
		struct member second;
		const char *says;
	} rows[] = {
		{{"rootfs.ext4", rootfs_data, SMALL, 0}, "rootfs.ext4 is in it twice"},
		{{"../rootfs.ext4", "x", 1, 0}, "\"../rootfs.ext4\" is not in the manifest"},
		{{"/etc/passwd", "x", 1, 0}, "\"/etc/passwd\" is not in the manifest"},
		{{"kernel", "x", 1, 0}, "\"kernel\" is not in the manifest"},
		{{"manifest.json", "{}", 2, 0}, "\"manifest.json\" is not in the manifest"},
		{{"initrd", "/etc/shadow", 0, AE_IFLNK}, "is not in the manifest"},
		{{"dev", "", 0, AE_IFCHR}, "is not in the manifest"},
	};
	struct worker_answer a = unpack(bundle_of(m, &root, 1));

	expect_result(&a);
	worker_answer_clear(&a);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct member two[2] = {root, rows[i].second};

		a = unpack(bundle_of(m, two, 2));
		expect_error(&a, "image.invalid", rows[i].says);
	}
	a = unpack(bundle_of(m, NULL, 0));
	expect_error(&a, "image.invalid", "rootfs.ext4 is missing");
	a = unpack(bundle_of(NULL, &root, 1));
	expect_error(&a, "image.invalid", "does not begin with manifest.json");
	root.len = SMALL - 1;
	a = unpack(bundle_of(m, &root, 1));
	expect_error(&a, "image.invalid", "another size");
	root.len = SMALL;
	rootfs_data[5000] ^= 1;
	a = unpack(bundle_of(m, &root, 1));
	expect_error(&a, "image.invalid", "rootfs.ext4 is damaged: its digest is");
}

TEST(manifests_that_are_wrong)
{
	const char *m = sound_manifest();
	static const struct {
		const char *from, *to, *says;
	} rows[] = {
		{"\"format\": 1", "\"format\": 2", "is of format 2, this banger reads 1"},
		{"\"format\": 1", "\"format\": \"1\"", "has no \"format\""},
		{"\"format\": 1", "\"format\": 1, \"format\": 1", "is not JSON"},
		{"x86_64", "riscv64", "not for x86_64"},
		{"rootfs.ext4", "kernel", "lists no rootfs.ext4"},
		{"rootfs.ext4", "../rootfs.ext4", "files that bundles do not have"},
		{"\"size\": 8192", "\"size\": 99999999999999999", "no possible size"},
		{"\"size\": 8192", "\"size\": -1", "no possible size"},
		{"\"size\": 8192", "\"size\": 8191", "another size"},
		{"\"digest\": \"", "\"digest\": \"Z", "no digest"},
		{"\"name\": \"x\"", "\"name\": \"../x\"", "no valid name"},
		{"\"name\": \"x\"", "\"name\": \"x\", \"os\": \"a\\u001b[2Jb\"",
			"operating system"},
		{"\"has_sshd\": false", "\"has_sshd\": 0", "ssh server"},
		{"\"files\": {",
			"\"files\": {\"initrd\": {\"size\": 1, \"digest\": "
			"\"0000000000000000000000000000000000000000000000000000000000000000\"},",
			"lists initrd, but no kernel"},
		{"\"files\": {",
			"\"files\": {\"kernel\": {\"size\": 1, \"digest\": "
			"\"0000000000000000000000000000000000000000000000000000000000000000\"},",
			"says nothing of its kernel"},
	};
	struct member root = {"rootfs.ext4", rootfs_data, SMALL, 0};
	static char big[80 * 1024];
	struct worker_answer a;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		a = unpack(bundle_of(replaced(m, rows[i].from, rows[i].to), &root, 1));
		expect_error(&a, "image.invalid",
			bg_streq(rows[i].says, "files that bundles do not have")
				? "a file that bundles do not have"
				: rows[i].says);
	}
	memset(big, ' ', sizeof(big) - 1);
	a = unpack(bundle_of(big, &root, 1));
	expect_error(&a, "image.invalid", "over 65536 bytes");
}

/* Cut anywhere: one error, of the right kind, and never a result. */
TEST(truncated)
{
	int bundle = worker_file("bundle");
	struct worker_answer a = pack_all(bundle, 1 << 20);
	struct stat st;

	expect_result(&a);
	worker_answer_clear(&a);
	CHECK_INT(fstat(bundle, &st), 0);
	for (off_t cut = st.st_size - 1; cut >= 0; cut -= cut > 40 ? st.st_size / 23 : 7) {
		CHECK_INT(ftruncate(bundle, cut), 0);
		a = unpack(bundle);
		CHECK(!a.result);
		expect_error(&a, "image.invalid", "");
	}
}

TEST(what_is_no_image)
{
	int rootfs = file_with("rootfs", "no ext4", 7, 0), bundle = worker_file("bundle");
	struct worker_answer a;

	CHECK_INT(ftruncate(rootfs, SMALL), 0);
	a = pack_rootfs(bundle, rootfs);
	expect_result(&a);
	worker_answer_clear(&a);
	a = unpack(bundle);
	expect_error(&a, "image.invalid", "its rootfs is not an ext4 file system");
	a = unpack_with(bundle, ",\"sha256\":\"00\"");
	expect_error(&a, "net.digest_mismatch", "not 00 as expected");
	a = unpack_with(bundle, ",\"room\":100");
	expect_error(&a, "disk.full", "more room than there is");
}
