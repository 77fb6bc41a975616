/* SPDX-License-Identifier: ISC */
/* log_match.h: the lines of a text that have a word in them, fed in pieces. Pure. */
#ifndef BG_DAEMON_API_LOG_MATCH_H
#define BG_DAEMON_API_LOG_MATCH_H

#include <stddef.h>

#include "common/base.h"

/* A line that is longer is looked at in pieces of so many bytes, each for itself. */
#define LOG_LINE_MAX (16 * 1024)

struct log_match;

/* word: not empty; letters of either case are the same. -ENOMEM. */
int log_match_new(const char *word, struct log_match **ret);
void log_match_free(struct log_match *match);
BG_DEFINE_UNREF(log_match, struct log_match *, log_match_free)
/* line: each whole line with the word, its end included. */
void log_match_feed(struct log_match *match, const char *p, size_t n,
	void (*line)(const char *p, size_t n, void *userdata), void *userdata);
/* What came after the last end of a line. */
void log_match_end(struct log_match *match, void (*line)(const char *p, size_t n, void *userdata),
	void *userdata);

#endif
