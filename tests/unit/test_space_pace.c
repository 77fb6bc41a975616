/* SPDX-License-Identifier: ISC */
/* The interval between two looks at the room, under a clock that the test sets. */
#include "daemon/vm/space_pace.h"
#include "tests/lib/test.h"

#include "common/base.h"

#define SEC	  UINT64_C(1000000)
#define NEAR_MARK ((int64_t)(2 * GIB))
#define MUCH	  ((int64_t)(100 * GIB))

static struct space_pace pace;
static uint64_t now;

static uint64_t look(int64_t room, uint64_t after)
{
	now += after;
	return space_pace_next(&pace, room, NEAR_MARK, now);
}

static void begin(void)
{
	pace = (struct space_pace){0};
	now = 1000 * SEC;
}

TEST(much_room_and_no_writer_is_looked_at_seldom)
{
	begin();
	CHECK_INT(look(MUCH, 0), SPACE_PACE_MAX_USEC);
	CHECK_INT(look(MUCH, SPACE_PACE_MAX_USEC), SPACE_PACE_MAX_USEC);
	/* Slow ones, and room that comes back, change nothing. */
	CHECK_INT(look(MUCH - (int64_t)(10 * MIB), SPACE_PACE_MAX_USEC), SPACE_PACE_MAX_USEC);
	CHECK_INT(look(2 * MUCH, SPACE_PACE_MAX_USEC), SPACE_PACE_MAX_USEC);
}

TEST(little_room_is_looked_at_four_times_a_second)
{
	static const int64_t rooms[] = {0, NEAR_MARK / 8, NEAR_MARK - 1, NEAR_MARK, NEAR_MARK + 1};

	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		begin();
		CHECK_INT(look(rooms[i], 0), SPACE_PACE_MIN_USEC);
		CHECK_INT(look(rooms[i], 3600 * SEC), SPACE_PACE_MIN_USEC);
	}
}

/* Whoever begins right after a look, at 4 GiB a second: the next one comes before the mark is
 * passed by a shortest interval. */
TEST(nobody_gets_below_the_mark_unseen)
{
	for (int64_t room = NEAR_MARK; room < MUCH; room += (int64_t)(100 * MIB)) {
		uint64_t usec;

		begin();
		usec = look(room, 0);
		CHECK(usec >= SPACE_PACE_MIN_USEC && usec <= SPACE_PACE_MAX_USEC);
		CHECK(usec == SPACE_PACE_MIN_USEC ||
			room - (int64_t)(usec * (4 * GIB / SEC)) >= NEAR_MARK);
	}
}

/* An eighth of what is left may go unseen, at the rate of the fastest. */
TEST(the_fastest_writer_sets_the_pace)
{
	begin();
	(void)look(NEAR_MARK + (int64_t)(74 * GIB), 0);
	CHECK_INT(look(NEAR_MARK + (int64_t)(64 * GIB), 5 * SEC), 4 * SEC);
	CHECK(look(NEAR_MARK + (int64_t)(32 * GIB), 4 * SEC) <= SEC);
}

/* A compiler's 50 MiB a second beside 100 GiB is nothing to look at more often for. */
TEST(a_slow_writer_with_much_room_changes_nothing)
{
	int64_t room = MUCH;

	begin();
	for (unsigned i = 0; i < 20; i++, room -= (int64_t)(250 * MIB))
		CHECK_INT(look(room, 5 * SEC), SPACE_PACE_MAX_USEC);
}

/* One quiet look after a burst is not yet calm. */
TEST(a_writer_is_forgotten_by_and_by)
{
	uint64_t usec, before = 0;
	unsigned looks = 0;
	int64_t room = MUCH - (int64_t)(40 * GIB);

	begin();
	(void)look(MUCH, 0);
	for (usec = look(room, 5 * SEC); usec < SPACE_PACE_MAX_USEC; usec = look(room, usec)) {
		CHECK(usec >= before);
		before = usec;
		CHECK(++looks < 40);
	}
	CHECK(looks > 4);
}

TEST(room_that_cannot_be_told_is_asked_for_soon)
{
	begin();
	(void)look(MUCH, 0);
	CHECK_INT(look(-1, SEC), SPACE_PACE_MIN_USEC);
	/* Nothing is learnt from it. */
	CHECK_INT(look(MUCH / 2, SEC), SPACE_PACE_MAX_USEC);
	/* Two looks at the same moment are one. */
	CHECK_INT(look(MUCH / 2, 0), SPACE_PACE_MAX_USEC);
}
