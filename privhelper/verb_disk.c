/* SPDX-License-Identifier: ISC */
/*
 * verb_disk.c: the answers of the disk helper, in the order of the table. A slot's disk is, from
 * the outside in: node, device-mapper device, loops, files. It is made from the inside out and
 * released from the outside in, with the ledger written between, so that a kill at any point
 * leaves a row from which session_release() finds what there is to remove. The loops need no row: they
 * end with the last descriptor or table that holds them (LO_FLAGS_AUTOCLEAR).
 */
#include <stdio.h>
#include <sys/random.h>

#include "privhelper/disk_file.h"
#include "privhelper/session.h"

enum {
	REMOVE_TRIES = 20, /* for udev, which may look at a device that has just changed */
	REMOVE_PAUSE_MS = 10,
};

static void node_of(const struct session *s, unsigned slot, char ret[PRIV_NAME])
{
	memset(ret, 0, PRIV_NAME);
	(void)snprintf(ret, PRIV_NAME, "%u-%u", (unsigned)s->uid, slot & 0x3f);
}

static void id_of(const struct session *s, unsigned slot, uint64_t nonce, struct blk_id *ret)
{
	(void)snprintf(ret->name, sizeof(ret->name), "banger-%u-%u", (unsigned)s->uid, slot);
	(void)snprintf(ret->uuid, sizeof(ret->uuid), "BANGER-%u-%u-%016llx", (unsigned)s->uid, slot,
		(unsigned long long)nonce);
}

/* For a row that cannot be read: the uuid of the device that has this slot's name, if it is ours.
 */
static bool uuid_by_name(struct session *s, unsigned slot, struct blk_id *id)
{
	char found[BLK_UUID], prefix[BLK_UUID];

	id_of(s, slot, 0, id);
	(void)snprintf(prefix, sizeof(prefix), "BANGER-%u-%u-", (unsigned)s->uid, slot);
	if (blk_dm_uuid(&s->blk, id->name, found) < 0 ||
		strncmp(found, prefix, strlen(prefix)) != 0)
		return false;
	memcpy(id->uuid, found, sizeof(id->uuid));
	return true;
}

static int remove_device(struct session *s, unsigned slot, const struct ledger_row *row)
{
	struct blk_id id;
	int r = -EBUSY;

	id_of(s, slot, row->nonce, &id);
	if (row->state == LEDGER_BROKEN && !uuid_by_name(s, slot, &id))
		return 0;
	for (unsigned i = 0; i < REMOVE_TRIES && r == -EBUSY; i++) {
		if (i > 0)
			session_pause(REMOVE_PAUSE_MS);
		r = blk_dm_remove(&s->blk, id.uuid);
	}
	return r == -ENXIO ? 0 : r;
}

/* The node goes first: its number may be another user's disk as soon as the device is gone. */
int disk_remove(struct session *s, unsigned slot, const struct ledger_row *row)
{
	char node[PRIV_NAME];
	int r;

	if (row->state == LEDGER_STALE)
		return 0;
	node_of(s, slot, node);
	r = blk_node_unlink(&s->blk, node);
	return r < 0 ? r : remove_device(s, slot, row);
}

/* ret_open: whether somebody uses it. */
static bool is_live(struct session *s, unsigned slot, const struct ledger_row *row, bool *ret_open)
{
	struct blk_state state;
	char node[PRIV_NAME];
	struct blk_id id;

	if (row->state != LEDGER_LIVE)
		return false;
	id_of(s, slot, row->nonce, &id);
	node_of(s, slot, node);
	if (blk_dm_find(&s->blk, id.uuid, &state) < 0 || !state.active ||
		state.minor != row->minor || !blk_node_is(&s->blk, node, state.minor))
		return false;
	*ret_open = state.open;
	return true;
}

bool disk_live(struct session *s, unsigned slot, const struct ledger_row *row)
{
	bool open;

	return is_live(s, slot, row, &open);
}

struct loops {
	struct blk_loop base, store, tail;
};

static void loops_close(struct loops *l)
{
	bg_close(l->base.fd);
	bg_close(l->store.fd);
	bg_close(l->tail.fd);
}

/*
 * The base goes through the page cache, where all disks over it share it; the overlay does not:
 * whoever opens the node caches it already.
 */
static int loops_make(struct session *s, const struct disk_files *f, struct loops *l)
{
	const struct blk_part base = {.file = f->base, .size = f->base_size},
			      store = {.file = f->overlay,
				      .size = f->store_size,
				      .writable = true,
				      .direct = true},
			      tail = {.file = f->overlay,
				      .offset = f->store_size,
				      .size = f->tail_size,
				      .writable = true,
				      .direct = true};
	int r = blk_loop_make(&s->blk, &base, &l->base);

	if (r >= 0)
		r = blk_loop_make(&s->blk, &store, &l->store);
	if (r >= 0 && f->tail_size > 0)
		r = blk_loop_make(&s->blk, &tail, &l->tail);
	return r;
}

