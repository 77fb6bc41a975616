/* SPDX-License-Identifier: ISC */
/* See op.h. This file owns every struct op; the stages' bookkeeping is in op_stage.c, what clients see in op_record.c. */
#include "daemon/op/op.h"

#include <assert.h>

#include "common/log.h"
#include "daemon/op/op_impl.h"

/* A client that asked for many at once must still find each, however quickly they ended. */
enum { ENDED_KEPT = 256 };
/* A commit that takes longer says what it waits for. */
#define SLOW_USEC 2000000ULL

struct op_watch {
	TAILQ_ENTRY(op_watch) link;
	struct op *op; /* NULL: it has ended, or is gone */
	struct loop_source *soon;
	struct bg_err *err;
	op_ended_fn fn;
	void *userdata;
};

static void tell_watch(void *userdata)
{
	struct op_watch *watch = userdata;

	loop_source_free(TAKE_PTR(watch->soon));
	watch->fn(watch->err, watch->userdata);
}

/* Told from the loop: its owner may do anything then. */
static void leave_watches(struct op *op, bool tell)
{
	struct op_watch *watch;

	while ((watch = TAILQ_FIRST(&op->watches))) {
		TAILQ_REMOVE(&op->watches, watch, link);
		watch->op = NULL;
		if (!tell)
			continue;
		watch->err = bg_err_copy(op->err);
		if (loop_defer(op->ops->loop, "op ended", tell_watch, watch, &watch->soon) < 0)
			tell_watch(watch); /* no memory for the detour: take the short way */
	}
}

static void op_free(struct op *op)
{
	TAILQ_REMOVE(&op->ops->list, op, link);
	leave_watches(op, false);
	loop_source_free(op->next);
	store_call_free(op->commit);
	loop_source_free(op->slow);
	if (op->plan->ctx_free && op->ctx)
		op->plan->ctx_free(op->ctx);
	op_stages_clear(&op->stages);
	bg_err_free(op->err);
	json_decref(op->result);
	free(op->target);
	free(op->log_path);
	free(op->by);
	free(op);
}

/* The oldest ended operations go; those that run are never touched. */
static void forget_old(struct ops *ops)
{
	struct op *op = TAILQ_LAST(&ops->list, op_list), *newer;

	for (; op && ops->n_ended > ENDED_KEPT; op = newer) {
		newer = TAILQ_PREV(op, op_list, link);
		if (op->phase != PHASE_END)
			continue;
		ops->n_ended--;
		op_free(op);
	}
}

static enum op_state end_state(const struct op *op)
{
	if (!op->err)
		return OP_DONE;
	return op->cancelled || (op->cut && op->err->code == BG_ERR_CANCELLED) ? OP_CANCELLED
									       : OP_FAILED;
}

static void op_end(struct op *op)
{
	op->phase = PHASE_END;
	op->state = end_state(op);
	op_stages_end(&op->stages, op->state == OP_DONE);
	store_op_end(op->ops->store, op->id);
	if (op->plan->finish)
		op->plan->finish(op, op->ctx, op->err);
	if (op->plan->ctx_free && op->ctx)
		op->plan->ctx_free(op->ctx);
	op->ctx = NULL;
	if (op->err)
		log_err(op->cancelled ? LOG_INFO : LOG_WARN, "op", op->plan->kind, op->err);
	else
		log_msg(LOG_INFO, "op", op->plan->kind, "target", op->target, "state", "done",
			NULL);
	op_changed(op);
	leave_watches(op, true);
	op->ops->n_ended++;
	op->ops->ended[op->state]++;
	forget_old(op->ops);
}

static void advance(void *userdata);

static void advance_soon(struct op *op)
{
	loop_source_free(TAKE_PTR(op->next));
	if (loop_defer(op->ops->loop, "op", advance, op, &op->next) < 0)
		advance(op); /* no memory for the detour: take the short way */
}

