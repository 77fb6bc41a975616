/* SPDX-License-Identifier: ISC */
/* common/cow_store.h: new, whole, set invalid, and each field that makes it something else. */
#include "common/cow_store.h"
#include "tests/lib/test.h"

static const uint8_t whole[16] = {'S', 'n', 'A', 'p', 1, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0};

static enum bg_cow_state state_with(size_t at, uint8_t value)
{
	struct bg_cow_head head;
	uint8_t bytes[sizeof(whole)];

	memcpy(bytes, whole, sizeof(bytes));
	bytes[at] = value;
	memcpy(&head, bytes, sizeof(head));
	return bg_cow_state_of(&head, 32);
}

TEST(whole_new_and_invalid)
{
	struct bg_cow_head head = {0};

	CHECK_INT(bg_cow_state_of(&head, 32), BG_COW_NEW);
	CHECK_INT(state_with(4, 1), BG_COW_VALID);
	CHECK_INT(state_with(4, 0), BG_COW_INVALID);
}

TEST(each_other_byte_makes_it_foreign)
{
	for (size_t at = 0; at < sizeof(whole); at++)
		for (unsigned value = 0; value < 256; value++) {
			if (value == whole[at] || (at == 4 && value == 0))
				continue;
			CHECK_INT(state_with(at, (uint8_t)value), BG_COW_FOREIGN);
		}
}

TEST(the_chunk_is_the_one_that_is_wanted)
{
	struct bg_cow_head head;

	memcpy(&head, whole, sizeof(head));
	CHECK_INT(bg_cow_state_of(&head, 8), BG_COW_FOREIGN);
	CHECK_INT(state_with(12, 8), BG_COW_FOREIGN);
}
