/* SPDX-License-Identifier: ISC */
/* pump.c: read and write, a piece at a time. */
#include "guest/pump.h"

#include "common/fd.h"

enum { PIECE = 64 * 1024 };

void pump(int from, int to)
{
	static uint8_t buf[PIECE];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (bg_write_all(to, buf, (size_t)n) < 0)
			return;
}
