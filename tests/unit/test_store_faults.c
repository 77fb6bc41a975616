/* SPDX-License-Identifier: ISC */
/*
 * Every write, sync, cut, open, rename and unlink of the store fails once, or from then on: what was acknowledged is there at the
 * next start and what failed is not, the store goes on or says why it cannot. This program's own functions stand
 * before those of libc, for SQLite too.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "daemon/store/batch.h"
#include "daemon/store/record.h"
#include "tests/unit/store_lib.h"

/* ---- the faults ---- */

enum call { CALL_WRITE, CALL_SYNC, CALL_CUT, CALL_OPEN, CALL_RENAME, CALL_UNLINK, CALL_MAX_ };

static struct {
	bool armed;
	enum call call;
	unsigned at;   /* fails at this one, counted from 1 */
	bool for_ever; /* and at all that follow */
	unsigned last; /* of those, unless it is 0 */
	int errnum;
	unsigned n[CALL_MAX_];
} fault;

static bool strikes(enum call call)
{
	if (!fault.armed)
		return false;
	fault.n[call]++;
	if (call != fault.call || fault.n[call] < fault.at ||
		(!fault.for_ever && fault.n[call] > fault.at) ||
		(fault.last && fault.n[call] > fault.last))
		return false;
	errno = fault.errnum;
	return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The names without 64 are those with it: see _FILE_OFFSET_BITS. */
ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return strikes(CALL_WRITE) ? -1 : REAL(pwrite)(fd, buf, n, at);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	return fd > STDERR_FILENO && strikes(CALL_WRITE) ? -1 : REAL(write)(fd, buf, n);
}

/* No power is cut here: what is written counts, and the disk is not waited for. */
int fsync(int fd)
{
	return strikes(CALL_SYNC) ? -1 : 0;
}

int fdatasync(int fd)
{
	return strikes(CALL_SYNC) ? -1 : 0;
}

int ftruncate(int fd, off_t len)
{
	return strikes(CALL_CUT) ? -1 : REAL(ftruncate)(fd, len);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & O_CREAT ? (mode_t)va_arg(ap, int) : 0;
}

