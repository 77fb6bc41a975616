/* SPDX-License-Identifier: ISC */
/* privhelper/disk_file.c: every property that a file must have, wrong one at a time. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/disk_layout.h"
#include "privhelper/disk_file.h"
#include "tests/lib/test.h"

enum { BASE = 1024 * 1024 };

static char base_path[128], overlay_path[128];

static void make_files(off_t base, off_t overlay)
{
	int a, b;

	snprintf(base_path, sizeof(base_path), "%s/base", test_tmpdir());
	snprintf(overlay_path, sizeof(overlay_path), "%s/overlay", test_tmpdir());
	a = open(base_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	b = open(overlay_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(a >= 0 && b >= 0 && ftruncate(a, base) == 0 && ftruncate(b, overlay) == 0);
	close(a);
	close(b);
}

static enum priv_code check_as(int base_flags, int overlay_flags, uid_t uid)
{
	int a = open(base_path, base_flags | O_CLOEXEC),
	    b = open(overlay_path, overlay_flags | O_CLOEXEC);
	struct disk_files files;
	enum priv_code code;

	CHECK(a >= 0 && b >= 0);
	code = disk_files_check(a, b, uid, &files);
	close(a);
	close(b);
	return code;
}

static enum priv_code check(void)
{
	return check_as(O_RDONLY, O_RDWR, getuid());
}

static void need_file_system(void)
{
	make_files(BASE, (off_t)bg_disk_overlay_size(BASE, BASE));
	if (check() == PRIV_CODE_FILE)
		test_skip("the tests' folder is on no file system that disks are made on (ext4, "
			  "btrfs, xfs)");
}

TEST(good_files)
{
	struct disk_files files;
	int a, b;

	need_file_system();
	make_files(BASE, (off_t)bg_disk_overlay_size(BASE, 8 * BASE));
	a = open(base_path, O_RDONLY | O_CLOEXEC);
	b = open(overlay_path, O_RDWR | O_CLOEXEC);
	CHECK_INT(disk_files_check(a, b, getuid(), &files), PRIV_CODE_OK);
	CHECK_INT(files.base_size, BASE);
	CHECK_INT(files.tail_size, 7 * BASE);
	CHECK_INT(files.store_size, bg_disk_store_size(BASE, BG_DISK_CHUNK));
	close(a);
	close(b);
}

TEST(access_modes)
{
	need_file_system();
	CHECK_INT(check_as(O_RDWR, O_RDWR, getuid()), PRIV_CODE_FILE);
	CHECK_INT(check_as(O_WRONLY, O_RDWR, getuid()), PRIV_CODE_FILE);
	CHECK_INT(check_as(O_RDONLY, O_RDONLY, getuid()), PRIV_CODE_FILE);
	CHECK_INT(check_as(O_RDONLY, O_WRONLY, getuid()), PRIV_CODE_FILE);
	CHECK_INT(check_as(O_RDONLY, O_RDWR | O_APPEND, getuid()), PRIV_CODE_FILE);
	CHECK_INT(check_as(O_PATH, O_RDWR, getuid()), PRIV_CODE_FILE);
	CHECK_INT(check_as(O_RDONLY, O_PATH, getuid()), PRIV_CODE_FILE);
}

TEST(other_owner)
{
	need_file_system();
	CHECK_INT(check_as(O_RDONLY, O_RDWR, getuid() + 1), PRIV_CODE_FILE);
}

TEST(second_name)
{
	char other[160];

	need_file_system();
	snprintf(other, sizeof(other), "%s.too", base_path);
	(void)unlink(other);
	CHECK_INT(link(base_path, other), 0);
	CHECK_INT(check(), PRIV_CODE_FILE);
	CHECK_INT(unlink(other), 0);
	CHECK_INT(check(), PRIV_CODE_OK);
	snprintf(other, sizeof(other), "%s.too", overlay_path);
	CHECK_INT(link(overlay_path, other), 0);
	CHECK_INT(check(), PRIV_CODE_FILE);
}

TEST(no_name)
{
	struct disk_files files;
	int a, b;

	need_file_system();
	a = open(base_path, O_RDONLY | O_CLOEXEC);
	b = open(overlay_path, O_RDWR | O_CLOEXEC);
	CHECK_INT(unlink(overlay_path), 0);
	CHECK_INT(disk_files_check(a, b, getuid(), &files), PRIV_CODE_FILE);
	close(a);
	close(b);
}

TEST(one_file_twice)
{
	struct disk_files files;
	int a, b;

	need_file_system();
	a = open(overlay_path, O_RDONLY | O_CLOEXEC);
	b = open(overlay_path, O_RDWR | O_CLOEXEC);
	CHECK_INT(disk_files_check(a, b, getuid(), &files), PRIV_CODE_FILE);
	close(a);
	close(b);
}

/* Not files at all, or files in memory. */
TEST(other_kinds)
{
	static const char *const paths[] = {"/dev/null", "/proc/self/status", "/", "/dev/full"};
	struct disk_files files;
	int overlay, fd;

	need_file_system();
	overlay = open(overlay_path, O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0);
		CHECK_INT(disk_files_check(fd, overlay, getuid(), &files), PRIV_CODE_FILE);
		close(fd);
	}
	fd = (int)syscall(SYS_memfd_create, "disk", MFD_CLOEXEC);
	CHECK(fd >= 0 && ftruncate(fd, BASE) == 0);
	CHECK_INT(disk_files_check(fd, overlay, getuid(), &files), PRIV_CODE_FILE);
	close(fd);
	close(overlay);
}

