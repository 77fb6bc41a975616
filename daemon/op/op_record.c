/* SPDX-License-Identifier: ISC */
/* See op.h: what clients see of operations. */
#include <assert.h>
#include <stdio.h>

#include "common/json.h"
#include "daemon/op/op_impl.h"

static const char *const state_names[] = {
	[OP_RUNNING] = "running",
	[OP_DONE] = "done",
	[OP_FAILED] = "failed",
	[OP_CANCELLED] = "cancelled",
};
static_assert(ARRAY_SIZE(state_names) == OP_STATE_MAX_, "one name per state");

void op_changed(struct op *op)
{
	if (op->ops->changed)
		op->ops->changed(op, op->ops->userdata);
}

void op_set_text(struct op *op, const char *text)
{
	op_stages_text(&op->stages, text);
	op_changed(op);
}

void op_show_wait(const char *what, void *userdata)
{
	struct op *op = userdata;

	op_stages_wait(&op->stages, what);
	op_changed(op);
}

void op_set_progress(struct op *op, uint64_t done, uint64_t total, const char *unit)
{
	op_stages_progress(&op->stages, done, total, unit);
	op_changed(op);
}

void op_set_result(struct op *op, json_t *result)
{
	json_decref(op->result);
	op->result = result;
}

void op_set_log(struct op *op, const char *path)
{
	free(op->log_path);
	op->log_path = path ? strdup(path) : NULL;
}

int64_t op_id(const struct op *op)
{
	return op->id;
}

enum op_state op_state(const struct op *op)
{
	return op->state;
}

const char *op_kind(const struct op *op)
{
	return op->plan->kind;
}

const char *op_target(const struct op *op)
{
	return op->target;
}

static json_t *error_json(const struct bg_err *err)
{
	json_t *json;

	if (!err)
		return json_null();
	json = bg_err_to_json(err);
	json_object_set_new(json, "exit", json_integer(bg_err_code_exit(err->code)));
	return json;
}

json_t *op_to_json(const struct op *op)
{
	char id[24];
	json_t *json = json_object();

	snprintf(id, sizeof(id), "%lld", (long long)op->id);
	json_object_set_new(json, "id", json_string(id));
	json_object_set_new(json, "kind", json_string(op->plan->kind));
	json_object_set_new(json, "target", bg_json_str(op->target));
	json_object_set_new(json, "state", json_string(state_names[op->state]));
	op_stages_to_json(&op->stages, json);
	json_object_set_new(json, "error", error_json(op->phase == PHASE_END ? op->err : NULL));
	json_object_set_new(json, "result", op->result ? json_incref(op->result) : json_null());
	json_object_set_new(json, "log", bg_json_str(op->log_path));
	return json;
}

json_t *ops_to_json(const struct ops *ops)
{
	json_t *array = json_array(), *json = json_object();
	const struct op *op;

	TAILQ_FOREACH (op, &ops->list, link)
		json_array_append_new(array, op_to_json(op));
	json_object_set_new(json, "operations", array);
	return json;
}

int ops_check_idle(const struct ops *ops, struct bg_err **err)
{
	unsigned n = ops_running(ops);
	_free_ char *list = NULL;
	const struct op *op;
	size_t len = 0;
	FILE *f = n ? open_memstream(&list, &len) : NULL;

	if (!f)
		return n ? bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory") : 0;
	TAILQ_FOREACH_REVERSE(op, &ops->list, op_list, link)
	if (op->phase != PHASE_END)
		fprintf(f, "%s%s of \"%s\"", ftell(f) > 0 ? ", " : "", op->plan->kind, op->target);
	fclose(f);
	return bg_err_set(err, BG_ERR_DAEMON_BUSY, EBUSY, "%u operation%s running: %s", n,
		n == 1 ? " is" : "s are", list);
}
