/* SPDX-License-Identifier: ISC */
/* op_impl.h: what op.c, which runs operations, and op_record.c, which shows them, share. Nobody else includes it. */
#ifndef BG_DAEMON_OP_OP_IMPL_H
#define BG_DAEMON_OP_OP_IMPL_H

#include <sys/queue.h>

#include "daemon/op/op.h"
#include "daemon/op/op_stage.h"

enum phase {
	PHASE_RUN,  /* step `at` runs or waits */
	PHASE_UNDO, /* the undo of step `at` runs or waits */
	PHASE_END,
};

struct op {
	TAILQ_ENTRY(op) link;
	struct ops *ops;
	const struct op_plan *plan;
	void *ctx;
	char *target;
	char *log_path;
	int64_t id;
	enum op_state state;
	enum phase phase;
	unsigned at;	    /* index into plan->steps */
	unsigned undo_stop; /* steps below this one are kept */
	bool waiting;	    /* the present run or undo returned OP_WAIT */
	bool cancelled;
	bool cut; /* see op_cut */
	char *by; /* who cut it */
	const struct op_plan *become;
	TAILQ_HEAD(, op_watch) watches; /* told in the order in which they came */
	bool began;			/* its intent is on the disk */
	bool late;			/* of the present commit: its failure is only logged */
	struct store_call *commit;
	struct loop_source *slow; /* until it is said that the commit takes long */
	bool told_slow;
	struct bg_err *err;
	json_t *result;
	struct op_stages stages;
	struct loop_source *next; /* deferred call of advance() */
};

TAILQ_HEAD(op_list, op);

struct ops {
	struct loop *loop;
	struct store *store;
	void (*changed)(struct op *op, void *userdata);
	void *userdata;
	struct op_list list; /* newest first */
	unsigned n_ended;
	uint64_t ended[OP_STATE_MAX_]; /* since the start, forgotten ones too */
};

/* Tells whoever listens to changes. */
void op_changed(struct op *op);

#endif
