/* SPDX-License-Identifier: ISC */
/*
 * buf.h: a growing byte buffer of the worker. A failed allocation sticks: appends do nothing more
 * and buf_ok says so once, at the end.
 */
#ifndef BG_WORKER_BUF_H
#define BG_WORKER_BUF_H

#include "common/base.h"

struct buf {
	char *p;
	size_t len, room;
	bool failed;
};

void buf_add(struct buf *b, const void *p, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *fmt, ...) _printf_(2, 3);
/* 0 or -ENOMEM. */
int buf_ok(const struct buf *b);
void buf_free(struct buf *b);
#define _buf_ _cleanup_(buf_free)

#endif