/* Opening for reading needs no room. */
static bool open_strikes(int flags)
{
	return (flags & (O_WRONLY | O_RDWR | O_CREAT)) && strikes(CALL_OPEN);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_strikes(flags) ? -1 : REAL(open)(path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_strikes(flags) ? -1 : REAL(openat)(dirfd, path, flags, mode);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return strikes(CALL_RENAME) ? -1 : REAL(renameat)(from_fd, from, to_fd, to);
}

int unlinkat(int fd, const char *path, int flags)
{
	return strikes(CALL_UNLINK) ? -1 : REAL(unlinkat)(fd, path, flags);
}

/* ---- the store, in this process ---- */

enum { ROUNDS = 8, VMS = 2 };

static struct opened o;
static struct batch b;

static void open_ledger(void)
{
	_err_ struct bg_err *err = NULL;

	if (store_find(test_tmpdir(), &o, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	b = (struct batch){.o = &o, .mode = "ok"};
}

static json_t *row_of(const char *id, unsigned value)
{
	char name[32];
	struct vm_row row = lib_vm(id, name);

	snprintf(name, sizeof(name), "vm-%s-%u", id, value);
	row.vcpus = value;
	return table_to_json(TABLE_VM, &row, false);
}

/* One transaction over two rows: both have the value afterwards, or neither. */
static int write_pair(unsigned pair, unsigned value)
{
	char first[3] = {'a', (char)('a' + pair), 0}, second[3] = {'b', (char)('a' + pair), 0};
	int r;

	CHECK_INT(batch_add(&b, 1, true,
			  json_pack("{s:[[s, s, o], [s, s, o]]}", "rows", "vm", first,
				  row_of(first, value), "vm", second, row_of(second, value))),
		0);
	batch_run(&b);
	r = b.message[0].err ? -b.message[0].err->errnum : 0;
	batch_clear(&b);
	return r;
}

static unsigned value_of(const char *id)
{
	const struct stored *stored = rows_find(&o.rows, TABLE_VM, id);
	void *row = NULL;
	unsigned value;

	if (!stored)
		return 0;
	CHECK_INT(table_parse(TABLE_VM, stored->text, &row), 0);
	value = ((struct vm_row *)row)->vcpus;
	table_row_free(TABLE_VM, row);
	return value;
}

/* As after kill -9: nothing is finished, the files are as they are. */
static void drop_ledger(void)
{
	ledger_abandon(TAKE_PTR(o.ledger));
	opened_done(&o);
}

static void make_folders(void)
{
	CHECK(shell("rm -rf * && for i in aa ab ba bb; do mkdir -p vms/$i; "
		    "echo disk >vms/$i/root.img; done"));
}

/* From the at'th call of that kind on it fails, once or for ever. */
static void arm(enum call call, unsigned at, bool for_ever, int errnum)
{
	memset(&fault, 0, sizeof(fault));
	fault.call = call;
	fault.at = at;
	fault.for_ever = for_ever;
	fault.errnum = errnum;
	fault.armed = true;
}

/* False: the fault was never reached. */
static bool try_fault(enum call call, unsigned at, bool for_ever, int errnum)
{
	unsigned acknowledged[VMS] = {0}, failed = 0;
	bool reached;

	make_folders();
	open_ledger();
	for (unsigned i = 0; i < VMS; i++)
		CHECK_INT(write_pair(i, acknowledged[i] = 1), 0);
	arm(call, at, for_ever, errnum);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned pair = i % VMS, value = acknowledged[pair] + 1;

		if (write_pair(pair, value) >= 0)
			acknowledged[pair] = value;
		else
			failed++;
		if (i % 3 == 2)
			(void)ledger_checkpoint(o.ledger, NULL);
	}
	reached = fault.n[call] >= at;
	fault.armed = false;
	if (!for_ever && failed > 1)
		test_fail(__FILE__, __LINE__, "call %d at %u: %u failed for one fault", call, at,
			failed);
	drop_ledger();
	open_ledger();
	for (unsigned i = 0; i < VMS; i++) {
		char first[3] = {'a', (char)('a' + i), 0}, second[3] = {'b', (char)('a' + i), 0};

		if (value_of(first) != acknowledged[i] || value_of(second) != acknowledged[i])
			test_fail(__FILE__, __LINE__,
				"call %d at %u%s, %s: pair %u has %u and %u, acknowledged was %u",
				call, at, for_ever ? " and on" : "", strerror(errnum), i,
				value_of(first), value_of(second), acknowledged[i]);
	}
	drop_ledger();
	return reached;
}

static void each_point(enum call call, unsigned step)
{
	static const int errors[] = {ENOSPC, EIO, EDQUOT};
	unsigned turn = 0;

	for (unsigned at = 1;; at += step) {
		bool reached = false;

		for (int for_ever = 0; for_ever < 2; for_ever++)
			reached |= try_fault(call, at, for_ever, errors[turn++ % 3]);
		if (!reached)
			return;
	}
}

TEST(every_write)
{
	each_point(CALL_WRITE, 1);
}

TEST(every_sync)
{
	each_point(CALL_SYNC, 1);
}

TEST(every_cut)
{
	each_point(CALL_CUT, 1);
}

TEST(every_open)
{
	each_point(CALL_OPEN, 1);
}

TEST(every_rename)
{
	each_point(CALL_RENAME, 1);
}

TEST(every_unlink)
{
	each_point(CALL_UNLINK, 1);
}

/* A file whose sync failed once is never written to again. */
TEST(a_failed_sync_leads_to_the_next_generation)
{
	make_folders();
	open_ledger();
	CHECK_INT(write_pair(0, 1), 0);
	CHECK_INT(o.generation, 1);
	memset(&fault, 0, sizeof(fault));
	fault.call = CALL_SYNC;
	fault.errnum = EIO;
	/* The records' syncs come first; the log's is the one after those of both. */
	for (unsigned at = 1; o.generation == 1 && at < 40; at++) {
		memset(fault.n, 0, sizeof(fault.n));
		fault.at = at;
		fault.armed = true;
		(void)write_pair(0, 1 + at);
		fault.armed = false;
	}
	CHECK_INT(o.generation, 2);
	CHECK(shell("test -f set-aside/banger.1.db && ! test -e banger.1.db"));
	CHECK_STR(b.mode, "ok");
	drop_ledger();
}

/* Nothing can be written at all: a deletion is marked on its folder, everything else fails. */
TEST(a_disk_that_is_full_to_the_last_byte)
{
	struct vm_row row = lib_vm("aa", "vm-aa-1");

	make_folders();
	open_ledger();
	CHECK_INT(write_pair(0, 1), 0);
	arm(CALL_WRITE, 1, true, ENOSPC);
	CHECK_INT(write_pair(1, 1), -ENOSPC);
	CHECK_STR(b.mode, "full");
	row.state = STORE_VM_DELETING;
	CHECK_INT(batch_add(&b, 2, true,
			  json_pack("{s:[[s, s, o]]}", "rows", "vm", "aa",
				  table_to_json(TABLE_VM, &row, false))),
		0);
	batch_run(&b);
	CHECK(!b.message[0].err && b.message[0].again);
	batch_clear(&b);
	fault.armed = false;
	drop_ledger();
	open_ledger();
	CHECK(record_is_doomed(o.dirfd, TABLE_VM, "aa"));
	CHECK(rows_find(&o.rows, TABLE_VM, "aa"));
	CHECK(strstr(rows_find(&o.rows, TABLE_VM, "aa")->text, "\"state\":5"));
	CHECK_INT(value_of("ba"), 1);
	CHECK_INT(value_of("ab"), 0);
	drop_ledger();
}

static void delete_aa(uint64_t seq, json_t *row)
{
	CHECK_INT(
		batch_add(&b, seq, true, json_pack("{s:[[s, s, o]]}", "rows", "vm", "aa", row)), 0);
	batch_run(&b);
}

/* Its row could not be written, and the mark goes with the folder: it is not over before there is room for the last word. */
TEST(a_deletion_that_was_only_marked_is_not_over_without_a_word_on_the_disk)
{
	struct vm_row row = lib_vm("aa", "vm-aa-1");

	make_folders();
	open_ledger();
	CHECK_INT(write_pair(0, 1), 0);
	arm(CALL_WRITE, 1, true, ENOSPC);
	row.state = STORE_VM_DELETING;
	delete_aa(2, table_to_json(TABLE_VM, &row, false));
	CHECK(!b.message[0].err && b.message[0].again);
	batch_clear(&b);
	CHECK(shell("rm -r vms/aa"));
	fault.last = fault.n[CALL_WRITE] + 5; /* then its room is there */
	delete_aa(3, json_null());
	CHECK(fault.n[CALL_WRITE] > fault.last);
	CHECK(!b.message[0].err && !b.message[0].again);
	batch_clear(&b);
	fault.armed = false;
	drop_ledger();
	open_ledger();
	CHECK(!rows_find(&o.rows, TABLE_VM, "aa"));
	CHECK(rows_find(&o.rows, TABLE_VM, "ba"));
	drop_ledger();
}
