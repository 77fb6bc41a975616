/* SPDX-License-Identifier: ISC */
/*
 * source.h: a foreign archive as a job reads it: libarchive over a descriptor, or over the
 * current entry of another archive (a .deb holds tars). Reports progress, notices cancellation
 * while it waits for input. Only formats and filters that live inside libarchive: it never
 * starts a program.
 */
#ifndef BG_WORKER_SOURCE_H
#define BG_WORKER_SOURCE_H

#include <archive.h>
#include <archive_entry.h>

#include "worker/digest.h"
#include "worker/job.h"

enum source_kind {
	SOURCE_TAR, /* tar under any compression */
	SOURCE_AR,  /* the outer layer of a .deb */
	SOURCE_RPM, /* the cpio inside an RPM package */
	SOURCE_RAW, /* one compressed stream, no names */
};

struct source;

/* fd is borrowed and read from its current offset. */
int source_open_fd(
	struct job *job, int fd, enum source_kind kind, struct source **ret, struct bg_err **err);
/* The same for at most max bytes. digest gets what is read, compression and all; may be NULL. */
int source_open_range(struct job *job, int fd, uint64_t max, enum source_kind kind,
	struct digest *digest, struct source **ret, struct bg_err **err);
/* Reads the current entry's data of outer, which must outlive the new one. */
int source_open_entry(struct job *job, struct source *outer, enum source_kind kind,
	struct source **ret, struct bg_err **err);
/* Reads memory, which must outlive the new one. */
int source_open_memory(struct job *job, const void *p, size_t len, enum source_kind kind,
	struct source **ret, struct bg_err **err);
void source_free(struct source *s);
BG_DEFINE_UNREF(source, struct source *, source_free)

/* 1 and *ret (borrowed until the next call) for an entry, 0 at the end, -errno. */
int source_next(struct source *s, struct archive_entry **ret, struct bg_err **err);
/* 1 and a piece of the entry's data, 0 at its end, -errno. Offsets never go back. */
int source_block(
	struct source *s, const void **buf, size_t *len, int64_t *offset, struct bg_err **err);
/* The whole entry in memory, at most max bytes. *ret is the caller's, NUL-terminated. */
int source_slurp(struct source *s, size_t max, char **ret, size_t *ret_len, struct bg_err **err);
/* Where the headers of the current entry start, in bytes without compression. */
uint64_t source_entry_offset(const struct source *s);
bool source_is_compressed(const struct source *s);
/* Reads what the archive's end left of fd, for the digest. */
int source_drain(struct source *s, struct bg_err **err);
/* More than max bytes without compression are an error; no bound unless said. */
void source_set_max(struct source *s, uint64_t max);
/* Bytes without compression so far. */
uint64_t source_unpacked(const struct source *s);
/* Which error code broken input gets; unless said, BG_ERR_KERNEL_INVALID for packages and
 * BG_ERR_IMAGE_INVALID for the rest. */
void source_set_code(struct source *s, enum bg_err_code code);

#endif
