/* SPDX-License-Identifier: ISC */
/* The ext4 writer against libext2fs's reader and e2fsck. */
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/test.h"
#include "worker/ext4.h"

static char path[256];

static struct ext4 *begin(uint64_t max)
{
	const struct ext4_opts opts = {
		.label = "test", .max_size = max, .max_entries = 100000, .journal_size = 4 * MIB};
	struct ext4 *e = NULL;
	int fd;

	snprintf(path, sizeof(path), "%s/img", test_tmpdir());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0);
	CHECK_INT(ext4_create(fd, &opts, &e), 0);
	return e;
}

static void fsck(void)
{
	char cmd[1024];
	int status;

	snprintf(cmd, sizeof(cmd),
		"PATH=/usr/sbin:/sbin:/usr/bin:/bin; command -v e2fsck >/dev/null || exit 99; "
		"e2fsck -fn %s >%s.log 2>&1 || { sed 's/^/# /' %s.log; exit 1; }",
		path, path, path);
	status = system(cmd);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		test_skip("no e2fsck on this machine");
	CHECK_INT(status, 0);
}

static ext2_filsys end(struct ext4 *e, uint64_t min_size, uint64_t min_free)
{
	ext2_filsys fs = NULL;
	uint64_t size = 0;
	struct stat st;

	CHECK_INT(ext4_finish(e, min_size, min_free, &size), 0);
	ext4_free(e);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_size, size);
	CHECK(size >= min_size);
	fsck();
	CHECK_INT(ext2fs_open(path, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
	CHECK(ext2fs_free_blocks_count(fs->super) * EXT4_BLOCK >= min_free);
	return fs;
}

static ext2_ino_t look(ext2_filsys fs, const char *name, struct ext2_inode_large *ino)
{
	ext2_ino_t n = 0;

	CHECK_INT(ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, name, &n), 0);
	CHECK_INT(ext2fs_read_inode_full(fs, n, (struct ext2_inode *)ino, sizeof(*ino)), 0);
	return n;
}

static void put(struct ext4 *e, const char *name, const char *text)
{
	const struct ext4_attr a = {.mode = 0644};

	CHECK_INT(ext4_file_open(e, name, &a), 0);
	CHECK_INT(ext4_file_write(e, text, strlen(text), 0), 0);
	CHECK_INT(ext4_file_close(e, strlen(text), NULL), 0);
}

TEST(attributes_are_kept)
{
	const struct ext4_attr a = {.mode = 04755,
		.uid = 70000,
		.gid = 80001,
		.mtime = 5000000000,
		.mtime_nsec = 123456789};
	struct ext2_inode_large ino;
	struct ext4 *e = begin(64 * MIB);
	ext2_filsys fs;

	CHECK_INT(ext4_file_open(e, "usr/bin/su", &a), 0);
	CHECK_INT(ext4_file_close(e, 0, NULL), 0);
	fs = end(e, 64 * MIB, 0);
	look(fs, "/usr/bin/su", &ino);
	CHECK_INT(ino.i_mode, S_IFREG | 04755);
	CHECK_INT(inode_uid(ino), 70000);
	CHECK_INT(inode_gid(ino), 80001);
	CHECK_INT(ino.i_mtime, (uint32_t)5000000000);
	CHECK_INT(ino.i_mtime_extra, 123456789u << 2 | 1);
	look(fs, "/usr", &ino);
	CHECK_INT(ino.i_mode, S_IFDIR | 0755);
	CHECK_INT(ino.i_links_count, 3);
	ext2fs_free(fs);
}

