/* SPDX-License-Identifier: ISC */
/* See trim.h. */
#include "guest/trim.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "common/fd.h"
#include "guest/log.h"
#include "guest/trim_plan.h"

enum {
	LOOK_S = 20,	       /* while nothing is to be done */
	SOON_S = 6,	       /* longer than ext4 takes to commit what was freed */
	QUIET_BYTES = 4 * MIB, /* written between two looks */
	QUIET_LOOKS = 3,       /* for a little room */
	PATIENCE = 7,	       /* looks in a row that a busy disk is waited for */
	REST_FACTOR = 3,       /* times as long as a group took, it rests; as long, for much room */
	REST_MAX_MS = 2000,
	SECTOR = 512,
	/*
	 * The disk may be a dm-snapshot of the host's, with chunks of 4 KiB: it takes a request of a chunk's length that begins inside
	 * one for the chunk, and zeroes past it (docs/storage.md).
	 */
	BLOCK_LEAST = 4096,
	SECTORS_WRITTEN = 7, /* field of /sys/block/X/stat */
};

static struct disk {
	const char *dev, *where; /* "dm-0", "/" */
	bool off;		 /* it cannot give anything back */
	struct trim_plan plan;
	struct ext4_group *groups;
	uint64_t written;	/* at the last look */
	unsigned quiet, waited; /* looks in a row */
} disks[2];

static void rest_ms(uint64_t ms)
{
	const struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	(void)nanosleep(&ts, NULL);
}

static int open_device(const struct disk *d, dev_t *ret)
{
	_close_ int fd = -1;
	struct stat dev, where;
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/%s", d->dev);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &dev) < 0 || stat(d->where, &where) < 0)
		return -errno;
	if (!S_ISBLK(dev.st_mode) || dev.st_rdev != where.st_dev)
		return -ENODEV; /* the image has put something else there */
	*ret = dev.st_rdev;
	return TAKE_FD(fd);
}

static uint64_t number_of(dev_t dev, const char *file, unsigned field)
{
	_free_ char *text = NULL;
	const char *at;
	char path[96];

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), file);
	if (bg_read_file_at(AT_FDCWD, path, 1024, &text, NULL) < 0)
		return 0;
	for (at = text + strspn(text, " "); --field > 0;) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	return strtoull(at, NULL, 10);
}

/* From the page cache, a block of descriptors at a time. */
static int read_groups(struct disk *d, int fd, const struct ext4_super *s)
{
	const uint32_t per_block = s->block_size / s->desc_size;
	struct ext4_group *groups = reallocarray(d->groups, s->groups, sizeof(*groups));
	static uint8_t block[EXT4_BLOCK_MAX];

	if (!groups)
		return -ENOMEM;
	d->groups = groups;
	for (uint32_t i = 0; i < s->groups; i++) {
		if (i % per_block == 0 &&
			pread(fd, block, s->block_size, (off_t)ext4_group_at(s, i)) !=
				(ssize_t)s->block_size)
			return -EIO;
		ext4_group_parse(s, block + i % per_block * s->desc_size, &groups[i]);
	}
	return 0;
}

/* Opened for the one request: a file system that is held cannot be unmounted. */
static int trim_group(const struct disk *d, const struct ext4_super *s, uint32_t group)
{
	_close_ int fd = open(d->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const uint64_t bytes = (uint64_t)s->group_blocks * s->block_size;
	struct fstrim_range range = {
		.start = group * bytes + (uint64_t)s->first_block * s->block_size,
		.len = bytes,
		.minlen = TRIM_EXTENT};

	return fd < 0 || ioctl(fd, FITRIM, &range) < 0 ? -errno : 0;
}

/* A quarter of the time at most, half of it when much is to be had: what else the guest does goes
 * first. */
static void run_round(struct disk *d, const struct ext4_super *s, uint64_t gain, uint64_t written)
{
	unsigned factor = gain >= TRIM_SOON ? 1 : REST_FACTOR;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < d->plan.n; i++) {
		uint64_t begun = uptime_ms();

		if (!trim_plan_wants(&d->plan, d->groups, i, s->block_size))
			continue;
		r = trim_group(d, s, i);
		rest_ms(BG_MIN((uptime_ms() - begun) * factor, (uint64_t)REST_MAX_MS));
	}
	d->off = r == -EOPNOTSUPP || r == -ENOTTY || r == -EPERM;
	trim_plan_done(&d->plan, d->groups, written);
}

/* What is freed in this moment is not committed yet: a round is one look later at the earliest. */
static bool is_due(struct disk *d, uint64_t gain)
{
	bool wanted = gain >= TRIM_SOON || (gain >= TRIM_LEAST && d->quiet >= QUIET_LOOKS);

	d->waited = wanted ? d->waited + 1 : 0;
	return d->waited > 1 && (d->quiet > 0 || d->waited > PATIENCE);
}

/* True when the next look is to be soon. */
static bool look_for_room(struct disk *d, int fd, dev_t dev, const struct ext4_super *s)
{
	uint64_t written = number_of(dev, "stat", SECTORS_WRITTEN) * SECTOR;
	uint64_t more = written - d->written, gain;

	if (d->plan.n > 0 && more == 0 && d->waited == 0 && d->quiet > QUIET_LOOKS)
		return false;
	d->quiet = more < QUIET_BYTES ? d->quiet + 1 : 0;
	d->written = written;
	if (read_groups(d, fd, s) < 0 ||
		trim_plan_look(&d->plan, d->groups, s->groups, written) < 0)
		return false;
	gain = trim_plan_gain(&d->plan, d->groups, s->block_size, written);
	if (is_due(d, gain)) {
		run_round(d, s, gain, written);
		d->waited = 0;
	}
	return d->waited > 0 || d->quiet == 0;
}

static bool look(struct disk *d, bool *errors)
{
	struct ext4_super s;
	dev_t dev = 0;
	_close_ int fd = open_device(d, &dev);

	if (fd < 0 || ext4_super_read(fd, &s) < 0)
		return false;
	*errors = *errors || s.errors;
	if (d->off || s.groups == 0 || s.block_size < BLOCK_LEAST ||
		number_of(dev, "queue/discard_max_bytes", 1) == 0)
		return false;
	return look_for_room(d, fd, dev, &s);
}

static _noreturn_ void watch_disks(int tell)
{
	bool told = false;

	for (;;) {
		bool errors = false, soon = false;

		for (size_t i = 0; i < ARRAY_SIZE(disks); i++)
			if (!bg_isempty(disks[i].dev))
				soon = look(&disks[i], &errors) || soon;
		if (errors && !told && write(tell, "", 1) == 1)
			told = true;
		rest_ms((soon ? SOON_S : LOOK_S) * 1000);
	}
}

/* No descriptor of the agent's: its port is its own. */
static _noreturn_ void child(int tell)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "banger-trim");
	(void)prctl(PR_SET_TIMERSLACK, 1000000000UL);
	(void)setpriority(PRIO_PROCESS, 0, 19);
	(void)dup2(tell, STDERR_FILENO + 1);
	(void)close_range(STDERR_FILENO + 2, ~0U, 0);
	(void)fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC);
	watch_disks(STDERR_FILENO + 1);
}

int trim_start(const struct conf *conf)
{
	int fds[2];
	pid_t pid;

	disks[0] = (struct disk){.dev = conf->root, .where = "/"};
	disks[1] = (struct disk){.dev = conf->work, .where = "/root"};
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(fds[1]);
	(void)bg_close(fds[1]);
	if (pid < 0) {
		(void)bg_close(fds[0]);
		return -EAGAIN;
	}
	return fds[0];
}
