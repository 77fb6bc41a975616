/* SPDX-License-Identifier: ISC */
/* See store.h: rows as the engine has them, what was read of them at the start, and the numbers of operations. */
#include <stdio.h>

#include "daemon/store/client.h"

enum { OP_BLOCK = 1000 };
#define OP_COUNTER "op.next"

static void put(struct store *store, enum table_id table, const void *row)
{
	json_t *json = table_to_json(table, row, false);

	if (json)
		store_post(store, table, table_key(table, row), json);
	else
		store->no_memory = true;
}

void store_vm_put(struct store *store, const struct vm_row *row)
{
	put(store, TABLE_VM, row);
}

void store_image_put(struct store *store, const struct image_row *row)
{
	put(store, TABLE_IMAGE, row);
}

void store_kernel_put(struct store *store, const struct kernel_row *row)
{
	put(store, TABLE_KERNEL, row);
}

void store_vm_drop(struct store *store, const char *id)
{
	store_post(store, TABLE_VM, id, NULL);
}

void store_image_drop(struct store *store, const char *name)
{
	store_post(store, TABLE_IMAGE, name, NULL);
}

void store_kernel_drop(struct store *store, const char *name)
{
	store_post(store, TABLE_KERNEL, name, NULL);
}

static void *take_loaded(struct store *store, enum table_id table)
{
	struct loaded *l;
	void *row;

	TAILQ_FOREACH (l, &store->loaded, link)
		if (l->table == table)
			break;
	if (!l)
		return NULL;
	row = l->row;
	TAILQ_REMOVE(&store->loaded, l, link);
	free(l);
	return row;
}

int store_vm_each(struct store *store, int (*fn)(struct vm_row *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	void *row;
	int r = 0;

	(void)err;
	while (r >= 0 && (row = take_loaded(store, TABLE_VM)))
		r = fn(row, userdata);
	return r;
}

int store_image_each(struct store *store, int (*fn)(struct image_row *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	void *row;
	int r = 0;

	(void)err;
	while (r >= 0 && (row = take_loaded(store, TABLE_IMAGE)))
		r = fn(row, userdata);
	return r;
}

int store_kernel_each(struct store *store, int (*fn)(struct kernel_row *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	void *row;
	int r = 0;

	(void)err;
	while (r >= 0 && (row = take_loaded(store, TABLE_KERNEL)))
		r = fn(row, userdata);
	return r;
}

/* ---- operations ---- */

/* Numbers are never given again, so they are taken in blocks: what is stored is beyond all that were given. */
static void reserve_ops(struct store *store)
{
	struct meta_row row = {.name = (char *)(uintptr_t)OP_COUNTER};

	if (store->next_op < store->op_reserved)
		return;
	store->op_reserved = store->next_op + OP_BLOCK;
	row.value = store->op_reserved;
	put(store, TABLE_META, &row);
}

void store_load_counters(struct store *store)
{
	struct meta_row *row;

	store->next_op = 1;
	while ((row = take_loaded(store, TABLE_META))) {
		if (bg_streq(row->name, OP_COUNTER) && row->value > 0)
			store->next_op = row->value;
		table_row_free(TABLE_META, row);
	}
	store->op_reserved = store->next_op;
}

int64_t store_op_begin(struct store *store, const char *kind, const char *target)
{
	char id[24];
	struct op_row row = {
		.id = id, .kind = (char *)(uintptr_t)kind, .target = (char *)(uintptr_t)target};

	reserve_ops(store);
	snprintf(id, sizeof(id), "%lld", (long long)store->next_op);
	put(store, TABLE_OP, &row);
	return store->next_op++;
}

void store_op_end(struct store *store, int64_t id)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)id);
	store_post(store, TABLE_OP, key, NULL);
}

void store_op_each_unfinished(struct store *store,
	void (*fn)(int64_t id, const char *kind, const char *target, void *userdata),
	void *userdata)
{
	struct op_row *row;

	while ((row = take_loaded(store, TABLE_OP))) {
		fn(strtoll(row->id, NULL, 10), row->kind ? row->kind : "",
			row->target ? row->target : "", userdata);
		store_post(store, TABLE_OP, row->id, NULL);
		table_row_free(TABLE_OP, row);
	}
}
