/* SPDX-License-Identifier: ISC */
/*
 * Blocks and file data of the ext4 writer: runs of free blocks are taken upwards, data is written
 * past libext2fs's cache straight to the image, and the runs become extents at the end.
 */
#include "worker/ext4_int.h"

int ext4_pwrite(struct ext4 *e, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(e->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int find_free(struct ext4 *e, blk64_t *ret)
{
	blk64_t first = e->fs->super->s_first_data_block;
	blk64_t last = ext2fs_blocks_count(e->fs->super) - 1;
	errcode_t r = ENOENT;

	if (e->next_block <= last)
		r = ext2fs_find_first_zero_block_bitmap2(
			e->fs->block_map, e->next_block, last, ret);
	/* Once more from the start: replaced files leave room behind. */
	if (r == ENOENT)
		r = ext2fs_find_first_zero_block_bitmap2(e->fs->block_map, first, last, ret);
	return r == ENOENT ? -EFBIG : ext4_errno(r);
}

/* Takes up to want adjoining blocks; at least one. ret->logical is left alone. */
int ext4_alloc(struct ext4 *e, uint64_t want, struct ext4_run *ret)
{
	blk64_t last = ext2fs_blocks_count(e->fs->super) - 1;
	blk64_t start = 0, end, limit;
	int r = find_free(e, &start);

	if (r < 0)
		return r;
	limit = BG_MIN(last, start + BG_MIN(want, (uint64_t)EXT4_RUN_MAX) - 1);
	if (limit == start ||
		ext2fs_find_first_set_block_bitmap2(e->fs->block_map, start + 1, limit, &end))
		end = limit + 1;
	ext2fs_block_alloc_stats_range(e->fs, start, (blk_t)(end - start), +1);
	e->next_block = end;
	ret->physical = start;
	ret->count = end - start;
	return 0;
}

int ext4_runs_add(struct ext4_runs *runs, const struct ext4_run *run)
{
	struct ext4_run *last = runs->n ? &runs->v[runs->n - 1] : NULL;

	runs->blocks += run->count;
	if (last && last->physical + last->count == run->physical &&
		last->logical + last->count == run->logical &&
		last->count + run->count <= EXT4_RUN_MAX) {
		last->count += run->count;
		return 0;
	}
	if (runs->n == runs->room) {
		size_t room = runs->room ? runs->room * 2 : 16;
		struct ext4_run *v = reallocarray(runs->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		runs->v = v;
		runs->room = room;
	}
	runs->v[runs->n++] = *run;
	return 0;
}

static void map_inline(struct ext2_inode_large *inode, const struct ext4_runs *runs)
{
	struct ext3_extent_header *eh = (void *)inode->i_block;
	struct ext3_extent *ex = (void *)(eh + 1);

	eh->eh_entries = (uint16_t)runs->n;
	for (size_t i = 0; i < runs->n; i++) {
		ex[i].ee_block = (uint32_t)runs->v[i].logical;
		ex[i].ee_len = (uint16_t)runs->v[i].count;
		ex[i].ee_start = (uint32_t)runs->v[i].physical;
		ex[i].ee_start_hi = (uint16_t)(runs->v[i].physical >> 32);
	}
}

static int map_tree(struct ext4 *e, ext2_ino_t ino, const struct ext4_runs *runs)
{
	ext2_extent_handle_t h = NULL;
	errcode_t r = ext2fs_extent_open(e->fs, ino, &h);

	for (size_t i = 0; !r && i < runs->n; i++) {
		struct ext2fs_extent ext = {
			.e_lblk = runs->v[i].logical,
			.e_pblk = runs->v[i].physical,
			.e_len = (uint32_t)runs->v[i].count,
			.e_flags = EXT2_EXTENT_FLAGS_LEAF,
		};

		r = ext2fs_extent_insert(h, EXT2_EXTENT_INSERT_AFTER, &ext);
	}
	if (!r)
		r = ext2fs_extent_fix_parents(h);
	if (h)
		ext2fs_extent_free(h);
	return ext4_errno(r);
}

int ext4_map_runs(struct ext4 *e, ext2_ino_t ino, struct ext2_inode_large *inode,
	const struct ext4_runs *runs)
{
	uint64_t sectors = runs->blocks * (EXT4_BLOCK / 512);
	int r;

	/* Blocks of extended attributes are in i_blocks already: this adds. */
	sectors += inode->i_blocks | (uint64_t)inode->osd2.linux2.l_i_blocks_hi << 32;
	inode->i_blocks = (uint32_t)sectors;
	inode->osd2.linux2.l_i_blocks_hi = (uint16_t)(sectors >> 32);
	if (runs->n <= EXT4_TREE_INLINE)
		map_inline(inode, runs);
	r = ext4_write_inode(e, ino, inode);
	if (r < 0 || runs->n <= EXT4_TREE_INLINE)
		return r;
	return map_tree(e, ino, runs);
}

void ext4_file_reset(struct ext4_file *f)
{
	if (f->buf)
		memset(f->buf, 0, f->used);
	free(f->runs.v);
	memset(&f->runs, 0, sizeof(f->runs));
	f->open = false;
	f->used = 0;
	f->buf_off = 0;
}

int ext4_file_open(struct ext4 *e, const char *path, const struct ext4_attr *a)
{
	struct ext4_file *f = &e->file;
	int r;

	if (f->open)
		return -EBUSY;
	if (!f->buf) {
		f->buf = calloc(1, EXT4_FILE_BUFFER);
		if (!f->buf)
			return -ENOMEM;
	}
	f->to = e;
	r = ext4_tree_place(&f->to, path, S_IFREG, &f->node);
	if (r >= 0)
		r = ext4_new_inode(f->to, S_IFREG, &f->node->ino);
	if (r < 0)
		return r;
	f->attr = *a;
	f->open = true;
	return 0;
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, EXT4_BLOCK - 1) == 0;
}

/* Writes count blocks of the buffer from block number first on. */
static int put_blocks(struct ext4 *e, size_t first, size_t count)
{
	struct ext4_file *f = &e->file;

	while (count > 0) {
		struct ext4_run run = {.logical = f->buf_off / EXT4_BLOCK + first};
		int r = ext4_alloc(f->to, count, &run);

		if (r >= 0)
			r = ext4_pwrite(f->to, f->buf + first * EXT4_BLOCK, run.count * EXT4_BLOCK,
				run.physical * EXT4_BLOCK);
		if (r >= 0)
			r = ext4_runs_add(&f->runs, &run);
		if (r < 0)
			return r;
		first += run.count;
		count -= run.count;
	}
	return 0;
}

static int flush(struct ext4 *e)
{
	struct ext4_file *f = &e->file;
	size_t blocks = (f->used + EXT4_BLOCK - 1) / EXT4_BLOCK;
	size_t i = 0;

	while (i < blocks) {
		size_t start = i;
		int r;

		while (i < blocks && !is_zero(f->buf + i * EXT4_BLOCK))
			i++;
		r = put_blocks(e, start, i - start);
		if (r < 0)
			return r;
		while (i < blocks && is_zero(f->buf + i * EXT4_BLOCK))
			i++;
	}
	memset(f->buf, 0, f->used);
	f->buf_off += blocks * EXT4_BLOCK;
	f->used = 0;
	return 0;
}

int ext4_file_write(struct ext4 *e, const void *buf, size_t len, uint64_t offset)
{
	const uint64_t max = (1ULL << 32) * EXT4_BLOCK - EXT4_BLOCK; /* ext4's largest file */
	struct ext4_file *f = &e->file;
	const uint8_t *p = buf;

	if (!f->open || offset < f->buf_off)
		return -EINVAL;
	if (offset > max || len > max - offset)
		return -EFBIG;
	while (len > 0) {
		size_t at, n;

		if (offset - f->buf_off >= EXT4_FILE_BUFFER) {
			int r = flush(e);

			if (r < 0)
				return r;
			f->buf_off = BG_MAX(f->buf_off, offset - offset % EXT4_BLOCK);
		}
		at = (size_t)(offset - f->buf_off);
		n = BG_MIN(len, EXT4_FILE_BUFFER - at);
		memcpy(f->buf + at, p, n);
		f->used = BG_MAX(f->used, at + n);
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int ext4_file_close(struct ext4 *e, uint64_t size, struct ext4_node **ret)
{
	struct ext4_file *f = &e->file;
	struct ext2_inode_large inode;
	int r;

	if (!f->open)
		return -EINVAL;
	if (size > (1ULL << 32) * EXT4_BLOCK - EXT4_BLOCK)
		return -EFBIG;
	r = f->buf_off + f->used > size + EXT4_BLOCK ? -EINVAL : flush(e);
	if (r >= 0) {
		ext4_fill_inode(&inode, S_IFREG, &f->attr);
		inode.i_size = (uint32_t)size;
		inode.i_size_high = (uint32_t)(size >> 32);
		r = ext4_map_runs(f->to, f->node->ino, &inode, &f->runs);
	}
	if (ret)
		*ret = f->node;
	ext4_file_reset(f);
	return r;
}

int ext4_read_file(
	struct ext4 *e, const struct ext4_node *node, size_t max, char **ret, size_t *ret_len)
{
	ext2_filsys fs = ext4_of(e, node)->fs;
	_free_ char *buf = NULL;
	ext2_file_t file = NULL;
	unsigned int got = 0;
	uint64_t size = 0;
	errcode_t r;

	if (ext4_type(node) != S_IFREG)
		return -EINVAL;
	r = ext2fs_file_open(fs, node->ino, 0, &file);
	if (r)
		return ext4_errno(r);
	r = ext2fs_file_get_lsize(file, (__u64 *)&size);
	if (!r && size > max)
		r = EFBIG;
	buf = r ? NULL : malloc(size + 1);
	if (!r && !buf)
		r = ENOMEM;
	if (!r)
		r = ext2fs_file_read(file, buf, (unsigned int)size, &got);
	(void)ext2fs_file_close(file);
	if (r)
		return ext4_errno(r);
	buf[got] = '\0';
	*ret = TAKE_PTR(buf);
	*ret_len = got;
	return 0;
}
