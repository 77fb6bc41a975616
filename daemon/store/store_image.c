/* SPDX-License-Identifier: ISC */
/* The table of images. */
#include "daemon/store/db.h"

static const struct column columns[] = {
#define X(field, kind, home) COLUMN(image_row, field, kind, home),
#include "daemon/store/image_columns.def"
#undef X
};

static bool settled(const void *row)
{
	return ((const struct image_row *)row)->ready;
}

static void adopt(void *row)
{
	((struct image_row *)row)->ready = true;
}

static void unmake(void *row)
{
	((struct image_row *)row)->ready = false;
}

const struct table store_table_image = {
	.name = "image",
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.row_size = sizeof(struct image_row),
	.folder = "images",
	.record = "image.rec",
	.settled = settled,
	.adopt = adopt,
	.unmake = unmake,
};

void image_row_free(struct image_row *row)
{
	table_row_free(TABLE_IMAGE, row);
}
