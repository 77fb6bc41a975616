/* SPDX-License-Identifier: ISC */
/*
 * The names of the image in memory: a hash over (parent, name). Resolution of links happens
 * here and only here, so that a hostile archive can at worst name things inside the image.
 * No recursion on the depth of paths: an archive may nest as deep as it likes.
 */
#include <sys/random.h>

#include "worker/ext4_int.h"

static size_t hash_of(const struct ext4 *e, uint32_t parent, const char *name, size_t len)
{
	uint64_t h = e->hash_seed ^ parent;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ULL; /* FNV-1a */
	h ^= h >> 32;
	return h & (e->hash_size - 1);
}

static int hash_grow(struct ext4 *e)
{
	size_t old_size = e->hash_size;
	_free_ uint32_t *old = e->hash;
	uint32_t *table = calloc(old_size * 2, sizeof(*table));

	if (!table) {
		old = NULL;
		return -ENOMEM;
	}
	e->hash = table;
	e->hash_size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		struct ext4_node *next;

		for (struct ext4_node *n = ext4_at(e, old[i]); n; n = next) {
			size_t h = hash_of(e, n->parent, n->name, n->len);

			next = ext4_at(e, n->hash_next);
			n->hash_next = e->hash[h];
			e->hash[h] = ext4_place(e, n);
		}
	}
	return 0;
}

static struct ext4_node *child(
	const struct ext4 *e, const struct ext4_node *dir, const char *name, size_t len)
{
	uint32_t parent = ext4_place(e, dir);
	struct ext4_node *n = ext4_at(e, e->hash[hash_of(e, parent, name, len)]);

	for (; n; n = ext4_at(e, n->hash_next))
		if (n->parent == parent && !n->dead && n->len == len && !memcmp(n->name, name, len))
			return n;
	return NULL;
}

static int add(struct ext4 *e, struct ext4_node *parent, const char *name, size_t len, mode_t type,
	struct ext4_node **ret)
{
	struct ext4_node *n;
	void *p;
	size_t h;
	int r = 0;

	if (len > 255)
		return -ENAMETOOLONG;
	if (e->n_names >= e->opts.max_entries)
		return -EFBIG;
	if (e->n_names >= e->hash_size)
		r = hash_grow(e);
	if (r >= 0)
		r = ext4_names_add(e, sizeof(*n) + len, &p);
	if (r < 0)
		return r;
	n = p;
	memcpy(n->name, name, len);
	n->len = (uint8_t)len;
	n->type = type >> 12 & 0xf;
	n->layer = e->layer;
	n->parent = ext4_place(e, parent ? parent : n); /* the root is its own parent */
	if (parent) {
		n->sibling = parent->children;
		parent->children = ext4_place(e, n);
	}
	h = hash_of(e, n->parent, n->name, len);
	n->hash_next = e->hash[h];
	e->hash[h] = ext4_place(e, n);
	e->n_names++;
	*ret = n;
	return 0;
}

int ext4_tree_init(struct ext4 *e)
{
	int r;

	if (getrandom(&e->hash_seed, sizeof(e->hash_seed), 0) != sizeof(e->hash_seed))
		return -errno;
	e->hash_size = 1024;
	e->hash = calloc(e->hash_size, sizeof(*e->hash));
	r = e->hash ? ext4_names_init(e) : -ENOMEM;
	if (r >= 0)
		r = add(e, NULL, "", 0, S_IFDIR, &e->root);
	if (r >= 0)
		e->root->ino = EXT2_ROOT_INO;
	return r;
}

void ext4_tree_free(struct ext4 *e)
{
	ext4_names_free(e);
	free(e->hash);
	e->hash = NULL;
}

int ext4_tree_set_target(struct ext4 *e, struct ext4_node *n, const char *target)
{
	void *p;
	int r = ext4_names_add(e, strlen(target) + 1, &p);

	if (r < 0)
		return r;
	memcpy(p, target, strlen(target));
	n->target = ext4_place(e, p);
	return 0;
}

/* A directory that the archive only implies. */
static int make_parent(
	struct ext4 *e, struct ext4_node *dir, const char *name, size_t len, struct ext4_node **ret)
{
	const struct ext4_attr attr = {.mode = 0755};
	struct ext2_inode_large inode;
	struct ext4_node *n;
	int r = add(e, dir, name, len, S_IFDIR, &n);

	if (r < 0)
		return r;
	r = ext4_new_inode(e, S_IFDIR, &n->ino);
	if (r < 0) {
		n->dead = true;
		return r;
	}
	ext4_fill_inode(&inode, S_IFDIR, &attr);
	*ret = n;
	return ext4_write_inode(e, n->ino, &inode);
}

struct walk {
	struct ext4_node *at;
	bool create;
	int links; /* still allowed */
};

static int walk_path(struct ext4 *e, struct walk *w, const char *path, const char *end);

