/* SPDX-License-Identifier: ISC */
/*
 * world.h: an engine with fakes below it (storage, network, VMM), a real store and a real loop, in a test's
 * own directory. The life of a VM is driven through vm_create and vm_ask as the API does it.
 */
#ifndef BG_TESTS_FSM_WORLD_H
#define BG_TESTS_FSM_WORLD_H

#include "daemon/engine.h"

struct world {
	struct engine engine;
	struct bg_paths paths;
	struct config *config;
	char *init_path;
	char *trash_dir;
	int worker_log;
	const char *cancel_at; /* stage: the next operation to reach it is cancelled */
	struct loop_source *cancel;
};

/* behaviour: BANGER_FAKE_BEHAVIOUR for the VMs to come; NULL for a guest that is ready at once. */
void world_open(struct world *w, const char *behaviour);
void world_set_behaviour(const char *behaviour);
/* The daemon's end, also a sudden one: nothing is finished, the store stays as it is. */
void world_close(struct world *w);
/* The next daemon on the same directory; the fake network remembers nothing. */
void world_reopen(struct world *w);

/* Runs the loop until cond is true; a test failure after a bounded time. */
void world_run(struct world *w, bool (*cond)(struct world *w, void *userdata), void *userdata);
/* Runs until the operation has ended; its state. */
enum op_state world_wait(struct world *w, struct op *op);
/* vm_create of NAME, waited for. */
enum op_state world_create(struct world *w, const char *name, bool start);
/* vm_ask, waited for; a refusal fails the test. */
enum op_state world_ask(struct world *w, const char *name, enum vm_event event);
/* The error code of an operation's end or a refusal: "" when there was none. */
const char *world_last_code(void);

/* Fails the test unless no VM, file, card or process of a VM is left. */
void world_check_empty(struct world *w);
/* Soon there are n direct children of this process but the store and workers, which come and go beside an operation. */
void world_expect_children(struct world *w, unsigned n);

#endif
