/* SPDX-License-Identifier: ISC */
/* tar_head.h: the 512-byte heads and pax records that tar_pack.c writes and tar_unpack.c reads. Pure. */
#ifndef BG_COMMON_TAR_HEAD_H
#define BG_COMMON_TAR_HEAD_H

#include "common/base.h"

enum {
	TAR_BLOCK = 512,
	TAR_EXTRA_MAX = 1024 * 1024,  /* bytes of pax records or of a long name */
	TAR_EXTENTS_MAX = 256 * 1024, /* data areas of a sparse file */
};

/* POSIX.1-1988 ustar. */
struct tar_head {
	char name[100];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char sum[8];
	char type;
	char link[100];
	char magic[6], version[2];
	char uname[32], gname[32];
	char major[8], minor[8];
	char prefix[155];
	char pad[12];
};

_Static_assert(sizeof(struct tar_head) == TAR_BLOCK, "tar format");

struct tar_entry {
	char type;	   /* '0' to '6', or one of the extension types */
	char *path, *link; /* owned; link may be NULL */
	unsigned mode;
	uint64_t uid, gid;
	uint64_t size; /* bytes that follow in the stream */
	int64_t mtime;
	uint32_t mtime_ns;
	unsigned major, minor;
	bool sparse;	    /* GNU 1.0: the data begins with a map */
	uint64_t real_size; /* sparse: of the file */
	unsigned given;	    /* by pax: TAR_G_*; such fields of the head are ignored */
};

enum { TAR_G_SIZE = 1, TAR_G_UID = 2, TAR_G_GID = 4, TAR_G_MTIME = 8 };

void tar_entry_done(struct tar_entry *e);
/* Fills a head; what does not fit is cut: the caller has said it by pax before. */
void tar_head_make(struct tar_head *h, const struct tar_entry *e);
bool tar_head_is_zero(const struct tar_head *h);
/* Over what pax said before. -EPROTO for a head with a wrong sum or number; -ENOMEM. */
int tar_head_read(const struct tar_head *h, struct tar_entry *e);
/* Takes the records of one pax head. -EPROTO, -ENOMEM. */
int tar_pax_read(const char *text, size_t len, struct tar_entry *e);
/* "LEN key=value\n" at out; returns its length. */
size_t tar_pax_put(char *out, size_t size, const char *key, const char *value);
/* Bytes up to the next block's beginning. */
static inline size_t tar_padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK - 1));
}

#endif
