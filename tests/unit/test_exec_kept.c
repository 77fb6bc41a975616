/* SPDX-License-Identifier: ISC */
/* What is kept of a session without a client: counts, windows, and what a client may not say. */
#include "daemon/exec_kept.h"

#include <endian.h>

#include "common/agent_proto.h"
#include "tests/lib/test.h"

#define ID "0123456789abcdef0123456789abcdef"

static void check_head(const struct exec_kept *kept, uint64_t at, uint32_t room, uint32_t held)
{
	uint8_t head[EXEC_KEPT_HEAD];
	uint64_t le64;
	uint32_t le32;

	exec_kept_head(kept, head);
	memcpy(&le64, head, 8);
	CHECK(le64toh(le64) == at);
	memcpy(&le32, head + 8, 4);
	CHECK(le32toh(le32) == room);
	memcpy(&le32, head + 12, 4);
	CHECK(le32toh(le32) == held);
}

static int credit(struct exec_kept *kept, bool of_client, uint32_t n)
{
	n = htole32(n);
	return of_client ? exec_kept_from_client(kept, BG_AGENT_CREDIT, BG_AGENT_OUT, &n, 4)
			 : exec_kept_from_guest(kept, BG_AGENT_CREDIT, BG_AGENT_IN, &n, 4);
}

TEST(ids)
{
	CHECK(exec_kept_id_valid(ID));
	CHECK(!exec_kept_id_valid(NULL));
	CHECK(!exec_kept_id_valid(""));
	CHECK(!exec_kept_id_valid(ID "0"));
	CHECK(!exec_kept_id_valid("0123456789ABCDEF0123456789abcdef"));
	CHECK(!exec_kept_id_valid("0123456789abcdef0123456789abcde/"));
}

TEST(output_stays_until_it_was_drawn)
{
	struct exec_kept *kept = exec_kept_new(ID);

	CHECK(kept);
	check_head(kept, 0, BG_AGENT_WINDOW, 0);
	CHECK_INT(exec_kept_from_guest(kept, BG_AGENT_DATA, BG_AGENT_OUT, "one two", 7), 0);
	CHECK_INT(exec_kept_from_guest(kept, BG_AGENT_DATA, BG_AGENT_ERR, "other", 5), 0);
	CHECK_INT(exec_kept_from_guest(kept, BG_AGENT_EOF, BG_AGENT_OUT, NULL, 0), 0);
	check_head(kept, 0, BG_AGENT_WINDOW, 7);
	CHECK_INT(credit(kept, true, 4), 0);
	check_head(kept, 4, BG_AGENT_WINDOW, 3);
	CHECK(memcmp(kept->out.p + kept->out.at, "two", 3) == 0);
	CHECK_INT(credit(kept, true, 4), -EPROTO);
	CHECK_INT(credit(kept, true, UINT32_MAX), -EPROTO);
	CHECK_INT(credit(kept, true, 3), 0);
	CHECK_INT(exec_kept_from_guest(kept, BG_AGENT_DATA, BG_AGENT_OUT, "x", 1), 0);
	check_head(kept, 7, BG_AGENT_WINDOW, 1);
	exec_kept_free(kept);
}

TEST(input_is_counted)
{
	struct exec_kept *kept = exec_kept_new(ID);

	CHECK_INT(exec_kept_from_client(kept, BG_AGENT_DATA, BG_AGENT_IN, "abc", 3), 0);
	check_head(kept, 0, BG_AGENT_WINDOW - 3, 0);
	CHECK_INT(credit(kept, false, 2), 0);
	check_head(kept, 0, BG_AGENT_WINDOW - 1, 0);
	CHECK_INT(exec_kept_from_client(kept, BG_AGENT_DATA, BG_AGENT_IN, "", BG_AGENT_WINDOW),
		-EPROTO);
	exec_kept_free(kept);
}

TEST(what_a_client_has_seen)
{
	struct exec_kept *kept = exec_kept_new(ID);

	CHECK_INT(exec_kept_from_guest(kept, BG_AGENT_DATA, BG_AGENT_OUT, "0123456789", 10), 0);
	CHECK(exec_kept_seen(kept, 11) == 0); /* what was not sent */
	CHECK(exec_kept_seen(kept, UINT64_MAX) == 0);
	check_head(kept, 0, BG_AGENT_WINDOW, 10);
	CHECK(exec_kept_seen(kept, 6) == 6);
	check_head(kept, 6, BG_AGENT_WINDOW, 4);
	CHECK(exec_kept_seen(kept, 5) == 0); /* less than before: it lost its screen */
	check_head(kept, 6, BG_AGENT_WINDOW, 4);
	CHECK(exec_kept_seen(kept, 10) == 4);
	check_head(kept, 10, BG_AGENT_WINDOW, 0);
	exec_kept_free(kept);
}

/* The room in front is used before more is taken. */
TEST(a_queue_does_not_grow_by_passing)
{
	struct exec_bytes b = {.p = NULL};

	for (unsigned i = 0; i < 100000; i++) {
		CHECK_INT(exec_bytes_add(&b, "0123456789", 10), 0);
		if (i > 0)
			exec_bytes_drop(&b, 10);
		CHECK_INT((int)b.len, 10);
	}
	CHECK(b.size <= 40);
	exec_bytes_free(&b);
	CHECK_INT((int)b.len, 0);
}
