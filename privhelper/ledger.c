/* SPDX-License-Identifier: ISC */
/*
 * ledger.c: Places in the file follow from the user's index and the slot alone; each header and
 * row has a checksum. Locks are OFD locks on single bytes behind the rows.
 */
#include "privhelper/ledger.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "privhelper/trusted.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

enum {
	BLOCK_SIZE = 8192,
	ROWS_AT = 4096, /* in a block */
	ROW_SIZE = 64,
	FILE_SIZE = BLOCK_SIZE * BG_PRIV_USERS_MAX,
	USER_MAGIC = 0x31554742, /* "BGU1" */
	ROW_MAGIC = 0x31524742,	 /* "BGR1" */
};
_Static_assert(ROWS_AT + ROW_SIZE * BG_SLOTS_MAX <= BLOCK_SIZE, "rows fit");

/* Locks live beyond the end of the file: one byte per uid, and SEATS for who may wait for it. */
#define UID_LOCKS_AT ((off_t)1 << 40)
#define SEATS_AT     ((off_t)1 << 41)
enum { SEATS = 4 };

struct disk_user {
	uint32_t magic;
	uint32_t uid;
	uint32_t index;
	uint8_t zero[48];
	uint32_t crc;
} __attribute__((packed));

struct disk_row {
	uint32_t magic;
	uint8_t state;
	uint8_t slot;
	uint16_t index;
	uint32_t uid;
	uint32_t ifindex;
	uint32_t guest;
	uint64_t netns;
	uint8_t boot_id[16];
	uint64_t nonce;
	uint32_t minor;
	uint8_t nat;
	uint8_t peers;
	uint8_t zero[2];
	uint32_t crc;
} __attribute__((packed));

_Static_assert(sizeof(struct disk_user) == ROW_SIZE, "file format");
_Static_assert(sizeof(struct disk_row) == ROW_SIZE, "file format");

static uint32_t crc32(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint32_t crc = ~0u;

	while (len-- > 0) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static bool is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static int read_at(int fd, off_t at, void *buf)
{
	ssize_t n = pread(fd, buf, ROW_SIZE, at);

	return n == ROW_SIZE ? 0 : n < 0 ? -errno : -EIO;
}

static int write_at(int fd, off_t at, const void *buf, bool sync)
{
	ssize_t n = pwrite(fd, buf, ROW_SIZE, at);

	if (n == ROW_SIZE && sync)
		n = fdatasync(fd) < 0 ? -1 : n;
	return n == ROW_SIZE ? 0 : n < 0 ? -errno : -EIO;
}

/* One byte, never waited for: -EAGAIN when another holder has it. Locks end with the descriptor. */
static int lock_byte(int fd, off_t at, short type)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

	if (fcntl(fd, F_OFD_SETLK, &fl) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_boot_id(uint8_t ret[16])
{
	_close_ int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[64];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	size_t digits = 0;

	if (n < 0)
		return -errno;
	for (ssize_t i = 0; i < n && digits < 32; i++) {
		int v = nibble(text[i]);

		if (v < 0)
			continue;
		ret[digits / 2] = (uint8_t)(digits % 2 ? ret[digits / 2] | v : v << 4);
		digits++;
	}
	return digits == 32 ? 0 : -EIO;
}

static int open_file(
	struct ledger *l, const char *path, enum trusted_kind kind, uid_t uid, uint64_t netns)
{
	struct stat st;
	_close_ int fd = trusted_open(path, kind);
	int r;

	if (fd < 0)
		return fd;
	/* A package makes it empty. Two helpers may do this at once: the outcome is the same. */
	if (fstat(fd, &st) < 0 ||
		(st.st_size == 0 && kind == TRUSTED_FILE_UPDATE && ftruncate(fd, FILE_SIZE) < 0))
		return -errno;
	if (st.st_size != 0 && st.st_size != FILE_SIZE)
		return -EPERM;
	*l = (struct ledger){.fd = -1, .uid = uid, .netns = netns};
	r = read_boot_id(l->boot_id);
	if (r < 0)
		return r;
	l->fd = TAKE_FD(fd);
	return 0;
}

/* A user's processes are many, their helpers few: each costs the kernel memory that no limit of the user's counts. */
static int take_seat(const struct ledger *l)
{
	for (unsigned seat = 0; seat < SEATS; seat++)
		if (lock_byte(l->fd, SEATS_AT + (off_t)l->uid * SEATS + seat, F_WRLCK) >= 0)
			return 0;
	return -EBUSY;
}

int ledger_open(struct ledger *l, const char *path, uid_t uid, uint64_t netns)
{
	int r = open_file(l, path, TRUSTED_FILE_UPDATE, uid, netns);

	return r < 0 ? r : take_seat(l);
}

int ledger_open_all(struct ledger *l, uint64_t netns)
{
	return open_file(l, LEDGER_NET, TRUSTED_FILE_SHARED, 0, netns);
}

enum owner { OWNER_NONE, OWNER_ME, OWNER_OTHER };

static enum owner owner_of(const struct ledger *l, unsigned index, const struct disk_user *u)
{
	if (is_zero(u, sizeof(*u)))
		return OWNER_NONE;
	if (u->magic == USER_MAGIC && u->uid == l->uid && u->index == index &&
		u->crc == crc32(u, offsetof(struct disk_user, crc)))
		return OWNER_ME;
	return OWNER_OTHER; /* a broken header too: nobody gets that block, so nobody gets its addresses */
}

static int read_owner(const struct ledger *l, unsigned index, enum owner *ret)
{
	struct disk_user u;
	int r = read_at(l->fd, (off_t)index * BLOCK_SIZE, &u);

	if (r >= 0)
		*ret = owner_of(l, index, &u);
	return r;
}

int ledger_look(struct ledger *l, unsigned index)
{
	struct disk_user u = {0}; /* which it stays in a ledger that is empty as yet */

	(void)read_at(l->fd, (off_t)index * BLOCK_SIZE, &u);
	l->uid = u.uid;
	l->index = index;
	l->bound = owner_of(l, index, &u) == OWNER_ME;
	return l->bound ? 0 : -ENOENT;
}

static int write_owner(const struct ledger *l, unsigned index)
{
	struct disk_user u = {.magic = USER_MAGIC, .uid = l->uid, .index = index};

	u.crc = crc32(&u, offsetof(struct disk_user, crc));
	return write_at(l->fd, (off_t)index * BLOCK_SIZE, &u, true);
}

/* A free block, under that block's own lock; -EAGAIN: somebody has it, or is about to. */
static int claim_block(struct ledger *l, unsigned index)
{
	const off_t at = (off_t)index * BLOCK_SIZE;
	enum owner owner;
	int r = read_owner(l, index, &owner);

	if (r >= 0 && (owner != OWNER_NONE || lock_byte(l->fd, at, F_WRLCK) < 0))
		return -EAGAIN;
	if (r >= 0)
		r = read_owner(l, index, &owner);
	if (r >= 0)
		r = owner == OWNER_NONE ? write_owner(l, index) : -EAGAIN;
	(void)lock_byte(l->fd, at, F_UNLCK);
	return r;
}

/*
 * A block whose lock somebody holds is passed over: a helper that its user has stopped in here costs
 * the others one index, not their service. Two helpers of one uid cannot be in here: they hold the uid's lock.
 */
static int claim(struct ledger *l, unsigned max_users)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < max_users && r == -EAGAIN; i++) {
		r = claim_block(l, i);
		l->index = i;
	}
	return r == -EAGAIN ? -ENOSPC : r;
}

