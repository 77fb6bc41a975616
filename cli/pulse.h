/* SPDX-License-Identifier: ISC */
/*
 * pulse.h: whether the daemon behind a stream still lives. A log or a session may be silent for hours, and a daemon that hangs is
 * silent too: after a while of silence the daemon is asked for its version on another connection, and when that has no answer
 * within the client's deadline, the wait is over. Never blocks; the caller polls on what pulse_fd and pulse_wait_ms say.
 */
#ifndef BG_CLI_PULSE_H
#define BG_CLI_PULSE_H

#include "cli/client.h"

struct pulse {
	struct cli *cli;
	struct bg_http *ask; /* the question that is open; NULL: none, or it could not be sent */
	uint64_t heard_ms, asked_ms; /* asked_ms 0: no question is open */
};

/* Borrows cli. */
void pulse_init(struct pulse *p, struct cli *cli);
void pulse_done(struct pulse *p);
/* Of a local that pulse_init has filled before anything can return. */
#define _pulse_ __attribute__((cleanup(pulse_done)))
/* Something came from the daemon. */
void pulse_heard(struct pulse *p);
/* For poll(POLLIN); -1 when no question is open. */
int pulse_fd(const struct pulse *p);
/* Until pulse_turn has something to do. */
int pulse_wait_ms(const struct pulse *p);
/* After each poll(). TIMEOUT when the daemon does not answer, then and at each later turn. */
int pulse_turn(struct pulse *p, struct bg_err **err);
/* poll() of one more descriptor: 1 when it has something, 0 after wait_ms (-1: none), TIMEOUT. */
int pulse_wait(struct pulse *p, int fd, int wait_ms, struct bg_err **err);
/* The next piece of a raw stream, as bg_http_next_raw: *len 0 is the end. */
int pulse_next_raw(
	struct pulse *p, struct bg_http *h, const char **data, size_t *len, struct bg_err **err);

#endif
