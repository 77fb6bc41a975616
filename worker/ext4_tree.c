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

static bool has_children(const struct ext4 *e, const struct ext4_node *dir)
{
	for (const struct ext4_node *n = ext4_at(e, dir->children); n; n = ext4_at(e, n->sibling))
		if (!n->dead)
			return true;
	return false;
}

static int remove_children(struct ext4 *e, struct ext4_node *dir)
{
	if (!has_children(e, dir))
		return 0;
	return e->opts.replace_trees ? ext4_remove(e, dir, false, -1) : -ENOTEMPTY;
}

/* The name goes over to a new entry, which has no inode yet. */
static int displace(struct ext4 *e, struct ext4_node *old, mode_t type)
{
	int r = ext4_type(old) == S_IFDIR ? remove_children(e, old) : 0;

	if (r >= 0 && ext4_is_mount(e, old))
		r = remove_children(e->inner, e->inner->root);
	if (r >= 0)
		r = ext4_drop_inode(e, old);
	if (r < 0)
		return r;
	old->children = 0;
	old->type = type >> 12 & 0xf;
	old->ino = 0;
	old->layer = e->layer;
	return 0;
}

/* A directory that the archive only implies: n is its name, which has no inode yet. */
static int imply_dir(struct ext4 *e, struct ext4_node *n)
{
	const struct ext4_attr attr = {.mode = 0755};
	struct ext2_inode_large inode;
	int r = ext4_new_inode(e, S_IFDIR, &n->ino);

	if (r < 0) {
		n->dead = true;
		return r;
	}
	ext4_fill_inode(&inode, S_IFDIR, &attr);
	return ext4_write_inode(e, n->ino, &inode);
}

struct walk {
	struct ext4 *e; /* the image that at lies in */
	struct ext4_node *at;
	bool create;
	bool own_links; /* links of lower layers are not followed */
	int links;	/* still allowed */
	int depth;	/* of links that are being followed */
};

static struct walk walk_begin(struct ext4 *e)
{
	return (struct walk){.e = e, .at = e->root, .links = EXT4_LINK_DEPTH};
}

static int walk_path(struct walk *w, const char *path, const char *end);

static void walk_top(struct walk *w)
{
	if (w->e->outer)
		w->e = w->e->outer;
	w->at = w->e->root;
}

static int may_follow(struct walk *w, const struct ext4_node *link)
{
	if (w->own_links && link->layer != w->e->layer)
		return -ELOOP;
	return w->links-- <= 0 ? -ELOOP : 0;
}

static int follow(struct walk *w, const struct ext4_node *link)
{
	const char *target = ext4_target(w->e, link);
	int r = may_follow(w, link);

	if (r < 0)
		return r;
	if (target[0] == '/')
		walk_top(w);
	w->depth++;
	r = walk_path(w, target, target + strlen(target));
	w->depth--;
	return r;
}

static void enter(struct walk *w, struct ext4_node *dir)
{
	if (w->create)
		dir->layer = w->e->layer;
	w->at = dir;
	if (!ext4_is_mount(w->e, dir))
		return;
	w->e = w->e->inner;
	w->at = w->e->root;
	if (w->create)
		w->at->layer = w->e->layer;
}

static void leave(struct walk *w)
{
	if (w->at != w->e->root)
		w->at = ext4_at(w->e, w->at->parent);
	else if (w->e->outer)
		walk_top(w); /* the parent of what is mounted right below the top */
}

static int make_parent(struct walk *w, const char *name, size_t len)
{
	struct ext4_node *n;
	int r = add(w->e, w->at, name, len, S_IFDIR, &n);

	if (r >= 0)
		r = imply_dir(w->e, n);
	if (r >= 0)
		enter(w, n);
	return r;
}

/* A layer that has names below what is a file further down has a directory of that name. */
static bool is_hidden(const struct walk *w, const struct ext4_node *n)
{
	return w->create && w->depth == 0 && w->e->opts.replace_trees && n->layer != w->e->layer;
}

static int hide(struct walk *w, struct ext4_node *n)
{
	int r = displace(w->e, n, S_IFDIR);

	if (r >= 0)
		r = imply_dir(w->e, n);
	if (r >= 0)
		enter(w, n);
	return r;
}

