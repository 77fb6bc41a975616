/* SPDX-License-Identifier: ISC */
/* scope_msg.h: the one message that scope.c sends and the answers to it, as bytes of the D-Bus wire format. Pure. */
#ifndef BG_DAEMON_DRIVER_SCOPE_MSG_H
#define BG_DAEMON_DRIVER_SCOPE_MSG_H

#include "daemon/driver/scope.h"

enum { SCOPE_MSG_MAX = 2048, SCOPE_ANSWER_MAX = 64 * 1024 };

struct scope_msg {
	uint8_t data[SCOPE_MSG_MAX];
	size_t len;
	bool full; /* it did not fit */
};

/* Manager.StartTransientUnit, with serial 1. False: a name is too long. */
bool scope_msg_start(const struct scope_spec *spec, struct scope_msg *ret);

enum scope_answer { SCOPE_MORE, SCOPE_OTHER, SCOPE_DONE, SCOPE_REFUSED, SCOPE_BROKEN };
/*
 * What the bytes begin with. MORE: not yet whole. OTHER: a message that is not an answer. *ret_len is the length of a whole one;
 * *ret_text, of a refusal, is in input: its first string, which ends with 0.
 */
enum scope_answer scope_msg_answer(
	const uint8_t *input, size_t len, size_t *ret_len, const char **ret_text);

#endif
