/* SPDX-License-Identifier: ISC */
/* op_stage.h: the stages of an operation as clients see them: name, text, time taken, progress. Used by op.c alone. */
#ifndef BG_DAEMON_OP_OP_STAGE_H
#define BG_DAEMON_OP_OP_STAGE_H

#include <jansson.h>

#include "common/base.h"

enum { OP_STAGES_MAX = 20 };

enum op_stage_state { STAGE_RUNNING, STAGE_DONE, STAGE_FAILED, STAGE_STATE_MAX_ };

struct op_stage {
	const char *name;
	char *text;
	enum op_stage_state state;
	uint64_t began_usec, ended_usec;
};

struct op_stages {
	struct op_stage stage[OP_STAGES_MAX];
	unsigned n;
	uint64_t began_usec, ended_usec;
	int64_t created_at;
	uint64_t done, total; /* of the present stage; unit NULL: no progress known */
	const char *unit;
	char *waits; /* what the present stage waits for, or NULL */
};

/* False when the step belongs to the stage that runs already. */
bool op_stages_enter(struct op_stages *stages, const char *name, const char *text);
void op_stages_text(struct op_stages *stages, const char *text);
/* what is copied; NULL: nothing any more. */
void op_stages_wait(struct op_stages *stages, const char *what);
void op_stages_progress(struct op_stages *stages, uint64_t done, uint64_t total, const char *unit);
void op_stages_fail(struct op_stages *stages);
void op_stages_end(struct op_stages *stages, bool success);
/* Adds "stages", "progress", "created_at" and "elapsed_ms" to the operation's record. */
void op_stages_to_json(const struct op_stages *stages, json_t *json);
void op_stages_clear(struct op_stages *stages);

#endif
