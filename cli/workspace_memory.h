/* SPDX-License-Identifier: ISC */
/*
 * workspace_memory.h: this machine's own copies of the records that guests keep of what was brought
 * to them, byte for byte, in the cache: a record of 10,000 files is more than a megabyte, and the
 * guest only has to say that it still ends with the same token. Losing one costs a transfer, no
 * more. Used under the VM's lock, or only read.
 */
#ifndef BG_CLI_WORKSPACE_MEMORY_H
#define BG_CLI_WORKSPACE_MEMORY_H

#include "cli/guest.h"
#include "cli/workspace.h"

/* *ret is one that is not there (and has no token) when none is remembered, or it is broken. */
void ws_memory_read(const struct guest *g, const char *guest_path, struct ws_manifest *ret);
/* The whole record, or with more what was added to the one that is remembered. */
void ws_memory_keep(
	const struct guest *g, const char *guest_path, const char *text, size_t len, bool more);

#endif
