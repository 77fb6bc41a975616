/* SPDX-License-Identifier: ISC */
/*
 * open.h: how the store process finds what is stored. The newest generation that is complete counts. One that is missing or
 * damaged is set aside, and the next is written from what could be read of it, from older ones, and from the records in the
 * folders. One that a newer banger wrote is refused, and nothing is touched. Nothing ends by not being found: a folder without row and record stays, and is listed; one of
 * an image or kernel, whose name may be used again, is moved to <state>/set-aside.
 */
#ifndef BG_DAEMON_STORE_OPEN_H
#define BG_DAEMON_STORE_OPEN_H

#include "daemon/store/ledger.h"

struct opened {
	const char *dir;
	int dirfd; /* of <state> */
	struct rows rows;
	struct ledger *ledger;
	unsigned generation;
	json_t *notes;	 /* sentences for the user */
	json_t *orphans; /* {kind, name, path, why} */
};

/* dir: <state>, absolute. What it made is released by opened_done, also after a failure. */
int store_find(const char *dir, struct opened *ret, struct bg_err **err);
void opened_done(struct opened *o);
/* <state>/banger.N.db; the caller's. */
char *store_file(const char *dir, unsigned generation);
/* For the log and the user. */
void store_note(struct opened *o, const char *fmt, ...) _printf_(2, 3);
/* Moves <state>/NAME into set-aside; *ret is its name there, the caller's. 0 also when there is none. */
int store_set_aside(const struct opened *o, const char *name, char **ret);
/* A file, its log and what was beside it. */
void store_set_file_aside(struct opened *o, const char *name, char **ret);
/* The next generation from o->rows takes the place of the present one. */
int store_next_generation(struct opened *o, struct bg_err **err);

/* ---- reconcile.c ---- */

/* Compares rows and folders; what is to be written of it goes to o->rows, its keys to *changed (a list of [table, key]). */
int store_reconcile(struct opened *o, json_t *changed, struct bg_err **err);

#endif
