/* SPDX-License-Identifier: ISC */
/* See boot_gate.h. */
#include "daemon/vm/boot_gate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

TAILQ_HEAD(turn_list, boot_turn);

struct boot_turn {
	TAILQ_ENTRY(boot_turn) link; /* while it waits */
	struct boot_gate *gate;
	boot_turn_fn fn;
	void *userdata;
	bool waits;
};

struct boot_gate {
	struct turn_list waiting;
	unsigned limit, booting;
};

int boot_gate_new(struct boot_gate **ret)
{
	struct boot_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return -ENOMEM;
	TAILQ_INIT(&gate->waiting);
	*ret = gate;
	return 0;
}

void boot_gate_free(struct boot_gate *gate)
{
	if (!gate)
		return;
	assert(TAILQ_EMPTY(&gate->waiting) && gate->booting == 0);
	free(gate);
}

static void let_in(struct boot_gate *gate)
{
	struct boot_turn *turn;

	while (gate->booting < gate->limit && (turn = TAILQ_FIRST(&gate->waiting))) {
		TAILQ_REMOVE(&gate->waiting, turn, link);
		turn->waits = false;
		gate->booting++;
		turn->fn(turn->userdata);
	}
}

int boot_turn_take(struct boot_gate *gate, unsigned limit, boot_turn_fn fn, void *userdata,
	bool *waits, struct boot_turn **ret)
{
	struct boot_turn *turn = calloc(1, sizeof(*turn));

	if (!turn)
		return -ENOMEM;
	assert(limit > 0);
	*turn = (struct boot_turn){.gate = gate, .fn = fn, .userdata = userdata};
	gate->limit = limit;
	turn->waits = gate->booting >= limit;
	if (turn->waits)
		TAILQ_INSERT_TAIL(&gate->waiting, turn, link);
	else
		gate->booting++;
	*waits = turn->waits;
	*ret = turn;
	return 0;
}

void boot_turn_free(struct boot_turn *turn)
{
	struct boot_gate *gate;

	if (!turn)
		return;
	gate = turn->gate;
	if (turn->waits)
		TAILQ_REMOVE(&gate->waiting, turn, link);
	else
		gate->booting--;
	free(turn);
	let_in(gate);
}

bool boot_turn_waits(const struct boot_turn *turn)
{
	return turn->waits;
}
