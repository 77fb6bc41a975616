/* SPDX-License-Identifier: ISC */
/* The kernel and vmlinux jobs of the real banger-worker: hand-made packages, then Debian's own. */
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "tests/integration/archives.h"
#include "tests/integration/worker_client.h"
#include "tests/lib/test.h"

#define RELEASE "6.1.0-test"
#define TREE	"./lib/modules/" RELEASE "/"

static void expect_error(struct worker_answer *a, const char *code, const char *words)
{
	const char *message;

	CHECK(!a->result);
	CHECK(a->error);
	CHECK_STR(json_string_value(json_object_get(a->error, "code")), code);
	message = json_string_value(json_object_get(a->error, "message"));
	if (!strstr(message, words))
		test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", message, words);
	worker_answer_clear(a);
}

static void expect_result(
	struct worker_answer *a, const char *format, const char *release, int modules, int boot)
{
	if (a->error)
		test_fail(__FILE__, __LINE__, "failed: %s",
			json_string_value(json_object_get(a->error, "message")));
	CHECK(a->result);
	CHECK_STR(json_string_value(json_object_get(a->result, "format")), format);
	CHECK_STR(json_string_value(json_object_get(a->result, "release")), release);
	CHECK_INT(json_integer_value(json_object_get(a->result, "modules")), modules);
	CHECK_INT(json_integer_value(json_object_get(a->result, "boot_modules")), boot);
	worker_answer_clear(a);
}

/* modules: -1 for none */
static struct worker_answer kernel_and(int source, int modules)
{
	int fds[5] = {source, worker_file("image"), worker_file("cpio"), worker_file("tree"),
		modules < 0 ? source : modules};
	struct worker_answer a;

	CHECK(lseek(source, 0, SEEK_SET) == 0);
	a = worker_run(modules < 0
			       ? "{\"job\":\"kernel\",\"name\":\"k.deb\"}"
			       : "{\"job\":\"kernel\",\"name\":\"k.deb\",\"modules\":\"m.tar\"}",
		fds, 5);

	for (int i = 1; i < 4; i++)
		close(fds[i]);
	return a;
}

static struct worker_answer kernel(int source)
{
	return kernel_and(source, -1);
}

static off_t size_of(const char *name)
{
	struct stat st;

	CHECK_INT(stat(worker_path(name), &st), 0);
	return st.st_size;
}

static void add_bytes(struct archive *t, const char *name, const void *p, size_t len)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)len);
	CHECK_INT(archive_write_header(t, e), 0);
	CHECK(archive_write_data(t, p, len) == (la_ssize_t)len);
	archive_entry_free(e);
}

static void add_module(struct archive *t, const char *name, const char *info, size_t len)
{
	uint8_t ko[4096];
	char path[256];

	snprintf(path, sizeof(path), TREE "kernel/%s", name);
	add_bytes(t, path, ko, make_module(ko, sizeof(ko), info, len));
}

#define INFO(s) s, sizeof(s)

static void add_modules(struct archive *t)
{
	add_module(
		t, "virtio_blk.ko", INFO("alias=virtio:d00000002v*\0depends=virtio,virtio_ring"));
	add_module(t, "virtio-rng.ko", INFO("depends=virtio"));
	add_module(t, "virtio.ko", INFO("depends="));
	add_module(t, "virtio_ring.ko", INFO("depends=virtio"));
	add_module(t, "other.ko",
		INFO("alias=char-major-10-200\0alias=devname:net/other\0softdep=pre: a"));
	add_bytes(t, TREE "modules.builtin", "kernel/fs/ext4/ext4.ko\n", 23);
	add_bytes(t, TREE "modules.builtin.modinfo", "ext4.alias=fs-ext4", 19);
	tar_link(t, TREE "build", "/usr/src/x", 0);
}

/* Writes a package named "deb" and returns it open. */
static int package(void (*fill)(struct archive *t), int filter, const char *tar_name)
{
	int tar = worker_file("data.tar"), deb = worker_file("deb");
	struct archive *t = tar_begin(tar, filter);
	_free_ char *data = NULL;
	size_t len;

	fill(t);
	tar_end(t, tar);
	CHECK_INT(bg_read_fd(tar, 64 << 20, &data, &len), 0);
	make_deb(deb, tar_name, data, len);
	close(tar);
	return deb;
}