/* The same for a link that leads to no directory. */
static int through(struct walk *w, struct ext4_node *link)
{
	struct walk before = *w;
	int r = follow(w, link);

	if ((r != -ENOTDIR && r != -ELOOP) || !is_hidden(&before, link))
		return r;
	*w = before;
	return hide(w, link);
}

static int step(struct walk *w, const char *name, size_t len)
{
	struct ext4_node *n;

	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		leave(w);
		return 0;
	}
	n = child(w->e, w->at, name, len);
	if (!n)
		return w->create ? make_parent(w, name, len) : -ENOENT;
	if (ext4_type(n) == S_IFLNK)
		return through(w, n);
	if (ext4_type(n) != S_IFDIR)
		return is_hidden(w, n) ? hide(w, n) : -ENOTDIR;
	enter(w, n);
	return 0;
}

/* Every component of path up to end must be, or become, a directory. */
static int walk_path(struct walk *w, const char *path, const char *end)
{
	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t len = (size_t)((slash ? slash : end) - path);
		int r = step(w, path, len);

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

/* The directory that path's last component is in; *ret_leaf and *ret_len are that component. */
static int walk_parent(struct walk *w, const char *path, const char **ret_leaf, size_t *ret_len)
{
	*ret_leaf = leaf_of(path, ret_len);
	return walk_path(w, path, *ret_leaf);
}

int ext4_tree_home(struct ext4 **e, const char *path)
{
	struct walk w = walk_begin(*e);
	const char *leaf;
	size_t len;
	int r;

	w.create = true;
	r = walk_parent(&w, path, &leaf, &len);
	*e = w.e;
	return r;
}

/* A directory where something else is mounted: what is told of it is told of that. */
static int place_mount(struct walk *w, struct ext4_node *n, bool fresh, struct ext4_node **ret)
{
	int r = fresh ? imply_dir(w->e, n) : 0;

	enter(w, n);
	*ret = w->at;
	return r;
}

static int place_leaf(
	struct walk *w, const char *leaf, size_t len, mode_t type, struct ext4_node **ret)
{
	struct ext4_node *old = child(w->e, w->at, leaf, len);
	bool fresh = !old || ext4_type(old) != S_IFDIR || type != S_IFDIR;
	int r = 0;

	if (!old)
		r = add(w->e, w->at, leaf, len, type, &old);
	else if (fresh)
		r = displace(w->e, old, type);
	if (r < 0)
		return r;
	old->layer = w->e->layer;
	if (ext4_is_mount(w->e, old))
		return place_mount(w, old, fresh, ret);
	*ret = old;
	return 0;
}

int ext4_tree_place(struct ext4 **e, const char *path, mode_t type, struct ext4_node **ret)
{
	struct walk w = walk_begin(*e);
	const char *leaf;
	size_t len;
	int r;

	w.create = true;
	r = walk_parent(&w, path, &leaf, &len);
	if (r < 0)
		return r;
	if (len == 2 && leaf[0] == '.' && leaf[1] == '.')
		return -EINVAL;
	if (len == 0 || (len == 1 && leaf[0] == '.')) {
		enter(&w, w.at);
		*ret = w.at;
		r = type == S_IFDIR ? 0 : -EISDIR;
	} else {
		r = place_leaf(&w, leaf, len, type, ret);
	}
	*e = w.e;
	return r;
}

int ext4_tree_find(struct ext4 **e, const char *path, enum ext4_find how, struct ext4_node **ret)
{
	struct walk w = walk_begin(*e);
	struct ext4_node *n;
	const char *leaf;
	size_t len;
	int r;

	w.own_links = how == EXT4_FIND_OWN;
	for (;;) {
		r = walk_parent(&w, path, &leaf, &len);
		if (r < 0)
			return r;
		n = len ? child(w.e, w.at, leaf, len) : NULL;
		if (!n || ext4_type(n) != S_IFLNK || how == EXT4_FIND_LINK)
			break;
		r = may_follow(&w, n);
		if (r < 0)
			return r;
		path = ext4_target(w.e, n);
		if (path[0] == '/')
			walk_top(&w);
	}
	if (n && ext4_type(n) != S_IFDIR)
		*ret = n;
	else if ((r = step(&w, leaf, len)) >= 0)
		*ret = w.at;
	*e = w.e;
	return r;
}
