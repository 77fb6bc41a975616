/* SPDX-License-Identifier: ISC */
/* timefmt.c: UTC only: what is local time is the reader's matter. */
#include "common/timefmt.h"

#include <time.h>

char *bg_time_print(int64_t seconds, char out[BG_TIME_TEXT])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, BG_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}
