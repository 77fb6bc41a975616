/* SPDX-License-Identifier: ISC */
/*
 * The cow_seed job: what the own file of each disk over an image begins with. Journal and free blocks of a
 * clean ext4 file system need not be kept when they are written to: a store that maps them to holes makes such a
 * write as cheap as one to a plain disk (without it a first fsync'ed write costs two flushes more). What is not clean,
 * or not ext4, gets a store that maps nothing.
 */
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "worker/copy.h"
#include "worker/cow_store.h"

enum { FD_BASE, FD_SEED };
enum { PAIRS_MAX = 32768 }; /* 512 KiB of lists */

struct seed {
	struct job *job;
	struct cow_store store;
	ext2_filsys fs;
	ext2fs_block_bitmap needless; /* blocks that nobody reads before they are written */
	uint32_t *chunks;
	size_t n;
};

static void seed_done(struct seed *s)
{
	if (s->needless)
		ext2fs_free_block_bitmap(s->needless);
	if (s->fs)
		ext2fs_free(s->fs);
	free(s->chunks);
}

/* False for anything that is not a file system at rest, of the kind that this library knows whole. */
static bool open_clean(struct seed *s)
{
	int own = fcntl(s->job->fd[FD_BASE], F_DUPFD_CLOEXEC, 3); /* closed by libext2fs */
	char number[16];

	if (own < 0)
		return false;
	snprintf(number, sizeof(number), "%d", own);
	if (ext2fs_open(number, EXT2_FLAG_64BITS | EXT2_FLAG_THREADS, 0, 0, unixfd_io_manager,
		    &s->fs)) {
		bg_close(own);
		return false;
	}
	return !ext2fs_has_feature_journal_needs_recovery(s->fs->super) &&
	       (s->fs->super->s_state & (EXT2_VALID_FS | EXT2_ERROR_FS)) == EXT2_VALID_FS &&
	       !ext2fs_has_feature_bigalloc(s->fs->super) && s->fs->blocksize <= s->store.chunk &&
	       ext2fs_blocks_count(s->fs->super) <=
		       s->store.base * s->store.chunk / s->fs->blocksize &&
	       !ext2fs_check_desc(s->fs) && !ext2fs_read_block_bitmap(s->fs);
}

/* The journal's first block says that it is empty; the others are read only when it is not. */
static int mark_journal_block(
	ext2_filsys fs, blk64_t *block, e2_blkcnt_t logical, blk64_t ref, int at, void *userdata)
{
	struct seed *s = userdata;

	(void)ref;
	(void)at;
	if (logical > 0 && *block >= fs->super->s_first_data_block &&
		*block < ext2fs_blocks_count(fs->super))
		ext2fs_mark_block_bitmap2(s->needless, *block);
	return 0;
}

static bool mark_needless(struct seed *s)
{
	ext2_filsys fs = s->fs;
	blk64_t end = ext2fs_blocks_count(fs->super);

	if (ext2fs_allocate_block_bitmap(fs, "needless", &s->needless))
		return false;
	for (blk64_t b = fs->super->s_first_data_block; b < end; b++)
		if (!ext2fs_test_block_bitmap2(fs->block_map, b))
			ext2fs_mark_block_bitmap2(s->needless, b);
	return !fs->super->s_journal_inum || fs->super->s_journal_inum >= fs->super->s_first_ino ||
	       !ext2fs_block_iterate3(fs, fs->super->s_journal_inum,
		       BLOCK_FLAG_READ_ONLY | BLOCK_FLAG_DATA_ONLY, NULL, mark_journal_block, s);
}

static bool chunk_is_needless(const struct seed *s, uint64_t chunk)
{
	uint64_t per = s->store.chunk / s->fs->blocksize;
	blk64_t first = s->fs->super->s_first_data_block, end = ext2fs_blocks_count(s->fs->super);

	for (uint64_t b = chunk * per; b < (chunk + 1) * per; b++)
		if (b < first || b >= end || !ext2fs_test_block_bitmap2(s->needless, b))
			return false;
	return true;
}

static int list_chunks(struct seed *s)
{
	s->chunks = calloc(PAIRS_MAX, sizeof(*s->chunks));
	if (!s->chunks)
		return -ENOMEM;
	if (!open_clean(s) || !mark_needless(s))
		return 0;
	for (uint64_t c = 0; c < s->store.base && s->n < PAIRS_MAX; c++)
		if (chunk_is_needless(s, c))
			s->chunks[s->n++] = (uint32_t)c;
	return 0;
}

/* What of the base its chunks do not reach begins the tail. */
static int put_rest(struct seed *s, uint64_t base, struct bg_err **err)
{
	off_t covered = (off_t)bg_cow_covered(base, s->store.chunk),
	      store = (off_t)cow_store_bytes(&s->store);
	uint64_t done = 0;

	if (ftruncate(s->store.fd, store + (off_t)base - covered) < 0)
		return job_write_err(-errno, err, "write the seed of a disk");
	return copy_sparse(s->job, s->job->fd[FD_BASE], covered, (off_t)base, s->store.fd,
		store - covered, &done, err);
}

static int write_seed(struct seed *s, uint64_t base, struct bg_err **err)
{
	int r = ftruncate(s->store.fd, 0) < 0 ? -errno : list_chunks(s);

	if (r >= 0)
		r = cow_store_write_zeros(&s->store, s->chunks, s->n);
	if (r < 0)
		return job_write_err(r, err, "write the seed of a disk");
	r = put_rest(s, base, err);
	if (r >= 0 && fsync(s->store.fd) < 0)
		r = job_write_err(-errno, err, "flush the seed of a disk");
	return r;
}

int job_cow_seed(struct job *job, json_t **ret, struct bg_err **err)
{
	_cleanup_(seed_done) struct seed s = {.job = job};
	struct stat st;
	int r;

	if (fstat(job->fd[FD_BASE], &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
		(uint64_t)st.st_size > BG_DISK_BASE_MAX)
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "no disk can lie over this image");
	cow_store_init(&s.store, job->fd[FD_SEED], (uint64_t)st.st_size, BG_COW_CHUNK);
	r = write_seed(&s, (uint64_t)st.st_size, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:I}", "chunks", (json_int_t)s.n);
	return 0;
}
