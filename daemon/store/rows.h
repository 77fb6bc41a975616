/* SPDX-License-Identifier: ISC */
/*
 * rows.h: what the store process has in memory: every row as text, so that a new file can be written at any time without the old
 * one. Ordered by table and key.
 */
#ifndef BG_DAEMON_STORE_ROWS_H
#define BG_DAEMON_STORE_ROWS_H

#include "daemon/store/db.h"

struct stored {
	enum table_id table;
	char *key;
	char *text;
	uint64_t rev;	   /* counts changes of the KEEP columns, from 1 */
	uint64_t recorded; /* the rev that its record has; 0: none, or not looked at */
	bool marked; /* the database has an older one: there was no room, and its folder has a mark instead */
};

struct rows {
	struct stored **row;
	size_t n, room;
};

void rows_done(struct rows *rows);
struct stored *rows_find(const struct rows *rows, enum table_id table, const char *key);
/* A new row or another text of one that is there; text is copied. 0 or -ENOMEM. */
int rows_put(struct rows *rows, enum table_id table, const char *key, const char *text,
	uint64_t rev, struct stored **ret);
void rows_drop(struct rows *rows, enum table_id table, const char *key);

/* CRC-32 as of zlib and Ethernet; crc: of what came before, 0 at the beginning. */
uint32_t store_crc(uint32_t crc, const void *buf, size_t len);

#endif