static void add_image(struct archive *t, const char *release)
{
	uint8_t image[8192];

	add_bytes(t, "./boot/vmlinuz-" RELEASE, image,
		make_bzimage(image, sizeof(image), release, "payload and more", 16));
}

static void whole(struct archive *t)
{
	add_image(t, RELEASE);
	add_modules(t);
}

static void mismatch(struct archive *t)
{
	add_image(t, "5.0");
	add_modules(t);
}

static void no_image(struct archive *t)
{
	tar_add(t, "./usr/share/doc/x", AE_IFREG, 0644, "metapackage");
}

static void two_releases(struct archive *t)
{
	whole(t);
	tar_add(t, "./lib/modules/9.9/kernel/", AE_IFDIR, 0755, NULL);
}

static void no_module(struct archive *t)
{
	add_image(t, RELEASE);
	tar_add(t, TREE "kernel/bad.ko", AE_IFREG, 0644, "text");
}

static void circle(struct archive *t)
{
	add_image(t, RELEASE);
	add_module(t, "virtio.ko", INFO("depends=overlay"));
	add_module(t, "overlay.ko", INFO("depends=virtio,gone"));
}

TEST(a_package_in_every_compression)
{
	static const struct {
		int filter;
		const char *name;
	} rows[] = {{ARCHIVE_FILTER_XZ, "data.tar.xz"}, {ARCHIVE_FILTER_ZSTD, "data.tar.zst"},
		{ARCHIVE_FILTER_GZIP, "data.tar.gz"}, {ARCHIVE_FILTER_NONE, "data.tar"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int deb = package(whole, rows[i].filter, rows[i].name);
		struct worker_answer a = kernel(deb);

		expect_result(&a, "bzimage", RELEASE, 5, 4);
		worker_fsck("tree");
		close(deb);
	}
}

static int rpm_package(void (*fill)(struct archive *t), int filter)
{
	int cpio = worker_file("payload.cpio"), rpm = worker_file("rpm");
	struct archive *t = cpio_begin(cpio, filter);
	_free_ char *data = NULL;
	size_t len;

	fill(t);
	tar_end(t, cpio);
	CHECK_INT(bg_read_fd(cpio, 64 << 20, &data, &len), 0);
	make_rpm(rpm, data, len);
	close(cpio);
	return rpm;
}

/* As Fedora has it: the image among the modules, a packed vmlinux and a seal beside it. */
static void fedora(struct archive *t)
{
	uint8_t image[8192];

	add_bytes(t, TREE "vmlinuz", image,
		make_bzimage(image, sizeof(image), RELEASE, "payload and more", 16));
	add_bytes(t, TREE "vmlinux.xz", "for debuggers", 13);
	add_bytes(t, TREE ".vmlinuz.hmac", "seal", 4);
	add_modules(t);
}

/* As older openSUSE has it: the image in /boot, and again among the modules. */
static void suse(struct archive *t)
{
	add_image(t, RELEASE);
	add_bytes(t, "./boot/vmlinux-" RELEASE ".gz", "for debuggers", 13);
	fedora(t);
}

TEST(rpm_packages)
{
	static const int filters[] = {ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_GZIP};
	struct worker_answer a;
	int rpm;

	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		rpm = rpm_package(i % 2 ? suse : fedora, filters[i]);
		a = kernel(rpm);
		expect_result(&a, "bzimage", RELEASE, 5, 4);
		worker_fsck("tree");
		close(rpm);
	}
	a = kernel(rpm_package(no_image, ARCHIVE_FILTER_XZ));
	expect_error(&a, "kernel.invalid", "holds no kernel");
	a = kernel(rpm_package(mismatch, ARCHIVE_FILTER_XZ));
	expect_error(&a, "kernel.invalid", "the kernel is 5.0 but its modules are for " RELEASE);
	rpm = rpm_package(whole, ARCHIVE_FILTER_XZ);
	CHECK_INT(ftruncate(rpm, size_of("rpm") / 2), 0);
	a = kernel(rpm);
	expect_error(&a, "kernel.invalid", "damaged archive");
	CHECK_INT(ftruncate(rpm, 100), 0);
	a = kernel(rpm);
	expect_error(&a, "kernel.invalid", "");
}

