/* SPDX-License-Identifier: ISC */
/*
 * See open.h: rows and folders are compared at the start. A record of a higher revision wins the columns that it has; one without a
 * row is taken in; a folder that is marked, goes on being removed; what has neither row nor record is listed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/log.h"
#include "daemon/store/open.h"
#include "daemon/store/record.h"

enum { NAME_TRIES = 1000 };

struct reconciling {
	struct opened *o;
	enum table_id table;
	json_t *changed;
	json_t *names; /* of VMs; made when the first one is taken in */
};

static int put(struct reconciling *c, const void *row, uint64_t rev, uint64_t recorded)
{
	_free_ char *text = table_text(c->table, row, false);
	const char *key = table_key(c->table, row);
	struct stored *stored;
	int r = text ? rows_put(&c->o->rows, c->table, key, text, rev, &stored) : -ENOMEM;

	if (r < 0)
		return r;
	stored->recorded = recorded;
	return json_array_append_new(c->changed, json_pack("[i, s]", (int)c->table, key)) < 0
		       ? -ENOMEM
		       : 0;
}

static void list_orphan(struct reconciling *c, const char *name, int why)
{
	const struct table *t = store_table(c->table);
	_free_ char *path = NULL, *aside = NULL;

	if (asprintf(&path, "%s/%s", t->folder, name) < 0)
		return;
	/* Its name may be given again, and then its files would be written over. */
	if (c->table != TABLE_VM)
		(void)store_set_aside(c->o, path, &aside);
	json_array_append_new(
		c->o->orphans, json_pack("{s:s, s:s, s:s, s:s}", "kind", t->name, "name", name,
				       "path", aside ? aside : path, "why",
				       why == -EPROTONOSUPPORT ? "its record is a newer banger's"
				       : why == -EBADMSG       ? "its record is damaged"
							       : "it has no record"));
	log_msg(LOG_WARN, "store", "a folder without row and record", "path", aside ? aside : path,
		NULL);
}

static void collect_names(struct reconciling *c)
{
	c->names = json_object();
	for (size_t i = 0; i < c->o->rows.n; i++) {
		const struct stored *stored = c->o->rows.row[i];
		void *row;

		if (stored->table != TABLE_VM || table_parse(TABLE_VM, stored->text, &row) < 0)
			continue;
		json_object_set_new(c->names,
			((struct vm_row *)row)->name ? ((struct vm_row *)row)->name : "",
			json_true());
		table_row_free(TABLE_VM, row);
	}
}

/* Two VMs of one name: the later one has another. */
static int settle_name(struct reconciling *c, struct vm_row *vm)
{
	char name[BG_NAME_MAX + 1];

	if (!c->names)
		collect_names(c);
	for (unsigned i = 1; i < NAME_TRIES; i++) {
		if (i == 1)
			snprintf(name, sizeof(name), "%s", vm->name ? vm->name : vm->id);
		else
			snprintf(name, sizeof(name), "%.*s-%u", BG_NAME_MAX - 4, vm->name, i);
		if (!json_object_get(c->names, name))
			break;
	}
	json_object_set_new(c->names, name, json_true());
	if (bg_streq(name, vm->name))
		return 0;
	store_note(c->o, "there were two VMs named \"%s\": one is \"%s\" now", vm->name, name);
	free(vm->name);
	vm->name = strdup(name);
	return vm->name ? 0 : -ENOMEM;
}

static int take_in(struct reconciling *c, void *row, uint64_t rev)
{
	const struct table *t = store_table(c->table);
	int r = c->table == TABLE_VM ? settle_name(c, row) : 0;

	t->adopt(row);
	if (r >= 0)
		r = put(c, row, rev, rev);
	if (r >= 0)
		log_msg(LOG_WARN, "store", "taken in by its record", "kind", t->name, "key",
			table_key(c->table, row), NULL);
	return r;
}

