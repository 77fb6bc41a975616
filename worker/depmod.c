/* SPDX-License-Identifier: ISC */
/* See depmod.h. File formats as in depmod.d(5), modules.dep(5) and kmod's sources of libkmod. */
#include "worker/depmod.h"

#include <stdio.h>

#include "worker/kmod_index.h"
#include "worker/modinfo.h"

#define NAME_MAX_ 256
#define DEPTH_MAX 64 /* modules that need each other in a chain */

struct depmod {
	struct depmod_module **v; /* sorted by name once sorted is set */
	size_t n, room;
	bool sorted;
	unsigned walk;
	struct buf builtin, builtin_modinfo;
};

int depmod_new(struct depmod **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void module_free(struct depmod_module *m)
{
	if (!m)
		return;
	free(m->path);
	free(m->name);
	free(m->info);
	free(m);
}

void depmod_free(struct depmod *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		module_free(d->v[i]);
	free(d->v);
	buf_free(&d->builtin);
	buf_free(&d->builtin_modinfo);
	free(d);
}

size_t depmod_count(const struct depmod *d)
{
	return d->n;
}

static int append(struct depmod_module ***v, size_t *n, size_t *room, struct depmod_module *m)
{
	if (*n == *room) {
		size_t next = *room ? *room * 2 : 64;
		struct depmod_module **p = reallocarray(*v, next, sizeof(struct depmod_module *));

		if (!p)
			return -ENOMEM;
		*v = p;
		*room = next;
	}
	(*v)[(*n)++] = m;
	return 0;
}

int depmod_add(struct depmod *d, const char *path, const void *elf, size_t len,
	const struct ext4_node *node)
{
	struct depmod_module *m;
	char name[NAME_MAX_];
	const char *info;
	size_t info_len;
	int r = modinfo_find(elf, len, &info, &info_len);

	if (r < 0)
		return -ENOEXEC;
	r = modinfo_name(path, name, sizeof(name));
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->path = strdup(path);
	m->name = strdup(name);
	m->info = malloc(info_len);
	m->info_len = info_len;
	m->node = node;
	m->index = d->n;
	if (!m->path || !m->name || !m->info || append(&d->v, &d->n, &d->room, m) < 0) {
		module_free(m);
		return -ENOMEM;
	}
	memcpy(m->info, info, info_len);
	d->sorted = false;
	return 0;
}

int depmod_builtin(struct depmod *d, const char *text, size_t len)
{
	buf_add(&d->builtin, text, len);
	buf_add(&d->builtin, "", 1);
	return buf_ok(&d->builtin);
}

int depmod_builtin_modinfo(struct depmod *d, const char *text, size_t len)
{
	buf_add(&d->builtin_modinfo, text, len);
	buf_add(&d->builtin_modinfo, "", 1);
	return buf_ok(&d->builtin_modinfo);
}

static int by_name(const void *a, const void *b)
{
	const struct depmod_module *const *x = a, *const *y = b;
	int r = strcmp((*x)->name, (*y)->name);

	return r ? r : ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

static void sort(struct depmod *d)
{
	if (!d->sorted && d->n)
		qsort(d->v, d->n, sizeof(d->v[0]), by_name);
	d->sorted = true;
}

static struct depmod_module *find(struct depmod *d, const char *name)
{
	size_t low = 0, high = d->n;

	sort(d);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = strcmp(name, d->v[mid]->name);

		if (r == 0)
			return d->v[mid];
		if (r < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static int visit(struct depmod *d, struct depmod_module *m, unsigned walk, unsigned depth,
	struct depmod_list *list);

/* Each name of a list that is split by any of `seps`. */
static int visit_names(struct depmod *d, const char *names, const char *seps, unsigned walk,
	unsigned depth, struct depmod_list *list)
{
	while (*names) {
		size_t len = strcspn(names, seps);
		char part[NAME_MAX_], name[NAME_MAX_];
		struct depmod_module *m = NULL;
		int r;

		if (len > 0 && len < sizeof(part)) {
			memcpy(part, names, len);
			part[len] = '\0';
			if (modinfo_name(part, name, sizeof(name)) == 0)
				m = find(d, name);
		}
		r = m ? visit(d, m, walk, depth, list) : 0;
		if (r < 0)
			return r;
		names += len;
		names += strspn(names, seps);
	}
	return 0;
}

/* Post-order: what is needed comes first. A circle ends at the module that is being visited. */
static int visit(struct depmod *d, struct depmod_module *m, unsigned walk, unsigned depth,
	struct depmod_list *list)
{
	const char *at = NULL, *names;
	int r = 0;

	if (m->mark == walk)
		return 0;
	m->mark = walk;
	if (depth == 0)
		return -ELOOP;
	while (r >= 0 && (names = modinfo_next(m->info, m->info_len, "depends", &at)))
		r = visit_names(d, names, ",", walk, depth - 1, list);
	return r < 0 ? r : append(&list->v, &list->n, &list->room, m);
}

int depmod_resolve(struct depmod *d, const char *name, unsigned walk, struct depmod_list *list)
{
	return visit_names(d, name, ",", walk | 1u << 31, DEPTH_MAX, list);
}

/* "kernel/a.ko: kernel/b.ko kernel/c.ko": nearest first, as modprobe loads from the end. */
static int dep_line(struct depmod *d, struct depmod_module *m, struct buf *line)
{
	struct depmod_list list = {};
	int r = visit(d, m, ++d->walk, DEPTH_MAX, &list);

	buf_fmt(line, "%s:", m->path);
	for (size_t i = list.n; r >= 0 && i > 0; i--)
		if (list.v[i - 1] != m)
			buf_fmt(line, " %s", list.v[i - 1]->path);
	buf_add(line, "", 1);
	free(list.v);
	return r < 0 ? r : buf_ok(line);
}

/* '-' and '_' are one in names of modules, but not inside a [range] of a pattern. */
static int normalize(const char *alias, char *ret, size_t size)
{
	bool range = false;
	size_t i;

	for (i = 0; alias[i]; i++) {
		if (i + 1 >= size)
			return -ENAMETOOLONG;
		if (alias[i] == '[' || alias[i] == ']')
			range = alias[i] == '[';
		ret[i] = (char)(alias[i] == '-' && !range ? '_' : alias[i]);
	}
	ret[i] = '\0';
	return 0;
}

struct outputs {
	struct buf dep, alias, softdep, devname;
	struct kmod_index *dep_ix, *alias_ix;
};

static int put_deps(struct depmod *d, struct depmod_module *m, struct outputs *o)
{
	_buf_ struct buf line = {};
	int r = dep_line(d, m, &line);

	if (r < 0)
		return r;
	buf_fmt(&o->dep, "%s\n", line.p);
	return kmod_index_add(o->dep_ix, m->name, line.p, (uint32_t)m->index);
}

static int put_aliases(struct depmod_module *m, struct outputs *o)
{
	const char *at = NULL, *alias;
	char key[1024];
	int r = 0;

	while (r >= 0 && (alias = modinfo_next(m->info, m->info_len, "alias", &at))) {
		if (strpbrk(alias, " \t\n") || normalize(alias, key, sizeof(key)) < 0)
			continue;
		buf_fmt(&o->alias, "alias %s %s\n", alias, m->name);
		r = kmod_index_add(o->alias_ix, key, m->name, (uint32_t)m->index);
	}
	at = NULL;
	while ((alias = modinfo_next(m->info, m->info_len, "softdep", &at)))
		if (!strchr(alias, '\n'))
			buf_fmt(&o->softdep, "softdep %s %s\n", m->name, alias);
	return r;
}

/* Static device nodes: a module with both a devname: and a char/block-major alias. */
static void put_devname(struct depmod_module *m, struct outputs *o)
{
	const char *at = NULL, *alias, *dev = NULL;
	unsigned major = 0, minor = 0, a, b;
	char type = 0;

	while ((alias = modinfo_next(m->info, m->info_len, "alias", &at))) {
		bool is_char = sscanf(alias, "char-major-%u-%u", &a, &b) == 2;

		if (strncmp(alias, "devname:", 8) == 0)
			dev = alias + 8;
		if (!is_char && sscanf(alias, "block-major-%u-%u", &a, &b) != 2)
			continue;
		type = is_char ? 'c' : 'b';
		major = a;
		minor = b;
	}
	if (dev && type && !strpbrk(dev, " \t\n"))
		buf_fmt(&o->devname, "%s %s %c%u:%u\n", m->name, dev, type, major, minor);
}

static int put_file(struct ext4 *e, const char *dir, const char *name, const struct buf *b)
{
	const struct ext4_attr attr = {.mode = 0644};
	char path[512];
	int r;

	if (buf_ok(b) < 0)
		return -ENOMEM;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	r = ext4_file_open(e, path, &attr);
	if (r >= 0)
		r = ext4_file_write(e, b->p, b->len, 0);
	return r < 0 ? r : ext4_file_close(e, b->len, NULL);
}

static int put_index(struct ext4 *e, const char *dir, const char *name, struct kmod_index *ix)
{
	_buf_ struct buf b = {};
	int r = kmod_index_write(ix, &b);

	return r < 0 ? r : put_file(e, dir, name, &b);
}

/* modules.builtin.bin: the names alone. */
static int put_builtin(struct depmod *d, struct ext4 *e, const char *dir)
{
	_unref_(kmod_index) struct kmod_index *ix = NULL;
	char *save = NULL, name[NAME_MAX_];
	int r = kmod_index_new(&ix);

	for (char *line = d->builtin.p ? strtok_r(d->builtin.p, "\n", &save) : NULL; r >= 0 && line;
		line = strtok_r(NULL, "\n", &save))
		if (modinfo_name(line, name, sizeof(name)) == 0)
			r = kmod_index_add(ix, name, "", 0);
	return r < 0 ? r : put_index(e, dir, "modules.builtin.bin", ix);
}

/* modules.builtin.alias.bin, from "ext4.alias=fs-ext4" strings. */
static int put_builtin_aliases(struct depmod *d, struct ext4 *e, const char *dir)
{
	_unref_(kmod_index) struct kmod_index *ix = NULL;
	const char *p = d->builtin_modinfo.p, *end = p ? p + d->builtin_modinfo.len : p;
	int r = kmod_index_new(&ix);

	for (; r >= 0 && p < end; p += strlen(p) + 1) {
		const char *dot = strchr(p, '.');
		char name[NAME_MAX_], key[1024];

		if (!dot || strncmp(dot, ".alias=", 7) != 0)
			continue;
		if (modinfo_name(p, name, sizeof(name)) == 0 &&
			normalize(dot + 7, key, sizeof(key)) == 0)
			r = kmod_index_add(ix, key, name, 0);
	}
	return r < 0 ? r : put_index(e, dir, "modules.builtin.alias.bin", ix);
}

static int write_outputs(struct outputs *o, struct ext4 *e, const char *dir)
{
	_unref_(kmod_index) struct kmod_index *none = NULL;
	int r = put_file(e, dir, "modules.dep", &o->dep);

	if (r >= 0)
		r = put_file(e, dir, "modules.alias", &o->alias);
	if (r >= 0)
		r = put_file(e, dir, "modules.softdep", &o->softdep);
	if (r >= 0)
		r = put_file(e, dir, "modules.devname", &o->devname);
	if (r >= 0)
		r = put_index(e, dir, "modules.dep.bin", o->dep_ix);
	if (r >= 0)
		r = put_index(e, dir, "modules.alias.bin", o->alias_ix);
	/* Looked up only for `modprobe symbol:NAME`, but all files must be there to be used at all.
	 */
	if (r >= 0)
		r = kmod_index_new(&none);
	return r < 0 ? r : put_index(e, dir, "modules.symbols.bin", none);
}

static int collect(struct depmod *d, struct outputs *o)
{
	int r = kmod_index_new(&o->dep_ix);

	if (r >= 0)
		r = kmod_index_new(&o->alias_ix);
	sort(d);
	for (size_t i = 0; r >= 0 && i < d->n; i++) {
		r = put_deps(d, d->v[i], o);
		if (r >= 0)
			r = put_aliases(d->v[i], o);
		put_devname(d->v[i], o);
	}
	return r;
}

int depmod_write(struct depmod *d, struct ext4 *e, const char *dir)
{
	struct outputs o = {};
	int r = collect(d, &o);

	if (r >= 0)
		r = write_outputs(&o, e, dir);
	if (r >= 0)
		r = put_builtin(d, e, dir);
	if (r >= 0)
		r = put_builtin_aliases(d, e, dir);
	buf_free(&o.dep);
	buf_free(&o.alias);
	buf_free(&o.softdep);
	buf_free(&o.devname);
	kmod_index_free(o.dep_ix);
	kmod_index_free(o.alias_ix);
	return r;
}
