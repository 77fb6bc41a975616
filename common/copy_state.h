/* SPDX-License-Identifier: ISC */
/*
 * copy_state.h: what is at a path of a checkout's copy in a guest, told by the agent and judged at
 * both ends: the agent puts files in place when nothing is lost, the CLI says which would be.
 * Pure. The text of a state is its type, then for files and links 64 digits: "f2c26...", "d", "-".
 */
#ifndef BG_COMMON_COPY_STATE_H
#define BG_COMMON_COPY_STATE_H

#include "common/sha256.h"

/*
 * File, link, directory, other; '-': nothing; 'b': nothing, and something above it is not a directory; 'e': a
 * directory, where a file comes, that holds nothing but what goes.
 */
#define BG_COPY_TYPES "fldo-be"
#define BG_COPY_TEXT  (1 + BG_SHA256_HEX)

struct bg_copy_state {
	char type;		  /* of BG_COPY_TYPES */
	char hash[BG_SHA256_HEX]; /* of a file's content or a link's target, else "" */
};

/* Returns out. */
char *bg_copy_state_text(const struct bg_copy_state *s, char out[BG_COPY_TEXT]);
/* Takes a state off *text, which moves behind it; false: there is none. */
bool bg_copy_state_take(const char **text, struct bg_copy_state *ret);
/*
 * Whether writing now at a path (type '-': deleting what is there) loses what the guest made there
 * since before was brought (type '-': nothing was).
 */
bool bg_copy_loses(const struct bg_copy_state *there, const struct bg_copy_state *before,
	const struct bg_copy_state *now);

#endif
