/* SPDX-License-Identifier: ISC */
/*
 * near.c: The distance of two words: letters put in, left out, exchanged, or swapped with their
 * neighbor.
 */
#include "common/near.h"

unsigned bg_distance(const char *a, const char *b)
{
	unsigned d[3][BG_NEAR_WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > BG_NEAR_WORD_MAX || lb > BG_NEAR_WORD_MAX)
		return BG_NEAR_WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = d[i % 3], *last = d[(i + 2) % 3], *before = d[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = last[j - 1] + (a[i - 1] != b[j - 1]);
			now[j] = BG_MIN(now[j], BG_MIN(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = BG_MIN(now[j], before[j - 2] + 1);
		}
	}
	return d[la % 3][lb];
}

bool bg_near(const char *word, unsigned distance)
{
	return distance <= BG_MAX(1U, (unsigned)strlen(word) / 3);
}
