/* SPDX-License-Identifier: ISC */
/* buf.c: Doubles when it is full. */
#include "worker/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_add(struct buf *b, const void *p, size_t len)
{
	if (b->failed || len == 0)
		return;
	if (len > b->room - b->len) {
		size_t room = BG_MAX(b->room * 2, b->len + len + 256);
		char *n = realloc(b->p, room);

		if (!n) {
			b->failed = true;
			return;
		}
		b->p = n;
		b->room = room;
	}
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	_free_ char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s = NULL;
		b->failed = true;
		return;
	}
	buf_add(b, s, (size_t)n);
}

int buf_ok(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}

void buf_free(struct buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}
