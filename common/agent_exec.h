/* SPDX-License-Identifier: ISC */
/*
 * agent_exec.h: the payload of BG_AGENT_EXEC, made by the daemon and read by the agent. Pure:
 * structs to bytes and back, every count and string checked.
 */
#ifndef BG_AGENT_EXEC_H
#define BG_AGENT_EXEC_H

#include "common/agent_proto.h"
#include "common/base.h"

struct bg_exec {
	enum bg_agent_kind kind;
	unsigned flags;	     /* BG_AGENT_X_* */
	uint16_t rows, cols;
	uint32_t timeout_ms; /* 0: none */
	const char *user;    /* "" or NULL: root */
	const char *workdir; /* "" or NULL: the user's home */
	const char *const *argv; /* ends with NULL; may be empty */
	const char *const *env;	 /* the same, of "NAME=value" */
};

/* *ret is the caller's; -E2BIG when it does not fit a frame, -ENOMEM. */
int bg_exec_encode(const struct bg_exec *x, uint8_t **ret, size_t *ret_len);
/*
 * What ret points to lies in *memory, which is the caller's to free. -EINVAL for what is malformed,
 * -ENOSYS for a kind or flag that this build does not know, -ENOMEM.
 */
int bg_exec_decode(const uint8_t *payload, size_t len, struct bg_exec *ret, void **memory);

#endif
