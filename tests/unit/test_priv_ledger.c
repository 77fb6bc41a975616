/* SPDX-License-Identifier: ISC */
/* privhelper/ledger.c over an ordinary file: claims, locks, and what becomes of every damaged byte.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "privhelper/ledger.h"
#include "tests/lib/test.h"

enum { FILE_SIZE = 8192 * BG_PRIV_USERS_MAX, ROWS_AT = 4096, ROW_SIZE = 64 };

static char path[128];

static void make_file(void)
{
	int fd;

	snprintf(path, sizeof(path), "%s/ledger", test_tmpdir());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, FILE_SIZE) == 0);
	close(fd);
}

static struct ledger ledger_of(uid_t uid)
{
	struct ledger l = {.uid = uid, .boot_id = "this boot", .netns = 1};

	l.fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(l.fd >= 0);
	return l;
}

static const struct ledger_row live = {LEDGER_LIVE, 17, 0x0ad10002};

TEST(rows_round_trip)
{
	struct ledger_row row;
	struct ledger l;

	make_file();
	l = ledger_of(1000);
	CHECK_INT(ledger_bind(&l, 256), 0);
	for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++) {
		CHECK_INT(ledger_get(&l, slot, &row), 0);
		CHECK_INT(row.state, LEDGER_FREE);
		CHECK_INT(ledger_put(&l, slot, &live, true), 0);
		CHECK_INT(ledger_get(&l, slot, &row), 0);
		CHECK_INT(row.state, LEDGER_LIVE);
		CHECK_INT(row.ifindex, 17);
		CHECK_INT(row.guest, 0x0ad10002);
	}
	CHECK_INT(ledger_put(&l, 3, &(struct ledger_row){LEDGER_FREE}, false), 0);
	CHECK_INT(ledger_get(&l, 3, &row), 0);
	CHECK_INT(row.state, LEDGER_FREE);
}

TEST(index_stays)
{
	struct ledger a, b, again;

	make_file();
	a = ledger_of(1000);
	b = ledger_of(1001);
	CHECK_INT(ledger_bind(&a, 256), 0);
	CHECK_INT(ledger_bind(&b, 256), 0);
	CHECK_INT(a.index, 0);
	CHECK_INT(b.index, 1);
	close(a.fd);
	again = ledger_of(1000);
	CHECK_INT(ledger_bind(&again, 1), 0); /* max_users takes nothing from an old user */
	CHECK_INT(again.index, 0);
}

TEST(one_helper_per_uid)
{
	struct ledger a, b;

	make_file();
	a = ledger_of(1000);
	b = ledger_of(1000);
	CHECK_INT(ledger_bind(&a, 256), 0);
	CHECK_INT(ledger_bind(&b, 256), -EBUSY);
	close(a.fd);
	CHECK_INT(ledger_bind(&b, 256), 0);
}

TEST(no_index_left)
{
	struct ledger a, b;

	make_file();
	a = ledger_of(1000);
	b = ledger_of(1001);
	CHECK_INT(ledger_bind(&a, 1), 0);
	CHECK_INT(ledger_bind(&b, 1), -ENOSPC);
}

TEST(every_index)
{
	make_file();
	for (unsigned i = 0; i < BG_PRIV_USERS_MAX; i++) {
		struct ledger l = ledger_of(5000 + i);

		CHECK_INT(ledger_bind(&l, BG_PRIV_USERS_MAX), 0);
		CHECK_INT(l.index, i);
		close(l.fd);
	}
}

/* A helper stopped in the middle of a claim holds a block's lock; the others go round it. */
TEST(stopped_claim_stalls_nobody)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct ledger stopped, other;

	make_file();
	stopped = ledger_of(1000);
	CHECK_INT(fcntl(stopped.fd, F_OFD_SETLK, &fl), 0);
	other = ledger_of(1001);
	CHECK_INT(ledger_bind(&other, 256), 0);
	CHECK_INT(other.index, 1);
}

TEST(rows_of_another_boot_or_namespace)
{
	struct ledger_row row;
	struct ledger l;

	make_file();
	l = ledger_of(1000);
	CHECK_INT(ledger_bind(&l, 256), 0);
	CHECK_INT(ledger_put(&l, 0, &live, false), 0);
	l.netns = 2;
	CHECK_INT(ledger_get(&l, 0, &row), 0);
	CHECK_INT(row.state, LEDGER_STALE);
	l.netns = 1;
	l.boot_id[0] ^= 1;
	CHECK_INT(ledger_get(&l, 0, &row), 0);
	CHECK_INT(row.state, LEDGER_STALE);
}

