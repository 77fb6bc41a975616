/* SPDX-License-Identifier: ISC */
/*
 * Layers of the ext4 writer: removing what lower layers brought. Walks are loops over the names in
 * memory, never recursion: an archive may nest as deep as it likes.
 */
#include <fcntl.h>

#include "worker/ext4_int.h"

struct ext4_node *ext4_next_below(
	const struct ext4 *e, const struct ext4_node *top, struct ext4_node *n, bool descend)
{
	if (descend && ext4_type(n) == S_IFDIR && n->children)
		return ext4_at(e, n->children);
	while (n != top) {
		if (n->sibling)
			return ext4_at(e, n->sibling);
		n = ext4_at(e, n->parent);
	}
	return NULL;
}

static int drop(struct ext4 *e, struct ext4_node *n)
{
	int r = ext4_drop_inode(e, n);

	n->dead = r >= 0;
	return r;
}

int ext4_remove(struct ext4 *e, struct ext4_node *top, bool self, int keep)
{
	bool descend = true;
	int r = 0;

	for (struct ext4_node *n = ext4_next_below(e, top, top, true); r >= 0 && n;
		n = ext4_next_below(e, top, n, descend)) {
		/* Below a dead directory all is dead; above a kept name all is kept. */
		descend = !n->dead;
		if (!n->dead && n->layer != keep)
			r = drop(e, n);
	}
	return r >= 0 && self && top->layer != keep ? drop(e, top) : r;
}

void ext4_layer(struct ext4 *e, unsigned n)
{
	e->layer = (uint8_t)n;
	if (e->inner)
		ext4_layer(e->inner, n);
}

int ext4_whiteout(struct ext4 *e, const char *path, bool self)
{
	struct ext4 *inner = e->inner;
	struct ext4_node *n = NULL;
	int r = ext4_tree_find(&e, path, self ? EXT4_FIND_LINK : EXT4_FIND_OWN, &n);

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	if (r < 0 || (ext4_type(n) != S_IFDIR && !self))
		return r;
	/* Told twice: whatever is there now is of this layer. */
	if (n->opaque == e->layer && n->layer == e->layer)
		return 0;
	n->opaque = e->layer;
	r = ext4_remove(e, n, self && n != e->root, e->layer);
	/* What is mounted below the top goes with all else. */
	if (r >= 0 && inner && n == e->root && e != inner)
		r = ext4_remove(inner, inner->root, false, e->layer);
	return r;
}

int ext4_punch_freed(struct ext4 *e, uint64_t end)
{
	blk64_t from, to = e->fs->super->s_first_data_block;

	if (!e->freed)
		return 0;
	while (to < end &&
		ext2fs_find_first_zero_block_bitmap2(e->fs->block_map, to, end - 1, &from) == 0) {
		if (ext2fs_find_first_set_block_bitmap2(e->fs->block_map, from, end - 1, &to))
			to = end;
		if (fallocate(e->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)(from * EXT4_BLOCK), (off_t)((to - from) * EXT4_BLOCK)) < 0)
			return errno == EOPNOTSUPP ? 0 : -errno;
	}
	return 0;
}
