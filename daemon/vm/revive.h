/* SPDX-License-Identifier: ISC */
/*
 * revive.h: VMs that are started by nobody's command: at the daemon's start (autostart, and by their restart policy), and after
 * an end that the policy does not leave at that. What a user has stopped stays stopped: a restart policy starts it no more, and
 * autostart not before the host was started anew or the session ended. A guest that powers off is its user's wish too, except under
 * `always`.
 *
 * Owned by its VM, as vm->revival; NULL while there is nothing to be said. Each start is an ordinary operation, which takes its turn
 * with all others (boot_gate.h).
 */
#ifndef BG_DAEMON_VM_REVIVE_H
#define BG_DAEMON_VM_REVIVE_H

#include <jansson.h>

#include "common/err.h"

struct engine;
struct vm;

enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_MAX_ };

const char *restart_policy_str(int policy);
/* RESTART_NO for what is none of the words, and for NULL. */
int restart_policy_of(const char *word);

/* After all VMs were recovered: those that are to be up and are not, by name. */
void revive_all(struct engine *engine);
/* Recovery: it was up when the last daemon saw it, and is not. bad: nobody's wish. */
void revive_found_down(struct vm *vm, bool bad);
/* Its process ended without an operation. bad: as above. By its policy it is started again, each time later. */
void revive_ended(struct vm *vm, bool bad);
/* A user starts it (or restarts). */
void revive_on_start(struct vm *vm);
/* A user stops or kills it. */
void revive_on_stop(struct vm *vm);
/* Its policy is another now. */
void revive_on_policy(struct vm *vm);
/* When it is started again, in seconds since the epoch; 0: it is not. */
int64_t revive_at(const struct vm *vm);
/* The VM goes. */
void revive_clear(struct vm *vm);

#endif
