/* SPDX-License-Identifier: ISC */
/*
 * progress.h: what operations do, shown on stderr while they do it: on a
 * terminal a block of lines that is drawn anew in place, else one plain line per
 * stage. Knows operation records, not connections. Owns the block on the screen:
 * who prints anything else meanwhile calls progress_clear first.
 */
#ifndef BG_CLI_PROGRESS_H
#define BG_CLI_PROGRESS_H

#include "cli/render.h"

struct progress;

/* One line each for count operations; names (borrowed) label them when there are several. */
struct progress *progress_new(struct term *err, const char *const *names, size_t count);
void progress_free(struct progress *p);
BG_DEFINE_UNREF(progress, struct progress *, progress_free)

/* The newest record of operation i; borrowed until the next call with this i. */
void progress_update(struct progress *p, size_t i, const json_t *op);
/* Operation i is over: its line goes away. */
void progress_end(struct progress *p, size_t i);
/* Takes the block off the screen, so that something else can be printed. */
void progress_clear(struct progress *p);
/* Draws the block, with the present elapsed times. */
void progress_draw(struct progress *p);
/* How long poll() may wait before progress_draw is due; -1: for ever. */
int progress_interval_ms(const struct progress *p);
/* The table for --timing. */
void progress_timing(const struct term *t, const char *name, const json_t *op);

#endif
