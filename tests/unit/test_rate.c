/* SPDX-License-Identifier: ISC */
/* common/rate.h: at once, then slowly, and all again after a pause. */
#include "common/rate.h"
#include "tests/lib/test.h"

TEST(at_once_then_slowly)
{
	struct bg_rate r = bg_rate_of(3, 10, 1000);

	for (int i = 0; i < 3; i++)
		CHECK(bg_rate_take(&r, 1000));
	CHECK(!bg_rate_take(&r, 1009));
	CHECK(bg_rate_take(&r, 1010));
	CHECK(!bg_rate_take(&r, 1019));
	CHECK(bg_rate_take(&r, 1025)); /* what is left over of the time counts */
	CHECK(bg_rate_take(&r, 1030));
	CHECK(!bg_rate_take(&r, 1030));
}

TEST(a_pause_gives_no_more_than_at_first)
{
	struct bg_rate r = bg_rate_of(3, 10, 0);
	unsigned n = 0;

	while (bg_rate_take(&r, 1000000))
		n++;
	CHECK_INT(n, 3);
}

/* Whoever asks without a pause gets no more than was earned. */
TEST(a_flood)
{
	struct bg_rate r = bg_rate_of(256, 10000, 0);
	unsigned n = 0;

	for (uint64_t now = 0; now < 60 * 1000000; now += 97)
		n += bg_rate_take(&r, now);
	CHECK_INT(n, 256 + 60 * 100 - 1);
}