static int tar_of(const char *name, void (*fill)(struct archive *t))
{
	int fd = worker_file(name);
	struct archive *t = tar_begin(fd, ARCHIVE_FILTER_GZIP);

	fill(t);
	tar_end(t, fd);
	return fd;
}

static void only_image(struct archive *t)
{
	add_image(t, RELEASE);
}

static void older_image(struct archive *t)
{
	add_image(t, "5.0");
}

/* Ubuntu and newer Fedora keep them apart; a bare kernel has none. */
TEST(modules_from_another_archive)
{
	int deb = package(only_image, ARCHIVE_FILTER_XZ, "data.tar.xz");
	int modules = rpm_package(whole, ARCHIVE_FILTER_ZSTD);
	struct worker_answer a = kernel_and(deb, modules);

	expect_result(&a, "bzimage", RELEASE, 5, 4);
	worker_fsck("tree");
	a = kernel_and(deb, tar_of("modules.tar", add_modules));
	expect_result(&a, "bzimage", RELEASE, 5, 4);
	a = kernel_and(deb, tar_of("modules.tar", no_image));
	expect_error(&a, "kernel.invalid", "\"m.tar\" holds no modules");
	deb = package(older_image, ARCHIVE_FILTER_XZ, "data.tar.xz");
	a = kernel_and(deb, tar_of("modules.tar", add_modules));
	expect_error(&a, "kernel.invalid", "the kernel is 5.0 but its modules are for " RELEASE);
}

/* The names of /banger/modules inside the cpio, which is stored as it is. */
TEST(boot_modules_stand_in_load_order)
{
	int deb = package(whole, ARCHIVE_FILTER_NONE, "data.tar");
	struct worker_answer a = kernel(deb);
	_free_ char *cpio = NULL;
	size_t len;

	expect_result(&a, "bzimage", RELEASE, 5, 4);
	CHECK_INT(bg_read_file_at(AT_FDCWD, worker_path("cpio"), 1 << 20, &cpio, &len), 0);
	CHECK(memmem(cpio, len, "virtio.ko\nvirtio_ring.ko\nvirtio_blk.ko\nvirtio-rng.ko\n", 52));
	CHECK(memmem(cpio, len, "banger/ko/virtio-rng.ko", 24));
	CHECK(!memmem(cpio, len, "other.ko", 8));
}

static void with_dm(struct archive *t)
{
	whole(t);
	add_module(t, "dm-snapshot.ko", INFO("depends=dm-mod,dm-bufio"));
	add_module(t, "dm-bufio.ko", INFO("depends=dm-mod"));
	add_module(t, "dm-mod.ko", INFO("depends="));
}

/* A VM that needs them loads the second list too. */
TEST(device_mapper_is_listed_apart)
{
	struct worker_answer a = kernel(package(with_dm, ARCHIVE_FILTER_NONE, "data.tar"));
	_free_ char *cpio = NULL;
	size_t len;

	CHECK(json_is_true(json_object_get(a.result, "cow")));
	expect_result(&a, "bzimage", RELEASE, 8, 7);
	CHECK_INT(bg_read_file_at(AT_FDCWD, worker_path("cpio"), 1 << 20, &cpio, &len), 0);
	CHECK(memmem(cpio, len, "virtio_blk.ko\nvirtio-rng.ko\n\0", 30));
	CHECK(memmem(cpio, len, "banger/modules.dm\0", 18));
	CHECK(memmem(cpio, len, "dm-mod.ko\ndm-bufio.ko\ndm-snapshot.ko\n", 38));
	a = kernel(package(whole, ARCHIVE_FILTER_NONE, "data.tar"));
	CHECK(json_is_false(json_object_get(a.result, "cow")));
	worker_answer_clear(&a);
}

static void with_dm_built_in(struct archive *t)
{
	add_image(t, RELEASE);
	add_module(t, "virtio.ko", INFO("depends="));
	add_bytes(t, TREE "modules.builtin", "kernel/drivers/md/dm-snapshot.ko\n", 33);
}

