/* SPDX-License-Identifier: ISC */
#include "daemon/store/db.h"

static const struct column columns[] = {
#define X(field, kind) COLUMN(image_row, field, kind),
#include "daemon/store/image_columns.def"
#undef X
};

const struct table store_table_image = {
	.name = "image",
	.noun = "an image",
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.row_size = sizeof(struct image_row),
	.name_offset = offsetof(struct image_row, name),
	.taken = BG_ERR_IMAGE_NAME_TAKEN,
	.missing = BG_ERR_IMAGE_NOT_FOUND,
};

void image_row_free(struct image_row *row)
{
	table_row_free(TABLE_IMAGE, row);
}

int store_image_insert(struct store *store, const struct image_row *row, struct bg_err **err)
{
	return table_insert(store, TABLE_IMAGE, row, err);
}

int store_image_save(struct store *store, const struct image_row *row, struct bg_err **err)
{
	return table_save(store, TABLE_IMAGE, row, err);
}

int store_image_delete(struct store *store, const char *name, struct bg_err **err)
{
	return table_delete(store, TABLE_IMAGE, name, err);
}

struct each {
	int (*fn)(struct image_row *row, void *userdata);
	void *userdata;
};

static int each_row(void *row, void *userdata)
{
	const struct each *each = userdata;

	return each->fn(row, each->userdata);
}

int store_image_each(struct store *store, int (*fn)(struct image_row *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	struct each each = {fn, userdata};

	return table_each(store, TABLE_IMAGE, each_row, &each, err);
}