/* The device-mapper device over loops that hold themselves from here on. */
static int make_device(struct session *s, const struct blk_id *id, const struct disk_files *f,
	const struct loops *l, unsigned *ret_minor)
{
	const struct blk_table table = {.base = l->base.minor,
		.store = l->store.minor,
		.tail = l->tail.minor,
		.base_sectors = f->base_size / 512,
		.tail_sectors = f->tail_size / 512};
	int r = blk_dm_create(&s->blk, id);

	return r < 0 ? r : blk_dm_activate(&s->blk, id->uuid, &table, ret_minor);
}

static int make_node(struct session *s, unsigned slot, unsigned minor)
{
	char node[PRIV_NAME];
	int r;

	node_of(s, slot, node);
	r = blk_node_unlink(&s->blk, node);
	return r < 0 ? r : blk_node_make(&s->blk, node, minor);
}

/* Makes a FREE slot LIVE; on failure the row says what is left. */
static int make(struct session *s, unsigned slot, const struct disk_files *f)
{
	struct loops l = {{-1, 0}, {-1, 0}, {-1, 0}};
	struct ledger_row row = {.state = LEDGER_INTENT};
	struct blk_id id;
	int r;

	if (getrandom(&row.nonce, sizeof(row.nonce), 0) != sizeof(row.nonce))
		return -EIO;
	id_of(s, slot, row.nonce, &id);
	r = session_put_row(s, slot, &row, true);
	if (r >= 0)
		r = loops_make(s, f, &l);
	if (r >= 0)
		r = make_device(s, &id, f, &l, &row.minor);
	loops_close(&l);
	if (r >= 0)
		r = make_node(s, slot, row.minor);
	if (r >= 0) {
		row.state = LEDGER_LIVE;
		r = session_put_row(s, slot, &row, false);
	}
	return r;
}

enum priv_code answer_hello(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	enum priv_code code = session_begin(s, req, rep);

	if (code != PRIV_CODE_OK)
		return code;
	if (session_repair(s) < 0)
		return PRIV_CODE_FAILED;
	/* A field of the network helper's; this one has no index in the pool to make it of. */
	rep->hello.gateway = policy_gateway(&s->policy, 0);
	rep->hello.abilities = PRIV_ABILITY_DISK;
	return PRIV_CODE_OK;
}

/* A disk in use stays whole: its node goes only with the rest. */
enum priv_code disk_detach(struct session *s, unsigned slot, bool *ret_existed)
{
	struct ledger_row row;
	bool open = false;
	int r;

	if (ledger_get(&s->ledger, slot, &row) < 0)
		return PRIV_CODE_LEDGER;
	*ret_existed = row.state == LEDGER_LIVE;
	for (unsigned i = 0; i < REMOVE_TRIES && is_live(s, slot, &row, &open) && open; i++)
		session_pause(REMOVE_PAUSE_MS);
	if (open && is_live(s, slot, &row, &open) && open)
		return PRIV_CODE_IN_USE;
	r = session_release(s, slot, row);
	return r == -EBUSY ? PRIV_CODE_IN_USE : r < 0 ? PRIV_CODE_FAILED : PRIV_CODE_OK;
}

enum priv_code answer_cleanup(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	(void)req;
	return session_cleanup(s, rep);
}

static enum priv_code make_code(int r)
{
	return r == -EUCLEAN  ? PRIV_CODE_OVERLAY
	       : r == -EEXIST ? PRIV_CODE_TAKEN
	       : r == -ENODEV ? PRIV_CODE_NO_DM
			      : PRIV_CODE_FAILED;
}

static enum priv_code attach_fresh(struct session *s, unsigned slot, const struct disk_files *f)
{
	struct ledger_row left;
	int r = make(s, slot, f);

	if (r >= 0)
		return PRIV_CODE_OK;
	/* What cannot be released now is put right by the next helper. */
	if (ledger_get(&s->ledger, slot, &left) >= 0)
		(void)session_release(s, slot, left);
	return make_code(r);
}

/*
 * A slot that is attached already and not in use is made anew: these may be other files. One in
 * use is refused, by disk_detach().
 */
enum priv_code answer_disk_attach(
	struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	unsigned slot = req->disk_attach.slot;
	struct disk_files files;
	enum priv_code code;
	bool existed;

	if (slot >= s->policy.slots_per_user)
		return PRIV_CODE_SLOT_LIMIT;
	code = disk_files_check(req->fds[0], req->fds[1], s->uid, &files);
	if (code == PRIV_CODE_OK)
		code = disk_detach(s, slot, &existed);
	if (code == PRIV_CODE_OK)
		code = attach_fresh(s, slot, &files);
	if (code != PRIV_CODE_OK)
		return code;
	rep->disk_attach.fresh = !existed;
	node_of(s, slot, rep->disk_attach.node);
	return PRIV_CODE_OK;
}

enum priv_code answer_disk_detach(
	struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	bool existed;
	enum priv_code code = disk_detach(s, req->disk_detach.slot, &existed);

	if (code == PRIV_CODE_OK)
		rep->disk_detach.existed = existed;
	return code;
}