/* First step to be kept when a failure undoes: everything up to the last `keep` that completed. */
static unsigned keep_below(const struct op *op, unsigned failed)
{
	if (op->cancelled)
		return 0;
	for (unsigned i = failed; i > 0; i--)
		if (op->plan->steps[i - 1].keep)
			return i;
	return 0;
}

/* Begins undoing at the step that failed itself, which may have half done its work. */
static void begin_undo(struct op *op, struct bg_err *err)
{
	assert(!op->err);
	op->err = err;
	op->phase = PHASE_UNDO;
	op->undo_stop = keep_below(op, op->at);
	op_stages_fail(&op->stages);
	op_changed(op);
	advance_soon(op);
}

static struct bg_err *cancelled_error(const struct op *op)
{
	struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_CANCELLED, ECANCELED, "%s of \"%s\" was cancelled%s%s; %s",
		op->plan->kind, op->target, op->by ? " by " : "", op->by ? op->by : "",
		op->plan->after_cancel	     ? op->plan->after_cancel
		: keep_below(op, op->at) > 0 ? "what was complete is kept"
					     : "what it had begun is undone");
	return err;
}

/* Nothing, when it is the present one. */
static void enter_stage(struct op *op)
{
	const struct op_step *step = &op->plan->steps[op->at];

	if (op_stages_enter(&op->stages, step->name, step->text))
		op_changed(op);
}

static void run_step(struct op *op)
{
	const struct op_step *step = &op->plan->steps[op->at];
	struct bg_err *err = NULL;
	int r;

	if (!step->rare)
		enter_stage(op);
	r = step->run(op, op->ctx, &err);
	if (r == OP_WAIT) {
		op->waiting = true;
		enter_stage(op);
		return;
	}
	if (r < 0) {
		begin_undo(op, err);
		return;
	}
	op->at++;
	advance_soon(op);
}

/* Errors of an undo are logged: the operation's own error is what the user needs. */
static void undo_step(struct op *op)
{
	const struct op_step *step = &op->plan->steps[op->at];
	_err_ struct bg_err *err = NULL;
	int r = step->undo ? step->undo(op, op->ctx, &err) : 0;

	if (r == OP_WAIT) {
		op->waiting = true;
		return;
	}
	if (r < 0)
		log_err(LOG_ERROR, "op", "undo failed", err);
	if (op->at == 0) {
		op_end(op);
		return;
	}
	op->at--;
	advance_soon(op);
}

/* Has it come to what is worth keeping, or is there nothing of that kind? */
static bool keep_reached(const struct op *op)
{
	bool any = false;

	for (unsigned i = 0; i < op->plan->n_steps; i++) {
		any |= op->plan->steps[i].keep;
		if (op->plan->steps[i].keep && i < op->at)
			return true;
	}
	return !any;
}

/* Its stage says so: else nothing would be seen of a disk that only the store waits for. */
static void on_slow(void *userdata)
{
	struct op *op = userdata;
	_free_ char *what = store_waits_for(op->ops->store);

	loop_source_free(TAKE_PTR(op->slow));
	if (!op->began)
		(void)op_stages_enter(&op->stages, "record", "recording it");
	op->told_slow = true;
	op_show_wait(what, op);
}

static int start_commit(struct op *op, store_done_fn done, struct bg_err **err)
{
	int r = store_commit(op->ops->store, done, op, &op->commit, err);

	if (r >= 0)
		(void)loop_add_timer(op->ops->loop, "op commit", SLOW_USEC, on_slow, op, &op->slow);
	return r;
}

static void end_commit(struct op *op)
{
	store_call_free(TAKE_PTR(op->commit));
	loop_source_free(TAKE_PTR(op->slow));
	if (op->told_slow)
		op_show_wait(NULL, op);
	op->told_slow = false;
}

