/* SPDX-License-Identifier: ISC */
/* guest/trim_plan: deletions that are seen, those that fall between two looks, and what is left
 * alone. */
#include "guest/trim_plan.h"

#include "tests/lib/test.h"

enum { BLOCK = 4096, GROUP = 32768, N = 4 };

#define MB(n) ((uint64_t)(n)*MIB)

/* Group 3 was never used. */
static struct ext4_group groups[N] = {
	{.free = 1000}, {.free = 20000}, {.free = 30000}, {.free = GROUP, .untouched = true}};

static uint64_t look(struct trim_plan *p, uint64_t written)
{
	CHECK_INT(trim_plan_look(p, groups, N, written), 0);
	return trim_plan_gain(p, groups, BLOCK, written);
}

static void check_wants(const struct trim_plan *p, const char *which)
{
	for (uint32_t i = 0; i < N; i++)
		CHECK_INT(trim_plan_wants(p, groups, i, BLOCK), which[i] == 'x');
}

TEST(nothing_at_first_and_nothing_without_writes)
{
	_cleanup_(trim_plan_free) struct trim_plan p = {0};

	CHECK_INT(look(&p, MB(900)), 0);
	check_wants(&p, "....");
	CHECK_INT(look(&p, MB(900)), 0);
}

TEST(a_file_that_came_and_went)
{
	_cleanup_(trim_plan_free) struct trim_plan p = {0};

	look(&p, 0);
	groups[1].free -= 10240;
	CHECK_INT(look(&p, MB(40)), 0);
	groups[1].free += 10240;
	CHECK_INT(look(&p, MB(41)), MB(40));
	check_wants(&p, ".x..");
	trim_plan_done(&p, groups, MB(41));
	CHECK_INT(look(&p, MB(41)), 0);
	check_wants(&p, "....");
}

TEST(an_old_file_that_went)
{
	_cleanup_(trim_plan_free) struct trim_plan p = {0};

	look(&p, 0);
	groups[0].free += 512;
	CHECK_INT(look(&p, MB(1)), MB(2));
	check_wants(&p, "x...");
	groups[0].free -= 512;
}

/* The bitmaps are as before: only the writes tell, and not where. */
TEST(between_two_looks)
{
	_cleanup_(trim_plan_free) struct trim_plan p = {0};

	look(&p, 0);
	CHECK_INT(look(&p, MB(63)), 0);
	CHECK_INT(look(&p, MB(1024)), MB(1024));
	check_wants(&p, "xxx.");
	trim_plan_done(&p, groups, MB(1024));
	CHECK_INT(look(&p, MB(1025)), 0);
}

TEST(what_stays_is_no_gain)
{
	_cleanup_(trim_plan_free) struct trim_plan p = {0};

	look(&p, 0);
	groups[2].free -= 25600;
	CHECK_INT(look(&p, MB(104)), 0);
	check_wants(&p, "....");
	groups[2].free += 25600;
}

TEST(a_file_system_that_has_grown)
{
	_cleanup_(trim_plan_free) struct trim_plan p = {0};

	CHECK_INT(trim_plan_look(&p, groups, 2, 0), 0);
	CHECK_INT(look(&p, MB(2)), 0);
	CHECK_INT(p.n, N);
	CHECK_INT(p.free, 1000 + 20000 + 30000 + GROUP);
}
