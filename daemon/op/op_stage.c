/* SPDX-License-Identifier: ISC */
/* op_stage.c: A list of stages with their times; the last one is the present one. */
#include "daemon/op/op_stage.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "common/json.h"
#include "common/timefmt.h"
#include "daemon/loop/loop.h"

static const char *const state_names[] = {
	[STAGE_RUNNING] = "running",
	[STAGE_DONE] = "done",
	[STAGE_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(state_names) == STAGE_STATE_MAX_, "one name per state");

static struct op_stage *present(struct op_stages *stages)
{
	return stages->n ? &stages->stage[stages->n - 1] : NULL;
}

void op_stages_wait(struct op_stages *stages, const char *what)
{
	free(stages->waits);
	stages->waits = what ? strdup(what) : NULL;
}

static void close_present(struct op_stages *stages, enum op_stage_state state)
{
	struct op_stage *stage = present(stages);

	if (!stage || stage->state != STAGE_RUNNING)
		return;
	stage->state = state;
	stage->ended_usec = loop_now_usec();
	stages->unit = NULL;
	op_stages_wait(stages, NULL);
}

bool op_stages_enter(struct op_stages *stages, const char *name, const char *text)
{
	struct op_stage *stage = present(stages);

	if (stage && stage->state == STAGE_RUNNING && bg_streq(stage->name, name))
		return false;
	if (!stages->began_usec) {
		stages->began_usec = loop_now_usec();
		stages->created_at = time(NULL);
	}
	close_present(stages, STAGE_DONE);
	assert(stages->n < OP_STAGES_MAX);
	stage = &stages->stage[stages->n++];
	*stage = (struct op_stage){
		.name = name, .text = strdup(text), .began_usec = loop_now_usec()};
	return true;
}

void op_stages_text(struct op_stages *stages, const char *text)
{
	struct op_stage *stage = present(stages);

	if (!stage || !text)
		return;
	free(stage->text);
	stage->text = strdup(text);
}

void op_stages_progress(struct op_stages *stages, uint64_t done, uint64_t total, const char *unit)
{
	stages->done = done;
	stages->total = total;
	stages->unit = unit;
}

void op_stages_fail(struct op_stages *stages)
{
	close_present(stages, STAGE_FAILED);
}

void op_stages_end(struct op_stages *stages, bool success)
{
	close_present(stages, success ? STAGE_DONE : STAGE_FAILED);
	stages->ended_usec = loop_now_usec();
}

/* "waiting for a worker (4 of 4 busy): cloning the root disk"; the caller's. */
static char *text_of(const struct op_stages *stages, const struct op_stage *stage)
{
	char *text = NULL;

	if (!stages->waits || stage->state != STAGE_RUNNING)
		return stage->text ? strdup(stage->text) : NULL;
	return asprintf(&text, "waiting for %s: %s", stages->waits,
		       stage->text ? stage->text : stage->name) < 0
		       ? NULL
		       : text;
}

static json_t *stage_json(const struct op_stages *stages, const struct op_stage *stage)
{
	uint64_t end = stage->ended_usec ? stage->ended_usec : loop_now_usec();
	_free_ char *text = text_of(stages, stage);
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(stage->name));
	json_object_set_new(json, "text", bg_json_str(text));
	json_object_set_new(json, "state", json_string(state_names[stage->state]));
	json_object_set_new(
		json, "ms", json_integer((json_int_t)((end - stage->began_usec) / 1000)));
	return json;
}

static json_t *progress_json(const struct op_stages *stages)
{
	json_t *json;

	if (!stages->unit)
		return json_null();
	json = json_object();
	json_object_set_new(json, "done", json_integer((json_int_t)stages->done));
	json_object_set_new(json, "total",
		stages->total ? json_integer((json_int_t)stages->total) : json_null());
	json_object_set_new(json, "unit", json_string(stages->unit));
	return json;
}

void op_stages_to_json(const struct op_stages *stages, json_t *json)
{
	uint64_t end = stages->ended_usec ? stages->ended_usec : loop_now_usec();
	json_t *array = json_array();
	char text[BG_TIME_TEXT];

	for (unsigned i = 0; i < stages->n; i++)
		json_array_append_new(array, stage_json(stages, &stages->stage[i]));
	json_object_set_new(json, "stages", array);
	json_object_set_new(json, "progress", progress_json(stages));
	json_object_set_new(json, "created_at",
		stages->began_usec ? json_string(bg_time_print(stages->created_at, text))
				   : json_null());
	json_object_set_new(json, "elapsed_ms",
		json_integer(
			stages->began_usec ? (json_int_t)((end - stages->began_usec) / 1000) : 0));
}

void op_stages_clear(struct op_stages *stages)
{
	for (unsigned i = 0; i < stages->n; i++)
		free(stages->stage[i].text);
	free(stages->waits);
	*stages = (struct op_stages){0};
}