TEST(links_devices_and_fifos)
{
	const struct ext4_attr big = {.mode = 0600, .major = 300, .minor = 70000};
	const struct ext4_attr small = {.mode = 0660, .major = 8, .minor = 1};
	struct ext2_inode_large ino;
	struct ext4 *e = begin(64 * MIB);
	char target[300];
	ext2_ino_t n;
	ext2_filsys fs;

	memset(target, 'a', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	put(e, "f", "text");
	CHECK_INT(ext4_link(e, "g", "f"), 0);
	CHECK_INT(ext4_link(e, "h", "nothing"), -ENOENT);
	CHECK_INT(ext4_link(e, "h", "."), -EISDIR);
	CHECK_INT(ext4_symlink(e, "s", "f", &small, NULL), 0);
	CHECK_INT(ext4_symlink(e, "l", target, &small, NULL), 0);
	CHECK_INT(ext4_mknod(e, "c", S_IFCHR, &big, NULL), 0);
	CHECK_INT(ext4_mknod(e, "b", S_IFBLK, &small, NULL), 0);
	CHECK_INT(ext4_mknod(e, "p", S_IFIFO, &small, NULL), 0);
	fs = end(e, 0, 0);
	n = look(fs, "/f", &ino);
	CHECK_INT(ino.i_links_count, 2);
	CHECK_INT(look(fs, "/g", &ino), n);
	look(fs, "/b", &ino);
	CHECK_INT(ino.i_block[0], 0x801);
	look(fs, "/c", &ino);
	CHECK_INT(ino.i_block[1], (70000 & 0xff) | 300 << 8 | (70000 & ~0xff) << 12);
	look(fs, "/p", &ino);
	CHECK_INT(ino.i_mode, S_IFIFO | 0660);
	ext2fs_free(fs);
}

TEST(zeros_become_holes_and_fragments_a_tree)
{
	const struct ext4_attr a = {.mode = 0644};
	static char block[EXT4_BLOCK];
	struct ext2_inode_large ino;
	struct ext4 *e = begin(64 * MIB);
	ext2_filsys fs;

	memset(block, 'x', sizeof(block));
	CHECK_INT(ext4_file_open(e, "frag", &a), 0);
	for (uint64_t i = 0; i < 900; i++)
		CHECK_INT(ext4_file_write(e, block, sizeof(block), i * 3 * EXT4_BLOCK), 0);
	CHECK_INT(ext4_file_write(e, block, 1, 4096), -EINVAL); /* back over what is written */
	CHECK_INT(ext4_file_close(e, 900 * 3 * EXT4_BLOCK, NULL), 0);
	CHECK_INT(ext4_file_open(e, "hole", &a), 0);
	CHECK_INT(ext4_file_close(e, 5 * GIB, NULL), 0);
	fs = end(e, 0, 0);
	look(fs, "/frag", &ino);
	CHECK(ino.i_blocks >= 900 * 8 && ino.i_blocks < 920 * 8);
	look(fs, "/hole", &ino);
	CHECK_INT(ino.i_blocks, 0);
	CHECK_INT(EXT2_I_SIZE(&ino), 5 * GIB);
	ext2fs_free(fs);
}

TEST(later_entries_replace_earlier_ones)
{
	const struct ext4_attr a = {.mode = 0700};
	struct ext2_inode_large ino;
	struct ext4 *e = begin(64 * MIB);
	struct ext4_node *node;
	ext2_ino_t n = 0;
	ext2_filsys fs;
	char big[20000];

	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	put(e, "x", big);
	CHECK_INT(ext4_link(e, "x2", "x"), 0);
	put(e, "x", "short");
	CHECK_INT(ext4_mkdir(e, "x2", &a, &node), 0); /* the last link of the big file goes */
	CHECK_INT(ext4_set_xattr(e, node, "user.k", big, 3000), 0);
	CHECK_INT(ext4_mkdir(e, "x2", &a, &node), 0);
	CHECK_INT(ext4_link(e, "x", "x"), 0); /* onto itself */
	put(e, "x2/child", "c");
	CHECK_INT(ext4_symlink(e, "x2", "x", &a, NULL), -ENOTEMPTY);
	fs = end(e, 0, 0);
	look(fs, "/x", &ino);
	CHECK_INT(EXT2_I_SIZE(&ino), 5);
	CHECK_INT(ino.i_links_count, 1);
	look(fs, "/x2/child", &ino);
	CHECK(ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, "/x3", &n) != 0);
	ext2fs_free(fs);
}

