/* SPDX-License-Identifier: ISC */
/*
 * Two images as one tree: what ext4_tree.c needs to know of a mount is in ext4_is_mount(); here is
 * how it begins and ends. A mount point that turned out to be a link is known only at the end (a
 * later layer may replace it): what lies behind it is written to the outer image like all else,
 * and moves then.
 */
#include "worker/ext4_int.h"

#include <stdio.h>

void ext4_mount(struct ext4 *e, const char *name, struct ext4 *inner)
{
	e->mount = name;
	e->inner = inner;
	inner->outer = e;
}

uint64_t ext4_copied(const struct ext4 *e)
{
	return e->copied;
}

/* A move under way: where each file that has several names got to, by inode number. */
struct move {
	struct ext4 *from, *to;
	const struct ext4_node *top;
	uint32_t *moved;
};

/* The name of n below top. The caller's; NULL without memory. */
static char *path_below(
	const struct ext4 *e, const struct ext4_node *top, const struct ext4_node *n)
{
	size_t len = 0;
	char *path, *p;

	for (const struct ext4_node *at = n; at != top; at = ext4_at(e, at->parent))
		len += (size_t)at->len + 1;
	path = malloc(len + 1);
	if (!path)
		return NULL;
	p = path + len;
	*p = '\0';
	for (const struct ext4_node *at = n; at != top; at = ext4_at(e, at->parent)) {
		p -= at->len;
		memcpy(p, at->name, at->len);
		*--p = '/';
	}
	return path;
}

static bool has_more_names(struct ext4 *e, const struct ext4_node *n)
{
	struct ext2_inode_large inode;

	return ext4_read_inode(e, n->ino, &inode) == 0 && inode.i_links_count > 1;
}

/* Another name of a file that was moved; *ret false: it was not moved yet. */
static int move_again(const struct move *m, const struct ext4_node *n, const char *path, bool *ret)
{
	const struct ext4_node *first = ext4_at(m->to, m->moved[n->ino]);
	_free_ char *target = NULL;

	*ret = first != NULL;
	if (!first)
		return 0;
	target = path_below(m->to, m->to->root, first);
	return target ? ext4_link(m->to, path, target) : -ENOMEM;
}

static int move_file(struct move *m, const struct ext4_node *n, const char *path)
{
	struct ext4_node *made = NULL;
	bool done = false;
	int r = 0;

	if (!has_more_names(m->from, n))
		return ext4_copy(m->from, n, m->to, path, NULL);
	if (!m->moved)
		m->moved =
			calloc((size_t)m->from->fs->super->s_inodes_count + 1, sizeof(*m->moved));
	r = m->moved ? move_again(m, n, path, &done) : -ENOMEM;
	if (r < 0 || done)
		return r;
	r = ext4_copy(m->from, n, m->to, path, &made);
	if (r >= 0)
		m->moved[n->ino] = ext4_place(m->to, made);
	return r;
}

/* Everything below top, and what top itself is like, to inner, which is emptied first. */
static int move(struct ext4 *e, struct ext4_node *top)
{
	struct move m = {.from = e, .to = e->inner, .top = top};
	int r = ext4_remove(m.to, m.to->root, false, -1);

	if (r >= 0)
		r = ext4_copy_attr(e, top, m.to, "/");
	for (struct ext4_node *n = ext4_next_below(e, top, top, true); r >= 0 && n;
		n = ext4_next_below(e, top, n, !n->dead)) {
		_free_ char *path = n->dead ? NULL : path_below(e, top, n);

		if (n->dead)
			continue;
		if (!path)
			r = -ENOMEM;
		else if (ext4_type(n) == S_IFDIR)
			r = ext4_copy_attr(e, n, m.to, path);
		else
			r = move_file(&m, n, path);
	}
	free(m.moved);
	return r < 0 ? r : ext4_remove(e, top, false, -1);
}

/* A link to a directory that the guest's own start would make. */
static int make_target(struct ext4 *e, const struct ext4_node *link, const struct ext4_attr *home)
{
	_free_ char *path = NULL;

	if (asprintf(&path, "%s/.", ext4_target(e, link)) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return ext4_mkdir(e, path, home, NULL);
}

static int settle_link(struct ext4 *e, struct ext4_node *link, const struct ext4_attr *home)
{
	struct ext4_node *top;
	int r = ext4_lookup(e, e->mount, &top);

	if (r == -ENOENT) {
		r = make_target(e, link, home);
		if (r >= 0)
			r = ext4_lookup(e, e->mount, &top);
	}
	if (r < 0)
		return r;
	if (ext4_type(top) != S_IFDIR)
		return -ENOTDIR;
	return top == e->root ? -EBUSY : move(e, top);
}

/* What shows before anything is mounted. */
static int settle_dir(struct ext4 *e)
{
	struct ext4 *inner = e->inner;
	int r;

	e->inner = NULL; /* the place itself is meant */
	r = ext4_copy_attr(inner, inner->root, e, e->mount);
	e->inner = inner;
	return r;
}

int ext4_settle(struct ext4 *e, const struct ext4_attr *home)
{
	struct ext4 *at = e;
	struct ext4_node *n;
	int r = ext4_tree_find(&at, e->mount, EXT4_FIND_LINK, &n);

	if (r == -ENOENT) {
		r = ext4_mkdir(e, e->mount, home, NULL);
		if (r >= 0)
			r = ext4_tree_find(&at, e->mount, EXT4_FIND_LINK, &n);
	}
	if (r < 0)
		return r;
	if (ext4_type(n) == S_IFLNK)
		return settle_link(e, n, home);
	return ext4_type(n) == S_IFDIR ? settle_dir(e) : -ENOTDIR;
}
