/* SPDX-License-Identifier: ISC */
/* spin.h: runs a loop until a condition holds, bounded; the rest of the test stays straight-line
 * code. */
#ifndef BG_TESTS_DRIVER_SPIN_H
#define BG_TESTS_DRIVER_SPIN_H

#include "daemon/loop/loop.h"
#include "tests/lib/test.h"

/* Fails the test when the condition does not hold within SPIN_MAX_USEC. */
#define SPIN_MAX_USEC (40 * 1000 * 1000)
#define SPIN(loop, cond)                                                                           \
	do {                                                                                       \
		uint64_t until_ = loop_now_usec() + SPIN_MAX_USEC;                                 \
		while (!(cond)) {                                                                  \
			if (loop_now_usec() > until_)                                              \
				test_fail(__FILE__, __LINE__, "never: %s", #cond);                 \
			spin_turn(loop);                                                           \
		}                                                                                  \
	} while (0)

/* Runs the loop for about two milliseconds. */
void spin_turn(struct loop *loop);
/* Runs it as long as that, for what must not happen. */
void spin_for(struct loop *loop, uint64_t usec);
bool spin_readable(int fd);
/* tests/lib/fake-guest behind a socket at path; it ends when *ret_stdin is closed. */
pid_t spin_fake_guest(const char *path, const char *vm_id, int *ret_stdin);
/* A stream socket that listens at path. */
int spin_listen(const char *path);

#endif