/* Nothing was done yet, but its maker may have entered what the first step's undo takes back. */
static void on_intent(const struct bg_err *err, void *userdata)
{
	struct op *op = userdata;
	struct bg_err *failed = bg_err_copy(err);

	end_commit(op);
	if (failed) {
		begin_undo(op, failed);
		return;
	}
	op->began = true;
	advance_soon(op);
}

/* The first step of its plan begins when all that was posted for it is on the disk. */
static int begin(struct op *op, struct bg_err **err)
{
	int r;

	op->began = op->plan->acts_first;
	if (op->began) {
		advance_soon(op);
		return 0;
	}
	r = start_commit(op, on_intent, err);
	if (r >= 0 && op->plan->frees)
		store_call_alone(op->commit);
	return r;
}

static void become(struct op *op)
{
	struct bg_err *err = NULL;

	op->plan = TAKE_PTR(op->become);
	op->at = 0;
	if (begin(op, &err) < 0)
		begin_undo(op, err);
}

static void advance(void *userdata)
{
	struct op *op = userdata;

	loop_source_free(TAKE_PTR(op->next));
	if (op->phase == PHASE_RUN && op->become) {
		become(op);
	} else if (op->phase == PHASE_RUN && op->at == op->plan->n_steps) {
		op_end(op);
	} else if (op->phase == PHASE_RUN && (op->cancelled || (op->cut && keep_reached(op)))) {
		begin_undo(op, cancelled_error(op));
	} else if (op->phase == PHASE_RUN) {
		run_step(op);
	} else if (op->phase == PHASE_UNDO) {
		if (op->at < op->undo_stop)
			op_end(op);
		else
			undo_step(op);
	}
}

void op_step_done(struct op *op)
{
	assert(op->waiting);
	op->waiting = false;
	if (op->phase == PHASE_RUN) {
		op->at++;
	} else if (op->at == 0) {
		op_end(op);
		return;
	} else {
		op->at--;
	}
	advance_soon(op);
}

void op_step_failed(struct op *op, struct bg_err *err)
{
	assert(op->waiting);
	if (op->phase == PHASE_UNDO) {
		log_err(LOG_ERROR, "op", "undo failed", err);
		bg_err_free(err);
		op_step_done(op);
		return;
	}
	op->waiting = false;
	begin_undo(op, err);
}

static void cancel_step(struct op *op)
{
	/* A commit is short, and its completion cannot be called back. */
	if (!op->waiting || op->commit || !op->plan->steps[op->at].cancel)
		return;
	op->plan->steps[op->at].cancel(op, op->ctx);
	op->waiting = false;
	begin_undo(op, cancelled_error(op));
}

int op_cancel(struct op *op)
{
	if (op->phase == PHASE_END)
		return -EALREADY;
	if (op->cancelled || op->phase == PHASE_UNDO)
		return 0;
	op->cancelled = true;
	cancel_step(op);
	return 0;
}

int op_cut(struct op *op, const char *by)
{
	if (op->phase == PHASE_END)
		return -EALREADY;
	if (op->cancelled || op->cut || op->phase == PHASE_UNDO)
		return 0;
	op->cut = true;
	op->by = strdup(by);
	if (keep_reached(op))
		cancel_step(op);
	return 0;
}

void op_become(struct op *op, const struct op_plan *plan)
{
	assert(op->phase == PHASE_RUN && !op->become);
	op->become = plan;
}

int op_watch(struct op *op, op_ended_fn fn, void *userdata, struct op_watch **ret)
{
	struct op_watch *watch = calloc(1, sizeof(*watch));

	assert(op->phase != PHASE_END);
	if (!watch)
		return -ENOMEM;
	*watch = (struct op_watch){.op = op, .fn = fn, .userdata = userdata};
	TAILQ_INSERT_TAIL(&op->watches, watch, link);
	*ret = watch;
	return 0;
}

void op_watch_free(struct op_watch *watch)
{
	if (!watch)
		return;
	if (watch->op)
		TAILQ_REMOVE(&watch->op->watches, watch, link);
	loop_source_free(watch->soon);
	bg_err_free(watch->err);
	free(watch);
}

