/* SPDX-License-Identifier: ISC */
/* What guest/gap.c decides; that it does it is tests/e2e/test_ops.py's. */
#include "guest/gap.h"
#include "tests/lib/test.h"

enum { S = 1000 * 1000 };

/* now, right, the step without and with BACK */
static const struct {
	int64_t now, right, step, back;
} clocks[] = {
	{100 * (int64_t)S, 100 * (int64_t)S, 0, 0},
	{100 * (int64_t)S, 120 * (int64_t)S, 20 * S, 20 * S},
	{0, INT64_MAX, INT64_MAX, INT64_MAX},
	/* The message took a moment: that is not the clock's fault. */
	{100 * (int64_t)S + 40000, 100 * (int64_t)S, 0, 0},
	{103 * (int64_t)S, 100 * (int64_t)S, 0, -3 * S},
	{100 * (int64_t)S, 100 * (int64_t)S + 5000, 0, 0},
	{100 * (int64_t)S, 100 * (int64_t)S + 50000, 50000, 50000},
	/* No time at all. */
	{100 * (int64_t)S, -1, 0, 0},
	{INT64_MIN, INT64_MAX, 0, 0},
};

TEST(a_clock_is_set_when_it_is_behind_or_back_when_that_is_asked)
{
	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++) {
		CHECK_INT(gap_step(clocks[i].now, clocks[i].right, BG_AGENT_GAP_CLOCK),
			clocks[i].step);
		CHECK_INT(gap_step(clocks[i].now, clocks[i].right,
				  BG_AGENT_GAP_CLOCK | BG_AGENT_GAP_BACK),
			clocks[i].back);
	}
}

TEST(the_announcement_is_a_request_for_the_own_address)
{
	static const uint8_t mac[ETH_ALEN] = {2, 3, 4, 5, 6, 7};
	static const uint8_t want[] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 3, 4, 5, 6, 7, 10, 20, 30, 40, 0,
		0, 0, 0, 0, 0, 10, 20, 30, 40};
	struct ether_arp arp;

	gap_arp(mac, htonl(0x0a141e28), &arp);
	CHECK_INT(sizeof(arp), sizeof(want));
	CHECK(memcmp(&arp, want, sizeof(want)) == 0);
}