TEST(device_mapper_that_is_built_in)
{
	struct worker_answer a = kernel(package(with_dm_built_in, ARCHIVE_FILTER_NONE, "data.tar"));

	CHECK(json_is_true(json_object_get(a.result, "cow")));
	worker_answer_clear(&a);
}

TEST(packages_that_are_wrong)
{
	struct worker_answer a = kernel(package(mismatch, ARCHIVE_FILTER_XZ, "data.tar.xz"));

	expect_error(&a, "kernel.invalid", "the kernel is 5.0 but its modules are for " RELEASE);
	a = kernel(package(no_image, ARCHIVE_FILTER_XZ, "data.tar.xz"));
	CHECK(strstr(json_string_value(json_object_get(a.error, "hint")), "metapackage"));
	expect_error(&a, "kernel.invalid", "holds no kernel");
	a = kernel(package(two_releases, ARCHIVE_FILTER_XZ, "data.tar.xz"));
	expect_error(&a, "kernel.invalid", "more than one release");
	a = kernel(package(no_module, ARCHIVE_FILTER_XZ, "data.tar.xz"));
	expect_error(&a, "kernel.invalid", "is not a kernel module");
	a = kernel(package(whole, ARCHIVE_FILTER_XZ, "other.tar.xz"));
	expect_error(&a, "kernel.invalid", "no Debian package");
}

TEST(modules_that_need_each_other_end)
{
	struct worker_answer a = kernel(package(circle, ARCHIVE_FILTER_XZ, "data.tar.xz"));

	expect_result(&a, "bzimage", RELEASE, 2, 2);
}

TEST(truncated_package)
{
	int deb = package(whole, ARCHIVE_FILTER_XZ, "data.tar.xz");
	struct worker_answer a;

	CHECK_INT(ftruncate(deb, size_of("deb") / 2), 0);
	a = kernel(deb);
	expect_error(&a, "kernel.invalid", "damaged archive");
}

static size_t make_elf(char *out, size_t room)
{
	Elf64_Ehdr eh = {.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1};
	Elf64_Phdr ph = {.p_type = PT_LOAD, .p_offset = 4096, .p_filesz = room - 4096};

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memset(out, 'e', room);
	memcpy(out, &eh, sizeof(eh));
	memcpy(out + sizeof(eh), &ph, sizeof(ph));
	memcpy(out + room / 2, "Linux version %s (%s)", 22);
	/* across the seam of two pieces of 1 MiB */
	memcpy(out + (1 << 20) - 10, "Linux version 4.19.0-x (gcc)", 29);
	return room;
}

TEST(bare_images)
{
	static char elf[(1 << 20) + 4096];
	uint8_t image[8192];
	int fd = worker_file("src");
	struct worker_answer a;
	size_t len = make_elf(elf, sizeof(elf));

	CHECK(pwrite(fd, elf, len, 0) == (ssize_t)len);
	a = kernel(fd);
	expect_result(&a, "elf", "4.19.0-x", 0, 0);
	CHECK_INT(size_of("image"), len);
	CHECK_INT(size_of("tree"), 0);
	CHECK_INT(size_of("cpio"), 0);
	len = make_bzimage(image, sizeof(image), "5.15.1", "0123456789abcdef", 16);
	CHECK_INT(ftruncate(fd, 0), 0);
	CHECK(pwrite(fd, image, len, 0) == (ssize_t)len);
	a = kernel(fd);
	expect_result(&a, "bzimage", "5.15.1", 0, 0);
	CHECK_INT(ftruncate(fd, 100), 0);
	a = kernel(fd);
	expect_error(&a, "kernel.invalid", "\"k.deb\" is not a kernel");
}

/* name: for messages of the test. change: what is done to a good image at that place. */
static void refuse_image(const void *image, size_t len, const char *words)
{
	int fd = worker_file("src");
	struct worker_answer a;

	CHECK(pwrite(fd, image, len, 0) == (ssize_t)len);
	a = kernel(fd);
	expect_error(&a, "kernel.invalid", words);
	close(fd);
}

