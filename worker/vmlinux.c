/* SPDX-License-Identifier: ISC */
/*
 * The vmlinux job: the ELF kernel out of a bzImage, for VMMs that boot nothing else. The payload
 * is one compressed stream; its unpacked size stands in its last four bytes.
 */
#include "common/fd.h"
#include "worker/bzimage.h"
#include "worker/source.h"

struct vmlinux {
	struct job *job;
	uint64_t offset, size; /* of the payload in the file */
	uint64_t want, done;   /* bytes of the ELF file */
	uint8_t head[64];
};

static int damaged(struct bg_err **err, const char *why)
{
	return bg_err_set(
		err, BG_ERR_KERNEL_INVALID, EBADMSG, "the bzImage cannot be unpacked: %s", why);
}

static int find_payload(struct vmlinux *v, struct bg_err **err)
{
	uint8_t head[1024], magic[2], end[4];
	int fd = v->job->fd[0];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	if (n < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read the bzImage");
	if (bzimage_payload(head, (size_t)n, &v->offset, &v->size) < 0)
		return damaged(err, "no boot header of protocol 2.08 or later");
	if (pread(fd, magic, sizeof(magic), (off_t)v->offset) != sizeof(magic) ||
		pread(fd, end, sizeof(end), (off_t)(v->offset + v->size - sizeof(end))) !=
			sizeof(end))
		return damaged(err, "it is shorter than its header says");
	v->want = end[0] | (uint64_t)end[1] << 8 | (uint64_t)end[2] << 16 | (uint64_t)end[3] << 24;
	if (v->want < sizeof(v->head) || v->want > BG_KERNEL_MAX)
		return damaged(err, "its unpacked size is out of bounds");
	/* gzip's trailer ends with the size; behind the others the kernel's build appends it. */
	if (magic[0] != 0x1f || magic[1] != 0x8b)
		v->size -= sizeof(end);
	return lseek(fd, (off_t)v->offset, SEEK_SET) < 0
		       ? bg_err_sys(err, BG_ERR_WORKER, errno, "seek in the bzImage")
		       : 0;
}

static int put(struct vmlinux *v, const uint8_t *p, size_t len, struct bg_err **err)
{
	int r;

	if (v->done < sizeof(v->head))
		memcpy(v->head + v->done, p, BG_MIN(len, sizeof(v->head) - v->done));
	r = bg_write_all(v->job->fd[1], p, len);
	if (r < 0)
		return job_write_err(r, err, "write the vmlinux");
	v->done += len;
	return 0;
}

/* Stops at the size wanted. */
static int unpack(struct vmlinux *v, struct source *s, struct bg_err **err)
{
	struct archive_entry *entry;
	const void *p;
	int64_t offset;
	size_t len;
	int r = source_next(s, &entry, err);

	if (r == 0)
		return damaged(err, "it is empty");
	while (r > 0 && v->done < v->want) {
		r = source_block(s, &p, &len, &offset, err);
		if (r > 0)
			r = put(v, p, BG_MIN(len, v->want - v->done), err) < 0 ? -EIO : 1;
	}
	if (r < 0) {
		bg_err_hint(err, "its compression may be one that banger does not know (gzip, xz, "
				 "lzma, zstd, lz4, bzip2 are)");
		return r;
	}
	if (v->done < v->want)
		return damaged(err, "the payload ends early");
	return elf_is_x86_64(v->head, sizeof(v->head)) ? 0
						       : damaged(err, "no x86-64 ELF file inside");
}

int job_vmlinux(struct job *job, json_t **ret, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	struct vmlinux v = {.job = job};
	int r;

	if (ftruncate(job->fd[1], 0) < 0)
		return job_write_err(-errno, err, "empty the vmlinux");
	r = find_payload(&v, err);
	if (r >= 0)
		r = source_open_range(job, job->fd[0], v.size, SOURCE_RAW, NULL, &s, err);
	if (r < 0)
		return r;
	source_set_code(s, BG_ERR_KERNEL_INVALID);
	r = unpack(&v, s, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:I}", "bytes", (json_int_t)v.done);
	return 0;
}
