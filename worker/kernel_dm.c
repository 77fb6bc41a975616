/* SPDX-License-Identifier: ISC */
/* See kernel_dm.h. */
#include "worker/kernel_dm.h"

#include "common/limits.h"
#include "worker/source.h"

/* drivers/md/dm-snap.c, from 5.3 on */
static const char option[] = "discard_zeroes_cow";

enum { OPTION = sizeof(option) - 1 };

/* The end of the piece before: the name may lie across two. */
struct scan {
	char seam[2 * OPTION];
	size_t kept;
	bool found;
};

static void scan_piece(struct scan *s, const char *p, size_t len)
{
	size_t first = BG_MIN(len, (size_t)OPTION);

	memcpy(s->seam + s->kept, p, first);
	s->found = s->found || memmem(p, len, option, OPTION) ||
		   memmem(s->seam, s->kept + first, option, OPTION);
	if (len >= OPTION) {
		memcpy(s->seam, p + len - OPTION, OPTION);
		s->kept = OPTION;
		return;
	}
	first += s->kept;
	s->kept = BG_MIN(first, (size_t)OPTION);
	memmove(s->seam, s->seam + first - s->kept, s->kept);
}

static void scan_plain(struct job *job, int fd, struct scan *s)
{
	_free_ char *buf = malloc(MIB);
	off_t at = 0;
	ssize_t n;

	while (buf && !s->found && (n = pread(fd, buf, MIB, at)) > 0) {
		scan_piece(s, buf, (size_t)n);
		at += n;
		if (job_tick(job, (uint64_t)at, NULL, NULL) < 0)
			return;
	}
}

/* Whatever is wrong with the payload: then nothing is found. */
static void scan_packed(struct job *job, int fd, struct scan *s)
{
	_unref_(source) struct source *src = NULL;
	struct archive_entry *entry;
	uint64_t at, size, done = 0;
	uint8_t head[1024];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	const void *p;
	int64_t offset;
	size_t len;

	if (n < 0 || bzimage_payload(head, (size_t)n, &at, &size) < 0 ||
		lseek(fd, (off_t)at, SEEK_SET) < 0 ||
		source_open_range(job, fd, size, SOURCE_RAW, NULL, &src, NULL) < 0 ||
		source_next(src, &entry, NULL) <= 0)
		return;
	while (!s->found && done < BG_KERNEL_MAX &&
		source_block(src, &p, &len, &offset, NULL) > 0) {
		scan_piece(s, p, len);
		done += len;
	}
}

bool kernel_has_dm(struct job *job, int fd, enum kernel_format format)
{
	struct scan s = {0};

	if (format == KERNEL_ELF)
		scan_plain(job, fd, &s);
	else if (format == KERNEL_BZIMAGE)
		scan_packed(job, fd, &s);
	return s.found;
}