TEST(links_on_the_way_stay_inside)
{
	const struct ext4_attr a = {.mode = 0777};
	struct ext2_inode_large ino;
	struct ext4 *e = begin(64 * MIB);
	ext2_filsys fs;

	CHECK_INT(ext4_symlink(e, "up", "../../../..", &a, NULL), 0);
	put(e, "up/passwd", "x");
	CHECK_INT(ext4_symlink(e, "abs", "/etc", &a, NULL), 0);
	put(e, "abs/shadow", "x");
	CHECK_INT(ext4_symlink(e, "loop", "loop", &a, NULL), 0);
	CHECK_INT(ext4_file_open(e, "loop/f", &a), -ELOOP);
	CHECK_INT(ext4_file_open(e, "up/passwd/f", &a), -ENOTDIR);
	CHECK_INT(ext4_file_open(e, "a/..", &a), -EINVAL);
	fs = end(e, 0, 0);
	look(fs, "/passwd", &ino);
	look(fs, "/etc/shadow", &ino);
	ext2fs_free(fs);
}

static int count_entry(struct ext2_dir_entry *de, int offset, int blocksize, char *buf, void *arg)
{
	(void)de, (void)offset, (void)blocksize, (void)buf;
	++*(int *)arg;
	return 0;
}

TEST(large_directories)
{
	struct ext2_inode_large ino;
	struct ext4 *e = begin(256 * MIB);
	char name[64];
	ext2_filsys fs;
	int n = 0;

	for (int i = 0; i < 9000; i++) { /* more than one group's inodes */
		snprintf(name, sizeof(name), "many/a-name-of-some-length-%d", i);
		put(e, name, "1");
	}
	fs = end(e, 0, MIB);
	CHECK_INT(ext2fs_dir_iterate(fs, look(fs, "/many", &ino), 0, NULL, count_entry, &n), 0);
	CHECK_INT(n, 9002);
	ext2fs_free(fs);
}

TEST(the_image_ends_behind_its_content)
{
	struct ext4 *e = begin(64 * GIB);
	struct stat st;

	put(e, "f", "x");
	ext2fs_free(end(e, 0, 20 * MIB));
	CHECK_INT(stat(path, &st), 0);
	CHECK(st.st_size < (off_t)(64 * MIB));
	CHECK(st.st_blocks * 512 < (off_t)(4 * MIB));
	e = begin(64 * GIB);
	ext2fs_free(end(e, 3 * GIB + 5 * MIB, 0));
	e = begin(64 * GIB);
	ext2fs_free(end(e, 0, 500 * MIB));
	e = begin(64 * GIB);
	ext2fs_free(end(e, 64 * GIB, 0));
}

TEST(too_much_content)
{
	const struct ext4_attr a = {.mode = 0644};
	struct ext4 *e = begin(16 * MIB);
	static char data[MIB];
	int r;

	memset(data, 'x', sizeof(data));
	CHECK_INT(ext4_file_open(e, "f", &a), 0);
	r = 0;
	for (uint64_t i = 0; r == 0 && i < 64; i++)
		r = ext4_file_write(e, data, sizeof(data), i * MIB);
	CHECK_INT(r, -EFBIG);
	ext4_free(e); /* half-built objects are released */
}

TEST(what_is_written_reads_back)
{
	struct ext4 *e = begin(64 * MIB);
	_free_ char *text = NULL;
	struct ext4_node *node;
	size_t len;

	put(e, "a/b", "hello");
	CHECK_INT(ext4_lookup(e, "/a/../a/b", &node), 0);
	CHECK_INT(ext4_node_type(node), S_IFREG);
	CHECK_INT(ext4_read_file(e, node, 4, &text, &len), -EFBIG);
	CHECK_INT(ext4_read_file(e, node, 5, &text, &len), 0);
	CHECK_STR(text, "hello");
	CHECK_INT(ext4_lookup(e, "/a/c", &node), -ENOENT);
	ext4_free(e);
}
