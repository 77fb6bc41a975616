/* SPDX-License-Identifier: ISC */
/* guest/ext4_super: what mkfs.ext4 writes, places of descriptors by hand, and kinds that are
 * refused. */
#include "guest/ext4_super.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/test.h"

static int made(const char *options, const char *size)
{
	char path[128], cmd[512];

	snprintf(path, sizeof(path), "%s/fs", test_tmpdir());
	snprintf(cmd, sizeof(cmd),
		"rm -f %s; PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F %s %s %s >/dev/null 2>&1",
		path, options, path, size);
	if (system(cmd) != 0)
		test_skip("no mkfs.ext4 on this machine");
	return open(path, O_RDWR | O_CLOEXEC);
}

static void group_of(int fd, const struct ext4_super *s, uint32_t i, struct ext4_group *ret)
{
	uint8_t desc[64];

	CHECK(pread(fd, desc, sizeof(desc), (off_t)ext4_group_at(s, i)) == sizeof(desc));
	ext4_group_parse(s, desc, ret);
}

/* The superblock's own count of free blocks is the sum of all groups'. */
static void check_sum(int fd, uint32_t groups)
{
	struct ext4_super s;
	struct ext4_group g;
	uint64_t sum = 0;
	uint32_t want = 0;

	CHECK_INT(ext4_super_read(fd, &s), 0);
	CHECK_INT(s.groups, groups);
	CHECK(!s.errors);
	for (uint32_t i = 0; i < s.groups; i++) {
		group_of(fd, &s, i, &g);
		sum += g.free;
	}
	CHECK(pread(fd, &want, sizeof(want), EXT4_SUPER_AT + 0x0c) == sizeof(want));
	CHECK_INT(sum, want);
	close(fd);
}

TEST(what_mkfs_writes)
{
	check_sum(made("-b 4096", "1G"), 8);
	check_sum(made("-b 1024", "60M"), 8);
	check_sum(made("-b 4096 -O ^64bit", "300M"), 3);
	check_sum(made("-b 1024 -O meta_bg,^resize_inode", "300M"), 38);
}

/* Clusters: not a kind that its groups are looked at. */
TEST(groups_of_another_kind)
{
	int fd = made("-b 4096 -O bigalloc -C 65536", "300M");
	struct ext4_super s;

	CHECK_INT(ext4_super_read(fd, &s), 0);
	CHECK_INT(s.groups, 0);
	CHECK_INT(s.blocks, 300 * 256);
	close(fd);
}

TEST(groups_that_no_file_was_ever_in)
{
	int fd = made("-b 4096", "1G");
	struct ext4_super s;
	struct ext4_group first, other;

	CHECK_INT(ext4_super_read(fd, &s), 0);
	group_of(fd, &s, 0, &first);
	group_of(fd, &s, 2, &other);
	CHECK(!first.untouched);
	CHECK(other.untouched);
	close(fd);
}

TEST(an_error_that_is_recorded)
{
	int fd = made("-b 4096", "64M");
	uint16_t state = 3;
	struct ext4_super s;

	CHECK(pwrite(fd, &state, sizeof(state), EXT4_SUPER_AT + 0x3a) == sizeof(state));
	CHECK_INT(ext4_super_read(fd, &s), 0);
	CHECK(s.errors);
	close(fd);
}

TEST(what_is_not_ext4)
{
	uint8_t bytes[EXT4_SUPER_BYTES] = {0};
	struct ext4_super s;

	CHECK_INT(ext4_super_parse(bytes, &s), -EMEDIUMTYPE);
	bytes[0x38] = 0x53;
	bytes[0x39] = 0xef;
	CHECK_INT(ext4_super_parse(bytes, &s), 0);
	CHECK_INT(s.groups, 0);
	CHECK_INT(s.block_size, 1024);
	bytes[0x18] = 7;
	CHECK_INT(ext4_super_parse(bytes, &s), -EMEDIUMTYPE);
}