static int find(struct ledger *l)
{
	enum owner owner = OWNER_NONE;
	int r = 0;

	for (unsigned i = 0; i < BG_PRIV_USERS_MAX && r >= 0 && owner != OWNER_ME; i++) {
		r = read_owner(l, i, &owner);
		l->index = i;
	}
	return r < 0 ? r : owner == OWNER_ME ? 0 : -ENOENT;
}

int ledger_bind(struct ledger *l, unsigned max_users)
{
	int r = lock_byte(l->fd, UID_LOCKS_AT + (off_t)l->uid, F_WRLCK);

	if (r < 0)
		return r == -EAGAIN ? -EBUSY : r;
	r = find(l);
	if (r == -ENOENT)
		r = claim(l, max_users);
	l->bound = r >= 0;
	return r;
}

static off_t row_at(const struct ledger *l, unsigned slot)
{
	assert(l->bound && slot < BG_SLOTS_MAX && l->index < BG_PRIV_USERS_MAX);
	return (off_t)l->index * BLOCK_SIZE + ROWS_AT + (off_t)slot * ROW_SIZE;
}

/* Every column that is fixed by the row's place, and nothing beyond the format. */
static bool row_valid(const struct ledger *l, unsigned slot, const struct disk_row *d)
{
	return d->magic == ROW_MAGIC && (d->state == LEDGER_INTENT || d->state == LEDGER_LIVE) &&
	       d->slot == slot && d->index == l->index && d->uid == l->uid && d->nat <= 1 &&
	       d->peers <= 1 && is_zero(d->zero, sizeof(d->zero)) &&
	       d->crc == crc32(d, offsetof(struct disk_row, crc));
}

int ledger_get(const struct ledger *l, unsigned slot, struct ledger_row *ret)
{
	struct disk_row d;
	int r = read_at(l->fd, row_at(l, slot), &d);

	if (r < 0)
		return r;
	*ret = (struct ledger_row){.state = LEDGER_FREE};
	if (is_zero(&d, sizeof(d)))
		return 0;
	ret->state = LEDGER_BROKEN;
	if (!row_valid(l, slot, &d))
		return 0;
	ret->state = LEDGER_STALE;
	if (d.netns != l->netns || memcmp(d.boot_id, l->boot_id, sizeof(d.boot_id)) != 0)
		return 0;
	ret->state = (enum ledger_state)d.state;
	ret->ifindex = d.ifindex;
	ret->guest = d.guest;
	ret->nonce = d.nonce;
	ret->minor = d.minor;
	ret->nat = d.nat;
	ret->peers = d.peers;
	return 0;
}

int ledger_put(const struct ledger *l, unsigned slot, const struct ledger_row *row, bool sync)
{
	struct disk_row d = {0};

	assert(row->state <= LEDGER_LIVE);
	if (row->state != LEDGER_FREE) {
		d.magic = ROW_MAGIC;
		d.state = (uint8_t)row->state;
		d.slot = (uint8_t)slot;
		d.index = (uint16_t)l->index;
		d.uid = l->uid;
		d.ifindex = row->ifindex;
		d.guest = row->guest;
		d.nonce = row->nonce;
		d.minor = row->minor;
		d.nat = row->nat;
		d.peers = row->peers;
		d.netns = l->netns;
		memcpy(d.boot_id, l->boot_id, sizeof(d.boot_id));
		d.crc = crc32(&d, offsetof(struct disk_row, crc));
	}
	return write_at(l->fd, row_at(l, slot), &d, sync);
}