static void flip(int fd, off_t at, unsigned bit)
{
	uint8_t byte;

	CHECK_INT(pread(fd, &byte, 1, at), 1);
	byte ^= (uint8_t)(1u << bit);
	CHECK_INT(pwrite(fd, &byte, 1, at), 1);
}

TEST(every_flipped_bit_of_a_row)
{
	struct ledger_row row;
	struct ledger l;

	make_file();
	l = ledger_of(1000);
	CHECK_INT(ledger_bind(&l, 256), 0);
	CHECK_INT(ledger_put(&l, 2, &live, false), 0);
	for (unsigned bit = 0; bit < ROW_SIZE * 8; bit++) {
		off_t at = ROWS_AT + 2 * ROW_SIZE + bit / 8;

		flip(l.fd, at, bit % 8);
		CHECK_INT(ledger_get(&l, 2, &row), 0);
		CHECK_INT(row.state, LEDGER_BROKEN);
		flip(l.fd, at, bit % 8);
	}
}

/* A row is valid only where it was written: not in another slot, index or uid. */
TEST(moved_row)
{
	struct ledger a, b;
	struct ledger_row row;
	uint8_t raw[ROW_SIZE];

	make_file();
	a = ledger_of(1000);
	b = ledger_of(1001);
	CHECK_INT(ledger_bind(&a, 256), 0);
	CHECK_INT(ledger_bind(&b, 256), 0);
	CHECK_INT(ledger_put(&a, 0, &live, false), 0);
	CHECK_INT(pread(a.fd, raw, sizeof(raw), ROWS_AT), ROW_SIZE);
	CHECK_INT(pwrite(a.fd, raw, sizeof(raw), ROWS_AT + ROW_SIZE), ROW_SIZE);
	CHECK_INT(pwrite(a.fd, raw, sizeof(raw), 8192 + ROWS_AT), ROW_SIZE);
	CHECK_INT(ledger_get(&a, 1, &row), 0);
	CHECK_INT(row.state, LEDGER_BROKEN);
	CHECK_INT(ledger_get(&b, 0, &row), 0);
	CHECK_INT(row.state, LEDGER_BROKEN);
}

/* A block whose header is damaged is nobody's, so its addresses are given to nobody. */
TEST(every_damaged_byte_of_a_header)
{
	for (unsigned byte = 0; byte < ROW_SIZE; byte++) {
		struct ledger l, other;

		make_file();
		l = ledger_of(1000);
		CHECK_INT(ledger_bind(&l, 256), 0);
		flip(l.fd, byte, byte % 8);
		close(l.fd);
		l = ledger_of(1000);
		CHECK_INT(ledger_bind(&l, 256), 0);
		CHECK_INT(l.index, 1);
		close(l.fd);
		other = ledger_of(1001);
		CHECK_INT(ledger_bind(&other, 256), 0);
		CHECK_INT(other.index, 2);
		close(other.fd);
	}
}

/* A file system that is full, one that cannot be synced, a file that cannot be written or read: no index. */
TEST(a_disk_that_fails)
{
	static const struct {
		const char *path;
		int flags, error;
	} disks[] = {
		{"/dev/full", O_RDWR, -ENOSPC},
		{"/dev/zero", O_RDWR, -EINVAL},
		{"/dev/zero", O_RDONLY, -EBADF},
		{"/dev/null", O_RDWR, -EIO},
	};

	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		struct ledger l = {.uid = 1000, .fd = open(disks[i].path, disks[i].flags)};

		CHECK(l.fd >= 0);
		CHECK_INT(ledger_bind(&l, 256), disks[i].error);
		CHECK(!l.bound);
		close(l.fd);
	}
}

/* The keeper's way: also of a file that is empty as yet. */
TEST(who_has_a_block)
{
	struct ledger l, all;
	struct ledger_row row;

	make_file();
	l = ledger_of(1000);
	all = ledger_of(0);
	CHECK_INT(ledger_bind(&l, 256), 0);
	CHECK_INT(ledger_put(&l, 3, &live, true), 0);
	CHECK_INT(ledger_look(&all, 0), 0);
	CHECK_INT(all.uid, 1000);
	CHECK_INT(ledger_get(&all, 3, &row), 0);
	CHECK_INT(row.state, LEDGER_LIVE);
	CHECK_INT(ledger_look(&all, 1), -ENOENT);
	CHECK_INT(ftruncate(l.fd, 0), 0);
	CHECK_INT(ledger_look(&all, 0), -ENOENT);
}
