/* SPDX-License-Identifier: ISC */
/*
 * agent_exec.h: the payload of BG_AGENT_EXEC, made by the daemon and read by the agent. Pure:
 * structs to bytes and back, every count and string checked.
 */
#ifndef BG_COMMON_AGENT_EXEC_H
#define BG_COMMON_AGENT_EXEC_H

#include "common/agent_proto.h"
#include "common/base.h"

struct bg_exec {
	enum bg_agent_kind kind;
	unsigned flags; /* BG_AGENT_X_* */
	uint16_t rows, cols;
	uint32_t timeout_ms;	 /* 0: none */
	const char *user;	 /* "" or NULL: root */
	const char *workdir;	 /* "" or NULL: the user's home */
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

/* Command and environment that come behind an EXEC with BG_AGENT_X_WORDS. Zeroed: none yet. */
struct bg_words {
	char *text[BG_AGENT_W_LISTS];
	size_t len[BG_AGENT_W_LISTS];
};

/* Takes the payload of one frame. -EINVAL for another list, -E2BIG beyond BG_AGENT_WORDS_MAX, -ENOMEM. */
int bg_words_add(struct bg_words *w, unsigned list, const void *p, size_t len);
/*
 * Gives x the command of w, and its environment before x's own; a name that is set twice counts once. *memory, the
 * caller's, holds the lists; the strings stay w's and x's. -EINVAL when the last string has no end.
 */
int bg_words_join(const struct bg_words *w, struct bg_exec *x, void **memory);
void bg_words_done(struct bg_words *w);

#endif
