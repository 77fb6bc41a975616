/* SPDX-License-Identifier: ISC */
/*
 * The inspect job: is this a whole ext4 file system, and what is in it? The only job that reads
 * one that somebody else made, so all of it is hostile. It looks at what libext2fs checks when it
 * opens one, at the size, and at a few names; it is not an e2fsck.
 */
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "worker/ext4_int.h"
#include "worker/job.h"
#include "worker/what_is_in.h"

struct inspected {
	ext2_filsys fs;
	const char *name;
};

static int wrong(const struct inspected *x, const char *why, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL,
		"%s is not a whole ext4 file system: %s", x->name, why);
}

static int open_fs(struct inspected *x, int fd, errcode_t *ret, struct bg_err **err)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* closed by libext2fs */
	char number[16];

	if (own < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read %s", x->name);
	snprintf(number, sizeof(number), "%d", own);
	*ret = ext2fs_open(
		number, EXT2_FLAG_64BITS | EXT2_FLAG_THREADS, 0, 0, unixfd_io_manager, &x->fs);
	if (*ret)
		bg_close(own);
	return 0;
}

static int check_size(const struct inspected *x, int fd, struct bg_err **err)
{
	const uint64_t blocks = ext2fs_blocks_count(x->fs->super);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read %s", x->name);
	if (blocks > (uint64_t)st.st_size / x->fs->blocksize)
		return wrong(x, "the file is shorter than its superblock says", err);
	return 0;
}

static int check_groups(const struct inspected *x, struct bg_err **err)
{
	if (ext2fs_check_desc(x->fs))
		return wrong(x, "its group descriptors are damaged", err);
	for (dgrp_t g = 0; g < x->fs->group_desc_count; g++)
		if (!ext2fs_group_desc_csum_verify(x->fs, g))
			return wrong(x, "its group descriptors are damaged", err);
	return 0;
}

static bool find(
	const struct inspected *x, const char *path, ext2_ino_t *ino, struct ext2_inode *inode)
{
	return ext2fs_namei_follow(x->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, ino) == 0 &&
	       ext2fs_read_inode(x->fs, *ino, inode) == 0;
}

static bool has_file(const struct inspected *x, const char *const *paths)
{
	struct ext2_inode inode;
	ext2_ino_t ino;

	for (size_t i = 0; paths[i]; i++)
		if (find(x, paths[i], &ino, &inode) && LINUX_S_ISREG(inode.i_mode))
			return true;
	return false;
}

static char *read_file(const struct inspected *x, ext2_ino_t ino, const struct ext2_inode *inode)
{
	_free_ char *text = NULL;
	ext2_file_t file = NULL;
	unsigned int got = 0;

	if (!LINUX_S_ISREG(inode->i_mode) || EXT2_I_SIZE(inode) > OS_RELEASE_MAX ||
		ext2fs_file_open(x->fs, ino, 0, &file))
		return NULL;
	text = calloc(1, OS_RELEASE_MAX + 1);
	if (text && ext2fs_file_read(file, text, OS_RELEASE_MAX, &got))
		free(TAKE_PTR(text));
	(void)ext2fs_file_close(file);
	return TAKE_PTR(text);
}

static char *read_os_release(const struct inspected *x)
{
	struct ext2_inode inode;
	char *text = NULL;
	ext2_ino_t ino;

	for (size_t i = 0; !text && os_release_paths[i]; i++)
		if (find(x, os_release_paths[i], &ino, &inode))
			text = read_file(x, ino, &inode);
	return text;
}

static int describe(const struct inspected *x, json_t **ret, struct bg_err **err)
{
	_free_ char *text = NULL;
	struct ext2_inode root;

	if (ext2fs_read_inode(x->fs, EXT2_ROOT_INO, &root) || !LINUX_S_ISDIR(root.i_mode) ||
		ext2fs_check_directory(x->fs, EXT2_ROOT_INO))
		return wrong(x, "it has no root directory", err);
	text = read_os_release(x);
	*ret = json_pack("{s:o, s:b, s:b}", "os_release", os_release_parse(text), "has_sshd",
		(int)has_file(x, sshd_paths), "has_init", (int)has_file(x, init_paths));
	return *ret ? 0 : bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "describe %s", x->name);
}

int job_inspect(struct job *job, json_t **ret, struct bg_err **err)
{
	struct inspected x = {.name = "the file"};
	errcode_t why = 0;
	int r = bg_json_or_str(job->params, "name", BG_ERR_WORKER, &x.name, err);

	if (r >= 0)
		r = open_fs(&x, job->fd[0], &why, err);
	if (r < 0)
		return r;
	/* A newer Linux than this library may boot it. */
	if (why == EXT2_ET_UNSUPP_FEATURE || why == EXT2_ET_RO_UNSUPP_FEATURE) {
		*ret = json_object();
		return 0;
	}
	if (why)
		return wrong(&x,
			why == EXT2_ET_BAD_MAGIC ? "it has no superblock"
						 : "its superblock is damaged",
			err);
	r = check_size(&x, job->fd[0], err);
	if (r >= 0)
		r = check_groups(&x, err);
	if (r >= 0)
		r = describe(&x, ret, err);
	ext2fs_free(x.fs);
	return r;
}
