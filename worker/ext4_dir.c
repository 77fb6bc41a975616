/* SPDX-License-Identifier: ISC */
/*
 * Directories of the ext4 writer: written once, at the end, from the names in memory. They are
 * linear (no hash index), which every ext4 reads; Linux indexes the small ones as they grow.
 */
#include "worker/ext4_int.h"

#define TAIL 12 /* struct ext2_dir_entry_tail: the checksum at the end of a block */

struct dir {
	struct ext4 *e;
	struct ext4_node *node;
	struct ext4_runs runs;
	uint32_t subdirs;
	size_t at, last; /* in buf: the next entry, the newest one */
	_Alignas(8) uint8_t buf[EXT4_BLOCK];
};

static uint8_t file_type(mode_t type)
{
	switch (type) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	case S_IFSOCK:
		return EXT2_FT_SOCK;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	default:
		return EXT2_FT_UNKNOWN;
	}
}

/* Closes the block in buf and puts it on disk; directories have no holes. */
static int put_block(struct dir *d)
{
	struct ext2_dir_entry_2 *last = (void *)(d->buf + d->last);
	struct ext4_run run = {.logical = d->runs.blocks};
	int r;

	last->rec_len = (uint16_t)(EXT4_BLOCK - TAIL - d->last);
	ext2fs_initialize_dirent_tail(d->e->fs, (void *)(d->buf + EXT4_BLOCK - TAIL));
	r = ext4_alloc(d->e, 1, &run);
	if (r >= 0)
		r = ext4_errno(
			ext2fs_write_dir_block4(d->e->fs, run.physical, d->buf, 0, d->node->ino));
	if (r >= 0)
		r = ext4_runs_add(&d->runs, &run);
	memset(d->buf, 0, sizeof(d->buf));
	d->at = d->last = 0;
	return r;
}

static int put_name(struct dir *d, uint32_t ino, uint8_t type, const char *name, size_t len)
{
	size_t need = (sizeof(struct ext2_dir_entry_2) - EXT2_NAME_LEN + len + 3) & ~(size_t)3;
	struct ext2_dir_entry_2 *de;

	if (d->at + need > EXT4_BLOCK - TAIL) {
		int r = put_block(d);

		if (r < 0)
			return r;
	}
	de = (void *)(d->buf + d->at);
	de->inode = ino;
	de->rec_len = (uint16_t)need;
	de->name_len = (uint8_t)len;
	de->file_type = type;
	memcpy(de->name, name, len);
	d->last = d->at;
	d->at += need;
	return 0;
}

/* Children hang newest first; the archive's order reads better and packs related files. */
static void reverse_children(const struct ext4 *e, struct ext4_node *dir)
{
	uint32_t out = 0, next;

	for (uint32_t at = dir->children; at; at = next) {
		struct ext4_node *n = ext4_at(e, at);

		next = n->sibling;
		n->sibling = out;
		out = at;
	}
	dir->children = out;
}

static int put_names(struct dir *d)
{
	int r = put_name(d, d->node->ino, EXT2_FT_DIR, ".", 1);

	if (r >= 0)
		r = put_name(d, ext4_at(d->e, d->node->parent)->ino, EXT2_FT_DIR, "..", 2);
	reverse_children(d->e, d->node);
	for (const struct ext4_node *n = ext4_at(d->e, d->node->children); r >= 0 && n;
		n = ext4_at(d->e, n->sibling)) {
		if (n->dead)
			continue;
		d->subdirs += ext4_type(n) == S_IFDIR;
		r = put_name(d, n->ino, file_type(ext4_type(n)), n->name, n->len);
	}
	return r < 0 ? r : put_block(d);
}

static int write_dir(struct ext4 *e, struct ext4_node *node, struct dir *d)
{
	struct ext2_inode_large inode;
	int r;

	*d = (struct dir){.e = e, .node = node};
	r = put_names(d);
	if (r >= 0)
		r = ext4_read_inode(e, node->ino, &inode);
	if (r >= 0) {
		uint64_t size = d->runs.blocks * EXT4_BLOCK;

		inode.i_size = (uint32_t)size;
		inode.i_size_high = (uint32_t)(size >> 32);
		/* dir_nlink: more than fit are told as 1. */
		inode.i_links_count =
			(uint16_t)(d->subdirs + 2 >= EXT4_LINK_MAX_ ? 1 : d->subdirs + 2);
		r = ext4_map_runs(e, node->ino, &inode, &d->runs);
	}
	free(d->runs.v);
	return r;
}

/* The next live directory in depth-first order; NULL at the end. */
static struct ext4_node *next_dir(const struct ext4 *e, struct ext4_node *at)
{
	struct ext4_node *n = ext4_at(e, at->children);

	for (;;) {
		for (; n; n = ext4_at(e, n->sibling))
			if (!n->dead && ext4_type(n) == S_IFDIR)
				return n;
		if (at == e->root)
			return NULL;
		n = ext4_at(e, at->sibling);
		at = ext4_at(e, at->parent);
	}
}

int ext4_write_dirs(struct ext4 *e)
{
	_free_ struct dir *d = calloc(1, sizeof(*d));
	int r = d ? 0 : -ENOMEM;

	for (struct ext4_node *n = e->root; r >= 0 && n; n = next_dir(e, n))
		r = write_dir(e, n, d);
	return r;
}
