/* SPDX-License-Identifier: ISC */
/*
 * sandbox.h: what the engine gives up, for itself and for everything it starts: VMMs and workers
 * inherit it, and add filters of their own. Stages, in this order:
 *   inherit  what came in with exec: descriptors, limits, signals. Must not open anything.
 *   open     main's own: paths, config, log. Must be over before drop.
 *   drop     capabilities, also those an odd login left ambient; proven by asking the kernel.
 *   hide     not dumpable: the user's other processes, a VMM among them, read and trace nothing.
 *   seal     no_new_privs, then the filter; nothing can be gained from here on, by no exec.
 * The monitor hides too, and does no more: it starts programs that gain rights.
 */
#ifndef BG_DAEMON_SANDBOX_H
#define BG_DAEMON_SANDBOX_H

#include "common/err.h"

int sandbox_inherit(struct bg_err **err);
int sandbox_drop(struct bg_err **err);
int sandbox_hide(struct bg_err **err);
int sandbox_seal(struct bg_err **err);

#endif