TEST(what_is_not_a_whole_kernel)
{
	static char elf[(1 << 20) + 8192];
	size_t len = make_elf(elf, sizeof(elf));
	uint8_t image[8192];
	Elf64_Phdr *ph = (void *)(elf + sizeof(Elf64_Ehdr));

	refuse_image(elf, len - 1, "cut off");
	memcpy(elf + (1 << 20) - 10, "Another sort 4.19.0-x (gcc)", 28);
	refuse_image(elf, len, "is an ELF file, but not a Linux kernel");
	ph->p_type = PT_INTERP;
	refuse_image(elf, len, "is a program, not a kernel");
	ph->p_type = PT_NOTE;
	refuse_image(elf, len, "is an ELF file, but not a kernel");
	refuse_image(elf, 64, "is an ELF file, but not a kernel");
	len = make_bzimage(image, sizeof(image), "5.15.1", "0123456789abcdef", 16);
	refuse_image(image, len - 1, "cut off");
	image[0x236] = 0;
	refuse_image(image, len, "is not for x86-64");
}

TEST(programs_of_this_system_are_not_kernels)
{
	static const char *const programs[] = {"/bin/ls", "/bin/busybox", "/proc/self/exe"};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		_free_ char *data = NULL;
		size_t len = 0;

		if (bg_read_file_at(AT_FDCWD, programs[i], 256 << 20, &data, &len) >= 0)
			refuse_image(data, len, "not a ");
	}
}

/* A bzImage around an ELF file, compressed by the filter, size appended. */
static int packed_kernel(const char *elf, size_t len, int filter)
{
	int raw = worker_file("payload"), fd = worker_file("bzimage");
	static uint8_t image[256 * 1024];
	struct archive *w = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	uint32_t size = (uint32_t)len;
	_free_ char *packed = NULL;
	size_t n;

	CHECK_INT(archive_write_set_format_raw(w), 0);
	CHECK_INT(archive_write_add_filter(w, filter), 0);
	CHECK_INT(archive_write_open_fd(w, raw), 0);
	archive_entry_set_filetype(e, AE_IFREG);
	CHECK_INT(archive_write_header(w, e), 0);
	CHECK(archive_write_data(w, elf, len) == (la_ssize_t)len);
	CHECK_INT(archive_write_close(w), 0);
	archive_write_free(w);
	archive_entry_free(e);
	CHECK(lseek(raw, 0, SEEK_END) > 0);
	CHECK_INT(bg_write_all(raw, &size, sizeof(size)), 0);
	CHECK(lseek(raw, 0, SEEK_SET) == 0);
	CHECK_INT(bg_read_fd(raw, sizeof(image), &packed, &n), 0);
	n = make_bzimage(image, sizeof(image), "1.0", packed, n);
	CHECK(pwrite(fd, image, n, 0) == (ssize_t)n);
	CHECK(pwrite(fd, "trailing things", 15, (off_t)n) == 15);
	close(raw);
	return fd;
}

static bool bare_has_dm(int fd)
{
	struct worker_answer a = kernel(fd);
	bool has;

	CHECK(a.result);
	has = json_is_true(json_object_get(a.result, "cow"));
	worker_answer_clear(&a);
	return has;
}

/* The option's name in a bare kernel, also across a seam of two pieces, packed and not. */
TEST(device_mapper_of_bare_kernels)
{
	static char elf[(2 << 20) + 4096];
	size_t len = make_elf(elf, sizeof(elf));
	int fd = worker_file("src");

	CHECK(pwrite(fd, elf, len, 0) == (ssize_t)len);
	CHECK(!bare_has_dm(fd));
	CHECK(!bare_has_dm(packed_kernel(elf, len, ARCHIVE_FILTER_ZSTD)));
	for (size_t back = 0; back <= 18; back++) {
		len = make_elf(elf, sizeof(elf));
		memcpy(elf + (2 << 20) - back, "discard_zeroes_cow", 18);
		CHECK(pwrite(fd, elf, len, 0) == (ssize_t)len);
		CHECK(bare_has_dm(fd));
	}
	CHECK(bare_has_dm(packed_kernel(elf, len, ARCHIVE_FILTER_ZSTD)));
	CHECK(bare_has_dm(packed_kernel(elf, len, ARCHIVE_FILTER_GZIP)));
}