TEST(file_systems)
{
	CHECK(disk_fs_ok(EXT4_SUPER_MAGIC) && disk_fs_ok(BTRFS_SUPER_MAGIC));
	CHECK(!disk_fs_ok(TMPFS_MAGIC) && !disk_fs_ok(PROC_SUPER_MAGIC) &&
		!disk_fs_ok(0x65735546 /* FUSE */));
	CHECK(!disk_fs_ok(NFS_SUPER_MAGIC) && !disk_fs_ok(OVERLAYFS_SUPER_MAGIC) && !disk_fs_ok(0));
}

TEST(sizes)
{
	off_t store = (off_t)bg_disk_store_size(BASE, BG_DISK_CHUNK);

	need_file_system();
	make_files(0, store);
	CHECK_INT(check(), PRIV_CODE_SIZE);
	make_files(BASE + 512, store + (off_t)MIB);
	CHECK_INT(check(), PRIV_CODE_SIZE);
	make_files(BASE, store - 1);
	CHECK_INT(check(), PRIV_CODE_SIZE);
	make_files(BASE, store + 512);
	CHECK_INT(check(), PRIV_CODE_SIZE);
	make_files(BASE, store + BG_DISK_CHUNK);
	CHECK_INT(check(), PRIV_CODE_OK);
	make_files((off_t)BG_DISK_BASE_MAX + BG_DISK_CHUNK,
		(off_t)bg_disk_store_size(BG_DISK_BASE_MAX, BG_DISK_CHUNK) * 2);
	CHECK_INT(check(), PRIV_CODE_SIZE);
}

/* magic, valid, version, chunk size */
static void put_header(const uint32_t header[4])
{
	int fd = open(overlay_path, O_WRONLY | O_CLOEXEC);

	CHECK_INT(pwrite(fd, header, 16, 0), 16);
	close(fd);
}

TEST(headers)
{
	static const struct {
		uint32_t header[4];
		enum priv_code code;
	} cases[] = {
		{{0x70416e53, 1, 1, 8}, PRIV_CODE_OK},
		{{0, 0, 0, 0}, PRIV_CODE_OK},
		{{0x70416e53, 0, 1, 8}, PRIV_CODE_OVERLAY},
		{{0x70416e53, 2, 1, 8}, PRIV_CODE_OVERLAY},
		{{0x70416e53, 1, 0, 8}, PRIV_CODE_OVERLAY},
		{{0x70416e53, 1, 1, 16}, PRIV_CODE_OVERLAY},
		{{0x70416e53, 1, 1, 1 << 20}, PRIV_CODE_OVERLAY},
		{{0, 0, 0, 1 << 20}, PRIV_CODE_OVERLAY},
		{{0, 1, 1, 8}, PRIV_CODE_OVERLAY},
		{{1, 1, 1, 8}, PRIV_CODE_OVERLAY},
	};

	need_file_system();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_header(cases[i].header);
		CHECK_INT(check(), cases[i].code);
	}
}

/* The store has room for each chunk of the base, its areas and header, as the kernel counts them.
 */
TEST(store_holds_the_whole_base)
{
	static const uint64_t bases[] = {
		4096, MIB, 424 * MIB, 424 * MIB + 4096, 8 * GIB, BG_DISK_BASE_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		uint64_t chunks = bases[i] / 4096, areas = chunks / 256 + 1;

		CHECK(bg_disk_store_size(bases[i], BG_DISK_CHUNK) >=
			(1 + chunks + areas + 1) * 4096);
		CHECK_INT(bg_disk_store_size(bases[i], BG_DISK_CHUNK) % MIB, 0);
	}
}
