/* SPDX-License-Identifier: ISC */
/*
 * entry.h: one entry of an archive into an ext4 image: all kinds, owners, modes, times,
 * extended attributes, ACLs. Shared by the unpack and kernel jobs.
 */
#ifndef BG_WORKER_ENTRY_H
#define BG_WORKER_ENTRY_H

#include "worker/ext4.h"
#include "worker/source.h"

/*
 * The entry's name without leading "/" and "./" and trailing "/"; "" is the root. Borrowed from
 * the entry. A name with a ".." component, or none at all, is an error.
 */
int entry_path(
	struct source *s, struct archive_entry *entry, const char **ret, struct bg_err **err);
/* The same for what a hard link points to; *ret is NULL when the entry is none. */
int entry_link_path(
	struct source *s, struct archive_entry *entry, const char **ret, struct bg_err **err);
void entry_attr(struct archive_entry *entry, struct ext4_attr *ret);
/* Writes the entry to path of e. Hard links are the caller's. */
int entry_write(struct ext4 *e, const char *path, struct source *s, struct archive_entry *entry,
	struct bg_err **err);
/* What an ext4 function returned for this path, as an error. */
int entry_err(int r, enum bg_err_code code, const char *path, struct bg_err **err);

#endif