static int follow(struct ext4 *e, struct walk *w, const struct ext4_node *link)
{
	const char *target = ext4_target(e, link);

	if (w->links-- <= 0)
		return -ELOOP;
	if (target[0] == '/') {
		if (e->opts.no_absolute_links)
			return -ELOOP;
		w->at = e->root;
	}
	return walk_path(e, w, target, target + strlen(target));
}

static void enter(struct ext4 *e, struct walk *w, struct ext4_node *dir)
{
	w->at = dir;
	if (w->create)
		dir->layer = e->layer;
}

static int step(struct ext4 *e, struct walk *w, const char *name, size_t len)
{
	struct ext4_node *n;

	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		w->at = ext4_at(e, w->at->parent);
		return 0;
	}
	n = child(e, w->at, name, len);
	if (!n)
		return w->create ? make_parent(e, w->at, name, len, &w->at) : -ENOENT;
	if (ext4_type(n) == S_IFLNK)
		return follow(e, w, n);
	if (ext4_type(n) != S_IFDIR)
		return -ENOTDIR;
	enter(e, w, n);
	return 0;
}

/* Every component of path up to end must be, or become, a directory. */
static int walk_path(struct ext4 *e, struct walk *w, const char *path, const char *end)
{
	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t len = (size_t)((slash ? slash : end) - path);
		int r = step(e, w, path, len);

		if (r < 0)
			return r;
		path += len + (slash ? 1 : 0);
	}
	return 0;
}

/* The last component: *ret_len 0 when the path names the root. Trailing slashes are dropped. */
static const char *leaf_of(const char *path, size_t *ret_len)
{
	const char *end = path + strlen(path), *start;

	while (end > path && end[-1] == '/')
		end--;
	start = end;
	while (start > path && start[-1] != '/')
		start--;
	*ret_len = (size_t)(end - start);
	return start;
}

static bool has_children(const struct ext4 *e, const struct ext4_node *dir)
{
	for (const struct ext4_node *n = ext4_at(e, dir->children); n; n = ext4_at(e, n->sibling))
		if (!n->dead)
			return true;
	return false;
}

/* The name goes over to a new entry, which has no inode yet. */
static int displace(struct ext4 *e, struct ext4_node *old, mode_t type)
{
	int r = 0;

	if (ext4_type(old) == S_IFDIR && has_children(e, old))
		r = e->opts.replace_trees ? ext4_remove(e, old, false, -1) : -ENOTEMPTY;
	if (r >= 0)
		r = ext4_drop_inode(e, old);
	if (r < 0)
		return r;
	old->children = 0;
	old->type = type >> 12 & 0xf;
	old->ino = 0;
	return 0;
}

int ext4_tree_place(struct ext4 *e, const char *path, mode_t type, struct ext4_node **ret)
{
	struct walk w = {.at = e->root, .create = true, .links = EXT4_LINK_DEPTH};
	struct ext4_node *old;
	const char *leaf;
	size_t len;
	int r;

	leaf = leaf_of(path, &len);
	r = walk_path(e, &w, path, leaf);
	if (r < 0)
		return r;
	if (len == 0 || (len == 1 && leaf[0] == '.')) {
		enter(e, &w, w.at);
		*ret = w.at;
		return type == S_IFDIR ? 0 : -EISDIR;
	}
	if (len == 2 && leaf[0] == '.' && leaf[1] == '.')
		return -EINVAL;
	old = child(e, w.at, leaf, len);
	if (!old)
		return add(e, w.at, leaf, len, type, ret);
	*ret = old;
	old->layer = e->layer;
	return ext4_type(old) == S_IFDIR && type == S_IFDIR ? 0 : displace(e, old, type);
}

int ext4_tree_find(struct ext4 *e, const char *path, bool follow_last, struct ext4_node **ret)
{
	struct walk w = {.at = e->root, .links = EXT4_LINK_DEPTH};
	struct ext4_node *n;
	const char *leaf;
	size_t len;
	int r;

	for (;;) {
		leaf = leaf_of(path, &len);
		r = walk_path(e, &w, path, leaf);
		if (r < 0)
			return r;
		if (len == 0 || (leaf[0] == '.' && (len == 1 || (len == 2 && leaf[1] == '.')))) {
			r = step(e, &w, leaf, len);
			*ret = w.at;
			return r;
		}
		n = child(e, w.at, leaf, len);
		if (!n)
			return -ENOENT;
		if (ext4_type(n) != S_IFLNK || !follow_last)
			break;
		if (w.links-- <= 0)
			return -ELOOP;
		path = ext4_target(e, n);
		if (path[0] == '/' && e->opts.no_absolute_links)
			return -ELOOP;
		if (path[0] == '/')
			w.at = e->root;
	}
	*ret = n;
	return 0;
}
