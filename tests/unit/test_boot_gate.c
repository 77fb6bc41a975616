/* SPDX-License-Identifier: ISC */
/* Turns at the boot gate: who gets one when, in which order, and what a turn that ends or gives up
 * leaves. */
#include "daemon/vm/boot_gate.h"
#include "tests/lib/test.h"

enum { N = 6 };

static struct boot_gate *gate;
static struct boot_turn *turns[N];
static char order[N + 1];
static int n_called;
static int freed_by_first = -1; /* the turn that the first callback frees */

static void called(void *userdata)
{
	int i = (int)(intptr_t)userdata;

	order[n_called++] = (char)('0' + i);
	if (n_called == 1 && freed_by_first >= 0)
		boot_turn_free(TAKE_PTR(turns[freed_by_first]));
}

static bool take(int i, unsigned limit)
{
	bool waits = false;

	CHECK_INT(boot_turn_take(gate, limit, called, (void *)(intptr_t)i, &waits, &turns[i]), 0);
	CHECK(boot_turn_waits(turns[i]) == waits);
	return !waits;
}

static void end(int i)
{
	boot_turn_free(TAKE_PTR(turns[i]));
}

static void open_gate(void)
{
	CHECK_INT(boot_gate_new(&gate), 0);
}

/* boot_gate_free asserts that nothing is left. */
static void close_gate(void)
{
	for (int i = 0; i < N; i++)
		end(i);
	boot_gate_free(gate);
}

TEST(turns_come_in_order)
{
	open_gate();
	CHECK(take(0, 2) && take(1, 2));
	CHECK(!take(2, 2) && !take(3, 2) && !take(4, 2));
	CHECK_STR(order, "");
	end(1);
	CHECK_STR(order, "2");
	end(0);
	CHECK_STR(order, "23");
	end(3);
	end(2);
	CHECK_STR(order, "234");
	CHECK(!boot_turn_waits(turns[4]));
	CHECK(take(5, 2));
	close_gate();
}

TEST(one_that_gives_up_lets_nobody_in)
{
	open_gate();
	CHECK(take(0, 1));
	CHECK(!take(1, 1) && !take(2, 1));
	end(1);
	CHECK_STR(order, "");
	end(0);
	CHECK_STR(order, "2");
	close_gate();
}

TEST(a_wider_gate_lets_several_in)
{
	open_gate();
	CHECK(take(0, 1));
	CHECK(!take(1, 1) && !take(2, 1));
	CHECK(take(3, 4)); /* more room than waiters: they come in at the next end */
	end(3);
	CHECK_STR(order, "12");
	close_gate();
}

TEST(a_turn_may_end_others_as_it_comes)
{
	open_gate();
	freed_by_first = 2;
	CHECK(take(0, 1));
	CHECK(!take(1, 1) && !take(2, 1) && !take(3, 1));
	end(0);
	CHECK_STR(order, "1");
	end(1);
	CHECK_STR(order, "13");
	close_gate();
}