static void on_committed(const struct bg_err *err, void *userdata)
{
	struct op *op = userdata;
	struct bg_err *failed = err && !op->late ? bg_err_copy(err) : NULL;

	if (err && op->late)
		log_err(LOG_ERROR, "op", op->plan->kind, err);
	end_commit(op);
	if (failed)
		op_step_failed(op, failed);
	else
		op_step_done(op);
}

static int commit(struct op *op, bool late, struct bg_err **err)
{
	int r = start_commit(op, on_committed, err);

	op->late = late;
	return r < 0 ? r : OP_WAIT;
}

int op_commit(struct op *op, struct bg_err **err)
{
	return commit(op, false, err);
}

int op_commit_late(struct op *op, struct bg_err **err)
{
	return commit(op, true, err);
}

bool op_began(const struct op *op)
{
	return op->began;
}

bool op_cancelled(const struct op *op)
{
	return op->cancelled;
}

static struct op *op_alloc(
	struct ops *ops, const struct op_plan *plan, const char *target, void *ctx)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op)
		op->target = strdup(target);
	if (!op || !op->target) {
		free(op);
		return NULL;
	}
	op->ops = ops;
	op->plan = plan;
	op->ctx = ctx;
	TAILQ_INIT(&op->watches);
	TAILQ_INSERT_HEAD(&ops->list, op, link);
	return op;
}

int op_start(struct ops *ops, const struct op_plan *plan, const char *target, void *ctx,
	struct op **ret, struct bg_err **err)
{
	struct op *op = op_alloc(ops, plan, target, ctx);
	int r;

	if (!op) {
		if (plan->ctx_free)
			plan->ctx_free(ctx);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	op->id = store_op_begin(ops->store, plan->kind, target);
	r = begin(op, err);
	if (r < 0) {
		op_free(op);
		return r;
	}
	*ret = op;
	return 0;
}

struct op *op_find(struct ops *ops, int64_t id)
{
	struct op *op;

	TAILQ_FOREACH (op, &ops->list, link)
		if (op->id == id)
			return op;
	return NULL;
}

uint64_t ops_ended(const struct ops *ops, enum op_state state)
{
	return ops->ended[state];
}

unsigned ops_running(const struct ops *ops)
{
	const struct op *op;
	unsigned n = 0;

	TAILQ_FOREACH (op, &ops->list, link)
		n += op->phase != PHASE_END;
	return n;
}

/* A VM's process outlives the daemon, and its state is what the host has. */
static bool outlives_daemon(const struct op *op)
{
	return strncmp(op->plan->kind, "vm.", 3) == 0;
}

unsigned ops_stop(struct ops *ops)
{
	struct op *op;
	unsigned n = 0;

	TAILQ_FOREACH (op, &ops->list, link) {
		if (op->phase == PHASE_END || outlives_daemon(op))
			continue;
		(void)op_cancel(op);
		n++;
	}
	return n;
}

int ops_new(struct loop *loop, struct store *store, void (*changed)(struct op *op, void *userdata),
	void *userdata, struct ops **ret)
{
	struct ops *ops = calloc(1, sizeof(*ops));

	if (!ops)
		return -ENOMEM;
	ops->loop = loop;
	ops->store = store;
	ops->changed = changed;
	ops->userdata = userdata;
	TAILQ_INIT(&ops->list);
	*ret = ops;
	return 0;
}

void ops_free(struct ops *ops)
{
	struct op *op;

	if (!ops)
		return;
	while ((op = TAILQ_FIRST(&ops->list))) {
		/* The daemon ends: what waits is dropped, and put right at the next start. */
		if (op->waiting && op->phase == PHASE_RUN && op->plan->steps[op->at].cancel)
			op->plan->steps[op->at].cancel(op, op->ctx);
		op_free(op);
	}
	free(ops);
}