/* The record's columns, where it is the later one. */
static int compare(struct reconciling *c, struct stored *stored, void *record, uint64_t rev)
{
	void *row = NULL;
	int r;

	stored->recorded = rev;
	if (rev <= stored->rev)
		return 0;
	r = table_parse(c->table, stored->text, &row);
	if (r >= 0 && store_table(c->table)->settled(row)) {
		table_take_keep(c->table, row, record);
		r = put(c, row, rev, rev);
		store_note(c->o, "the database had an older state of %s \"%s\" than its record",
			store_table(c->table)->name, stored->key);
	}
	table_row_free(c->table, row);
	return r;
}

/* The mark of last resort: its removal was decided. */
static int go_on_removing(struct reconciling *c, const struct stored *stored, const char *name)
{
	void *row = NULL;
	int r;

	if (!stored) {
		char from[NAME_MAX * 2], to[NAME_MAX * 2];

		snprintf(from, sizeof(from), "%s/%s", store_table(c->table)->folder, name);
		snprintf(to, sizeof(to), STORE_TRASH "/%s-%s", store_table(c->table)->name, name);
		(void)mkdirat(c->o->dirfd, STORE_TRASH, 0700);
		(void)renameat(c->o->dirfd, from, c->o->dirfd, to);
		return 0;
	}
	r = table_parse(c->table, stored->text, &row);
	if (r < 0)
		return r;
	store_table(c->table)->unmake(row);
	r = put(c, row, stored->rev, stored->recorded);
	table_row_free(c->table, row);
	return r;
}

static int look_at(struct reconciling *c, const char *name)
{
	struct stored *stored = rows_find(&c->o->rows, c->table, name);
	uint64_t rev = 0;
	void *record = NULL;
	int r;

	if (record_is_doomed(c->o->dirfd, c->table, name))
		return go_on_removing(c, stored, name);
	r = record_read(c->o->dirfd, c->table, name, &record, &rev);
	if (r == -ENOMEM || r == -ENOTDIR)
		return r == -ENOTDIR ? 0 : r;
	if (r < 0 && !stored)
		list_orphan(c, name, r);
	else if (r >= 0)
		r = stored ? compare(c, stored, record, rev) : take_in(c, record, rev);
	else
		r = 0; /* written anew in an idle moment */
	table_row_free(c->table, record);
	return r == -ENOMEM ? r : 0;
}

static int look_at_all(struct reconciling *c)
{
	const struct table *t = store_table(c->table);
	int fd = openat(c->o->dirfd, t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		bg_close(fd);
		return 0;
	}
	while (r >= 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = look_at(c, e->d_name);
	closedir(dir);
	return r;
}

static void list_set_aside(const struct opened *o, const char *name)
{
	static const enum table_id tables[] = {TABLE_KERNEL, TABLE_IMAGE, TABLE_VM};

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		const struct table *t = store_table(tables[i]);
		size_t len = strlen(t->folder);

		if (strncmp(name, t->folder, len) == 0 && name[len] == '-')
			json_array_append_new(
				o->orphans, json_pack("{s:s, s:s, s:s+, s:s}", "kind", t->name,
						    "name", name + len + 1, "path", STORE_ASIDE "/",
						    name, "why", "it was set aside"));
	}
}

/* What earlier starts moved there stays listed until it is removed. */
static void list_all_set_aside(const struct opened *o)
{
	int fd = openat(o->dirfd, STORE_ASIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!dir) {
		bg_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		list_set_aside(o, e->d_name);
	closedir(dir);
}

int store_reconcile(struct opened *o, json_t *changed, struct bg_err **err)
{
	static const enum table_id tables[] = {TABLE_KERNEL, TABLE_IMAGE, TABLE_VM};
	struct reconciling c = {.o = o, .changed = changed};
	int r = 0;

	list_all_set_aside(o);
	for (size_t i = 0; i < ARRAY_SIZE(tables) && r >= 0; i++) {
		c.table = tables[i];
		r = look_at_all(&c);
	}
	json_decref(c.names);
	return r < 0 ? bg_err_sys(err, BG_ERR_STATE, -r, "compare the database with the folders")
		     : 0;
}
