/* SPDX-License-Identifier: ISC */
/* See rows.h. */
#include "daemon/store/rows.h"

static void stored_free(struct stored *row)
{
	if (!row)
		return;
	free(row->key);
	free(row->text);
	free(row);
}

void rows_done(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		stored_free(rows->row[i]);
	free(rows->row);
	*rows = (struct rows){0};
}

static int compare(enum table_id table, const char *key, const struct stored *row)
{
	return table != row->table ? (table < row->table ? -1 : 1) : strcmp(key, row->key);
}

/* Where it is, or belongs. */
static size_t place(const struct rows *rows, enum table_id table, const char *key, bool *found)
{
	size_t low = 0, high = rows->n;

	*found = false;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = compare(table, key, rows->row[mid]);

		*found = order == 0;
		if (*found)
			return mid;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

struct stored *rows_find(const struct rows *rows, enum table_id table, const char *key)
{
	bool found;
	size_t i = place(rows, table, key, &found);

	return found ? rows->row[i] : NULL;
}

static int make_room(struct rows *rows)
{
	size_t room = rows->room ? rows->room * 2 : 64;
	void *p;

	if (rows->n < rows->room)
		return 0;
	p = reallocarray(rows->row, room, sizeof(struct stored *));
	if (!p)
		return -ENOMEM;
	rows->row = p;
	rows->room = room;
	return 0;
}

static struct stored *add(struct rows *rows, size_t i, enum table_id table, const char *key)
{
	struct stored *row = make_room(rows) < 0 ? NULL : calloc(1, sizeof(*row));

	if (!row)
		return NULL;
	row->table = table;
	row->key = strdup(key);
	if (!row->key) {
		free(row);
		return NULL;
	}
	memmove(rows->row + i + 1, rows->row + i, (rows->n - i) * sizeof(struct stored *));
	rows->row[i] = row;
	rows->n++;
	return row;
}

int rows_put(struct rows *rows, enum table_id table, const char *key, const char *text,
	uint64_t rev, struct stored **ret)
{
	char *copy = strdup(text);
	bool found;
	size_t i = place(rows, table, key, &found);
	struct stored *row = !copy ? NULL : found ? rows->row[i] : add(rows, i, table, key);

	if (!row) {
		free(copy);
		return -ENOMEM;
	}
	free(row->text);
	row->text = copy;
	row->rev = rev;
	if (ret)
		*ret = row;
	return 0;
}

void rows_drop(struct rows *rows, enum table_id table, const char *key)
{
	bool found;
	size_t i = place(rows, table, key, &found);

	if (!found)
		return;
	stored_free(rows->row[i]);
	rows->n--;
	memmove(rows->row + i, rows->row + i + 1, (rows->n - i) * sizeof(struct stored *));
}

/* The step of each value of a byte. */
static uint32_t crc_step[8][256]; /* of a byte that lies so many before the last of eight */

__attribute__((constructor)) static void make_crc_steps(void)
{
	for (uint32_t byte = 0; byte < ARRAY_SIZE(crc_step[0]); byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1)));
		crc_step[0][byte] = crc;
	}
	for (size_t at = 1; at < ARRAY_SIZE(crc_step); at++)
		for (size_t byte = 0; byte < ARRAY_SIZE(crc_step[0]); byte++) {
			uint32_t crc = crc_step[at - 1][byte];

			crc_step[at][byte] = (crc >> 8) ^ crc_step[0][crc & 0xff];
		}
}

static uint32_t crc_of_eight(uint32_t crc, const uint8_t *p)
{
	crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return crc_step[7][crc & 0xff] ^ crc_step[6][crc >> 8 & 0xff] ^
	       crc_step[5][crc >> 16 & 0xff] ^ crc_step[4][crc >> 24] ^ crc_step[3][p[4]] ^
	       crc_step[2][p[5]] ^ crc_step[1][p[6]] ^ crc_step[0][p[7]];
}

uint32_t store_crc(uint32_t crc, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	crc = ~crc;
	for (; len >= 8; len -= 8, p += 8)
		crc = crc_of_eight(crc, p);
	while (len-- > 0)
		crc = (crc >> 8) ^ crc_step[0][(crc ^ *p++) & 0xff];
	return ~crc;
}