TEST(vmlinux_of_every_compression)
{
	static const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD,
		ARCHIVE_FILTER_LZ4, ARCHIVE_FILTER_LZMA, ARCHIVE_FILTER_BZIP2};
	static char elf[(1 << 20) + 4096];
	size_t len = make_elf(elf, sizeof(elf));

	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		int fds[2] = {packed_kernel(elf, len, filters[i]), worker_file("vmlinux")};
		struct worker_answer a = worker_run("{\"job\":\"vmlinux\"}", fds, 2);
		_free_ char *back = NULL;
		size_t n;

		if (a.error)
			test_fail(__FILE__, __LINE__, "filter %d: %s", filters[i],
				json_string_value(json_object_get(a.error, "message")));
		CHECK_INT(json_integer_value(json_object_get(a.result, "bytes")), len);
		CHECK_INT(bg_read_file_at(AT_FDCWD, worker_path("vmlinux"), 2 << 20, &back, &n), 0);
		CHECK(n == len && memcmp(back, elf, len) == 0);
		worker_answer_clear(&a);
		close(fds[0]);
		close(fds[1]);
	}
}

TEST(vmlinux_of_damaged_images)
{
	static char elf[4096];
	int fds[2] = {packed_kernel(elf, sizeof(elf), ARCHIVE_FILTER_GZIP), worker_file("vmlinux")};
	struct worker_answer a;

	a = worker_run("{\"job\":\"vmlinux\"}", fds, 2);
	expect_error(&a, "kernel.invalid", "no x86-64 ELF file inside");
	CHECK(pwrite(fds[0], "\xff\xff\xff\x7f", 4, 0x24c) == 4);
	a = worker_run("{\"job\":\"vmlinux\"}", fds, 2);
	expect_error(&a, "kernel.invalid", "shorter than its header says");
	CHECK_INT(ftruncate(fds[0], 0x200), 0);
	a = worker_run("{\"job\":\"vmlinux\"}", fds, 2);
	expect_error(&a, "kernel.invalid", "no boot header");
}

/* Downloads the package behind linux-image-cloud-amd64 into the test's directory. */
static const char *debian_kernel(void)
{
	static glob_t g;
	char cmd[1200];

	snprintf(cmd, sizeof(cmd),
		"cd %s && command -v apt-get >/dev/null && p=$(apt-cache depends "
		"linux-image-cloud-amd64 "
		"2>/dev/null | awk '/Depends:/{print $2; exit}') && [ -n \"$p\" ] && "
		"timeout 100 apt-get download $p >apt.log 2>&1",
		test_tmpdir());
	if (system(cmd) != 0)
		test_skip("apt cannot download Debian's cloud kernel here");
	CHECK_INT(glob(worker_path("linux-image-*.deb"), 0, NULL, &g), 0);
	return g.gl_pathv[0];
}

TEST(debian_kernel_package)
{
	int fd = open(debian_kernel(), O_RDONLY | O_CLOEXEC);
	struct worker_answer a;
	char cmd[2000];

	CHECK(fd >= 0);
	a = kernel(fd);
	CHECK(a.result);
	CHECK(json_integer_value(json_object_get(a.result, "modules")) > 500);
	CHECK(json_integer_value(json_object_get(a.result, "boot_modules")) >= 10);
	worker_fsck("tree");
	/* modprobe must find what it needs in the tree as a guest would see it. */
	snprintf(cmd, sizeof(cmd),
		"PATH=/usr/sbin:/sbin:$PATH; cd %s && mkdir -p x/lib/modules && command -v "
		"modprobe debugfs "
		">/dev/null || exit 99; debugfs -R 'rdump / x/lib/modules' tree >/dev/null 2>&1; "
		"r=%s; "
		"modprobe -d x -S $r -n -v overlay | grep -q overlay.ko && "
		"modprobe -d x -S $r -n -v fs-overlay | grep -q overlay.ko && "
		"[ $(modprobe -d x -S $r -n -v virtio_net | wc -l) -ge 4 ] && "
		"modprobe -d x -S $r -n ext4 && ! modprobe -d x -S $r -n no_such_module "
		"2>/dev/null",
		test_tmpdir(), json_string_value(json_object_get(a.result, "release")));
	if (WEXITSTATUS(system(cmd)) == 99)
		test_skip("no modprobe or debugfs on this machine");
	CHECK_INT(system(cmd), 0);
	worker_answer_clear(&a);
}
