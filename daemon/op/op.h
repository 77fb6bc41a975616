/* SPDX-License-Identifier: ISC */
/*
 * op.h: an operation is long work that a client asked for: a plan of steps, each with do
 * and undo, run one after the other in the loop. Its intent is in the store before the first
 * step. It can be read, followed and cancelled; it ends exactly once.
 *
 * When a step fails, the steps before it are undone, newest first, back to the last step
 * marked `keep`: what that one made is worth keeping (a VM whose boot failed). A
 * cancelled operation is undone whole. Ended operations stay readable for a while.
 */
#ifndef BG_DAEMON_OP_OP_H
#define BG_DAEMON_OP_OP_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/loop/loop.h"
#include "daemon/store/store.h"

struct op;
struct ops;

enum op_state { OP_RUNNING, OP_DONE, OP_FAILED, OP_CANCELLED, OP_STATE_MAX_ };

/* What run and undo return when they will call op_step_done or op_step_failed later. */
enum { OP_WAIT = 1 };

struct op_step {
	const char *
		name; /* the stage that clients see; steps of the same name in a row are one stage */
	const char *text; /* what is being done, for people */
	bool keep;	  /* see above */
	/* 0: done; OP_WAIT; or -errno with *err set. */
	int (*run)(struct op *op, void *ctx, struct bg_err **err);
	/* Drops what run waits for; no completion may come after it. NULL: the step is waited for. */
	void (*cancel)(struct op *op, void *ctx);
	/* As run; takes back what run did, or as much of it as there is. NULL: nothing to take back. */
	int (*undo)(struct op *op, void *ctx, struct bg_err **err);
	bool rare; /* most often there is nothing to do: its stage is seen only when it waits */
};

struct op_plan {
	const char *kind; /* "vm.create" */
	/* it may begin before its intent is on the disk: what ends VMs must work on a full one */
	bool acts_first;
	/* it makes room: what others could not write before it is not its failure */
	bool frees;
	const struct op_step *steps;
	unsigned n_steps;
	/* After the last step or undo, before clients hear of the end; err is borrowed, NULL on success. */
	void (*finish)(struct op *op, void *ctx, const struct bg_err *err);
	void (*ctx_free)(void *ctx);
	/* What is so after its cancel where "it is undone" would be untrue: a sentence without its end. NULL: undone. */
	const char *after_cancel;
};

/* changed: called after every change of an operation that a client may see. */
int ops_new(struct loop *loop, struct store *store, void (*changed)(struct op *op, void *userdata),
	void *userdata, struct ops **ret);
void ops_free(struct ops *ops);
BG_DEFINE_UNREF(ops, struct ops *, ops_free)

/*
 * Records the operation and starts it from the loop, when the intent and all else that was posted in this turn is on the disk. ctx is taken in every case. plan and
 * what it points to outlive the operation (they are constants); target is copied.
 */
int op_start(struct ops *ops, const struct op_plan *plan, const char *target, void *ctx,
	struct op **ret, struct bg_err **err);

/* Completion of the step that returned OP_WAIT: exactly one of the two. err is taken. */
void op_step_done(struct op *op);
void op_step_failed(struct op *op, struct bg_err *err);

/*
 * As the end of a step's run or undo: OP_WAIT until all that was posted to the store is on the disk, and the step's failure when it
 * is not. A cancel waits for it.
 */
int op_commit(struct op *op, struct bg_err **err);
/* The same, where a failure changes nothing any more: it is logged. */
int op_commit_late(struct op *op, struct bg_err **err);
/* Its intent is on the disk, and its first step was begun. */
bool op_began(const struct op *op);

/* Asks for the end; what was done is undone. -EALREADY when it has ended. */
int op_cancel(struct op *op);
/*
 * Asks for the end of what is not worth keeping: undone back to the last step marked `keep`, as after a failure. An operation
 * that has not come to the first of those goes on to it; one without them is cancelled whole. by (copied): who asked for
 * it, for its error. -EALREADY.
 */
int op_cut(struct op *op, const char *by);
bool op_cancelled(const struct op *op);

/*
 * Tells once, from the loop, that an operation has ended; err (borrowed) is why not well. Freed by its owner, before or after.
 */
struct op_watch;
typedef void (*op_ended_fn)(const struct bg_err *err, void *userdata);
int op_watch(struct op *op, op_ended_fn fn, void *userdata, struct op_watch **ret);
void op_watch_free(struct op_watch *watch);
BG_DEFINE_UNREF(op_watch, struct op_watch *, op_watch_free)

/*
 * From a step or before its completion: after it the operation goes on with the first step of another plan, of the same
 * kind and context. The steps before have nothing to undo.
 */
void op_become(struct op *op, const struct op_plan *plan);

/* What clients see of the present stage. text is copied; NULL leaves it. */
void op_set_text(struct op *op, const char *text);
/* What the present stage waits for before it can begin, NULL: it goes on. The form is job_on_wait's; userdata is the operation. */
void op_show_wait(const char *what, void *userdata);
void op_set_progress(struct op *op, uint64_t done, uint64_t total, const char *unit);
/* Taken; NULL is allowed. */
void op_set_result(struct op *op, json_t *result);
void op_set_log(struct op *op, const char *path);

int64_t op_id(const struct op *op);
const char *op_kind(const struct op *op);
enum op_state op_state(const struct op *op);
const char *op_target(const struct op *op);
json_t *op_to_json(const struct op *op);

struct op *op_find(struct ops *ops, int64_t id);
/* All that are known, newest first: {operations: [...]}. */
json_t *ops_to_json(const struct ops *ops);
unsigned ops_running(const struct ops *ops);
/* How many ended so since the daemon started; not of OP_RUNNING. */
uint64_t ops_ended(const struct ops *ops, enum op_state state);
/*
 * The daemon ends: cancels what its successor would find half done and only undo. Operations on VMs stay, for those are taken up
 * as they are found (vm_recover.c). Returns how many are being undone; to be asked again.
 */
unsigned ops_stop(struct ops *ops);
/* DAEMON_BUSY that names what runs; 0 when nothing does. */
int ops_check_idle(const struct ops *ops, struct bg_err **err);

#endif
