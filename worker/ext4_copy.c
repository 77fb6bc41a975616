/* SPDX-License-Identifier: ISC */
/* Copies one name with all that belongs to it from one image that is being written to another. */
#include "worker/ext4_int.h"

#include <sys/sysmacros.h>

static void attr_of(const struct ext2_inode_large *inode, struct ext4_attr *ret)
{
	uint32_t wide = inode->i_block[1];

	*ret = (struct ext4_attr){
		.mode = inode->i_mode & 07777u,
		.uid = inode->i_uid | (uint32_t)inode->osd2.linux2.l_i_uid_high << 16,
		.gid = inode->i_gid | (uint32_t)inode->osd2.linux2.l_i_gid_high << 16,
		.mtime = (int32_t)inode->i_mtime + ((int64_t)(inode->i_mtime_extra & 3) << 32),
		.mtime_nsec = inode->i_mtime_extra >> 2,
	};
	if (!S_ISCHR(inode->i_mode) && !S_ISBLK(inode->i_mode))
		return;
	if (inode->i_block[0]) {
		ret->major = inode->i_block[0] >> 8 & 0xff;
		ret->minor = inode->i_block[0] & 0xff;
	} else {
		ret->major = wide >> 8 & 0xfff;
		ret->minor = (wide & 0xff) | (wide >> 12 & 0xfff00);
	}
}

static int copy_blocks(struct ext4 *e, ext2_file_t file, uint8_t *buf)
{
	uint64_t offset = 0;
	unsigned int got;

	for (;;) {
		int r = ext4_errno(ext2fs_file_read(file, buf, EXT4_FILE_BUFFER, &got));

		if (r < 0 || got == 0)
			return r;
		r = ext4_file_write(e, buf, got, offset);
		if (r < 0)
			return r;
		offset += got;
	}
}

static int copy_file(struct ext4 *from, const struct ext4_node *src, struct ext4 *e,
	const char *path, const struct ext4_attr *a, struct ext4_node **ret)
{
	_free_ uint8_t *buf = malloc(EXT4_FILE_BUFFER);
	ext2_file_t file = NULL;
	uint64_t size = 0;
	int r = buf ? ext4_file_open(e, path, a) : -ENOMEM;

	if (r >= 0)
		r = ext4_errno(ext2fs_file_open(from->fs, src->ino, 0, &file));
	if (r >= 0)
		r = copy_blocks(e, file, buf);
	if (r >= 0)
		r = ext4_errno(ext2fs_file_get_lsize(file, (__u64 *)&size));
	if (file)
		(void)ext2fs_file_close(file);
	return r < 0 ? r : ext4_file_close(e, size, ret);
}

struct xattr_copy {
	struct ext4 *e;
	const struct ext4_node *node;
	int r;
};

static int copy_xattr(char *name, char *value, size_t len, void *arg)
{
	struct xattr_copy *c = arg;

	c->r = ext4_set_xattr(c->e, c->node, name, value, len);
	return c->r < 0 ? XATTR_ABORT : 0;
}

static int copy_xattrs(struct ext4 *from, const struct ext4_node *src, struct xattr_copy *c)
{
	struct ext2_xattr_handle *h = NULL;
	errcode_t r = ext2fs_xattrs_open(from->fs, src->ino, &h);

	if (!r)
		r = ext2fs_xattrs_read(h);
	if (!r)
		r = ext2fs_xattrs_iterate(h, copy_xattr, c);
	if (h)
		(void)ext2fs_xattrs_close(&h);
	return r ? ext4_errno(r) : c->r;
}

int ext4_copy(struct ext4 *from, const struct ext4_node *src, struct ext4 *e, const char *path,
	struct ext4_node **ret)
{
	struct xattr_copy c = {.e = e};
	struct ext2_inode_large inode;
	struct ext4_node *made = NULL;
	struct ext4_attr a;
	int r = ext4_read_inode(from, src->ino, &inode);

	if (r < 0)
		return r;
	attr_of(&inode, &a);
	e->copied += EXT2_I_SIZE(&inode);
	if (ext4_type(src) == S_IFREG)
		r = copy_file(from, src, e, path, &a, &made);
	else if (ext4_type(src) == S_IFLNK)
		r = ext4_symlink(e, path, ext4_target(from, src), &a, &made);
	else
		r = ext4_mknod(e, path, ext4_type(src), &a, &made);
	c.node = made;
	if (ret)
		*ret = made;
	return r < 0 ? r : copy_xattrs(from, src, &c);
}

int ext4_copy_attr(struct ext4 *from, const struct ext4_node *src, struct ext4 *e, const char *path)
{
	struct xattr_copy c = {.e = e};
	struct ext2_inode_large inode;
	struct ext4_node *made = NULL;
	struct ext4_attr a;
	int r = ext4_read_inode(from, src->ino, &inode);

	if (r < 0)
		return r;
	attr_of(&inode, &a);
	r = ext4_mkdir(e, path, &a, &made);
	c.node = made;
	return r < 0 ? r : copy_xattrs(from, src, &c);
}
