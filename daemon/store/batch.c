/* SPDX-License-Identifier: ISC */
/* See batch.h. */
#include "daemon/store/batch.h"

#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "daemon/store/record.h"
#include "daemon/store/reserve.h"

enum { CATCH_UP = 16, ROOM_TRIES = 25, ROOM_MS = 200 };

static void message_done(struct message *m)
{
	for (size_t i = 0; i < m->n; i++) {
		table_row_free(m->writes[i].table, m->writes[i].row);
		free(m->writes[i].key);
		free(m->writes[i].text);
	}
	free(m->writes);
	bg_err_free(m->err);
	json_decref(m->body);
}

void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		message_done(&b->message[i]);
	free(b->message);
	b->message = NULL;
	b->n = b->room = 0;
}

void batch_drop_last(struct batch *b)
{
	if (b->n > 0)
		message_done(&b->message[--b->n]);
}

int batch_add(struct batch *b, uint64_t seq, bool waits, json_t *body)
{
	size_t room = b->room ? b->room * 2 : 16;
	void *p = b->n < b->room ? b->message : reallocarray(b->message, room, sizeof(*b->message));

	if (!p) {
		json_decref(body);
		return -ENOMEM;
	}
	b->room = b->n < b->room ? b->room : room;
	b->message = p;
	b->message[b->n++] = (struct message){.seq = seq, .waits = waits, .body = body};
	return 0;
}

/* ---- what a message says ---- */

/* The text that this row will have when those before it are written. */
static const char *text_before(const struct batch *b, const struct message *m,
	const struct write *w, uint64_t *ret_rev, uint64_t *ret_recorded)
{
	const struct stored *stored = rows_find(&b->o->rows, w->table, w->key);

	for (const struct message *at = m;; at--) {
		for (size_t i = at == m ? (size_t)(w - m->writes) : at->n; i > 0; i--) {
			const struct write *other = &at->writes[i - 1];

			if (at->err || other->table != w->table || !bg_streq(other->key, w->key))
				continue;
			*ret_rev = other->rev;
			*ret_recorded = other->recorded;
			return other->text;
		}
		if (at == b->message)
			break;
	}
	*ret_rev = stored ? stored->rev : 0;
	*ret_recorded = stored ? stored->recorded : 0;
	return stored ? stored->text : NULL;
}

static bool same_keep(enum table_id table, const char *text, const void *row)
{
	_free_ char *old_keep = NULL, *keep = table_text(table, row, true);
	void *old = NULL;

	if (!text || table_parse(table, text, &old) < 0)
		return false;
	old_keep = table_text(table, old, true);
	table_row_free(table, old);
	return keep && bg_streq(keep, old_keep);
}

static int fail(struct message *m, int r, const char *what, const char *key)
{
	bool full = r == -ENOSPC || r == -EDQUOT;

	return bg_err_sys(&m->err, full ? BG_ERR_NO_SPACE : BG_ERR_STATE, -r, "%s %s", what, key);
}

/* A first record goes before the row that says that it exists, with all that lies beside it. */
static int write_first_record(struct batch *b, struct message *m, struct write *w)
{
	int dirfd = b->o->dirfd;
	int r = record_sync_files(dirfd, w->table, w->key);

	if (r >= 0 && w->table != TABLE_VM)
		r = record_sync_folder(dirfd, "blobs");
	if (r >= 0)
		r = record_write(dirfd, w->table, w->row, w->rev);
	if (r == -ENOENT)
		return 0; /* a VM whose folder is gone: its row says what is left */
	if (r < 0)
		return fail(m, r, "write the record of", w->key);
	w->recorded = w->rev;
	return 0;
}

static int take_write(struct batch *b, struct message *m, struct write *w, json_t *triple)
{
	const char *key = json_string_value(json_array_get(triple, 1));
	const json_t *json = json_array_get(triple, 2);
	const char *table = json_string_value(json_array_get(triple, 0));
	const struct table *t;
	const char *before;
	int r;

	if (store_table_find(table ? table : "", &w->table) < 0 || !key || !(w->key = strdup(key)))
		return fail(m, -EBADMSG, "take a row of", table ? table : "?");
	t = store_table(w->table);
	before = text_before(b, m, w, &w->rev, &w->recorded);
	w->frees = t->folder || w->table == TABLE_OP;
	if (json_is_null(json))
		return 0;
	r = table_from_json(w->table, json, &w->row);
	if (r < 0 || !bg_streq(table_key(w->table, w->row), key) ||
		(t->folder && !record_key_valid(key)) ||
		!(w->text = table_text(w->table, w->row, false)))
		return fail(m, r < 0 ? r : -EBADMSG, "take the row of", key);
	if (!t->folder)
		return 0;
	if (!same_keep(w->table, before, w->row))
		w->rev++;
	w->frees = before && !t->settled(w->row);
	w->wants_record = t->settled(w->row) && w->recorded != w->rev;
	return w->wants_record && w->recorded == 0 ? write_first_record(b, m, w) : 0;
}

static int sync_folders(struct batch *b, struct message *m)
{
	const json_t *list = json_object_get(m->body, "sync");
	json_t *name;
	size_t i;
	int r = 0;

	json_array_foreach (list, i, name) {
		const char *folder = json_string_value(name);

		if (r >= 0 && record_key_valid(folder))
			r = record_sync_folder(b->o->dirfd, folder);
	}
	return r < 0 ? fail(m, r, "sync", "the folders") : 0;
}

static void take_message(struct batch *b, struct message *m)
{
	const json_t *list = json_object_get(m->body, "rows");
	int r = sync_folders(b, m);

	m->writes = calloc(json_array_size(list) + 1, sizeof(*m->writes));
	if (!m->writes)
		r = fail(m, -ENOMEM, "take", "a message");
	for (size_t i = 0; r >= 0 && i < json_array_size(list); i++)
		r = take_write(b, m, &m->writes[m->n++], json_array_get(list, i));
}

/* ---- the transaction ---- */

/* Those of one message, or of all that did not fail. */
static size_t collect(const struct batch *b, size_t only, struct change *out)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct message *m = &b->message[i];

		if (m->err || m->again || (only != SIZE_MAX && only != i))
			continue;
		for (size_t k = 0; k < m->n; k++)
			out[n++] = (struct change){m->writes[k].table, m->writes[k].key,
				m->writes[k].text, m->writes[k].rev};
	}
	return n;
}

static size_t count_writes(const struct batch *b)
{
	size_t n = 1;

	for (size_t i = 0; i < b->n; i++)
		n += b->message[i].n;
	return n;
}

static bool is_harmless(int r)
{
	return r >= 0 || r == -ENOSPC || r == -EINVAL || r == -ENOMEM;
}

/* What is in memory is what was acknowledged; what is not in the next generation does not exist. */
static int go_on_in_next(struct batch *b, struct bg_err **err)
{
	char name[32];
	unsigned old = b->o->generation;
	_free_ char *aside = NULL;
	int r = store_next_generation(b->o, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "banger.%u.db", old);
	store_set_file_aside(b->o, name, &aside);
	store_note(b->o,
		"a write to banger.%u.db failed and may not be on the disk: banger goes on in "
		"banger.%u.db; the old one is kept as %s",
		old, b->o->generation, aside ? aside : name);
	b->doubtful = false;
	return 0;
}

static int apply(struct batch *b, const struct change *changes, size_t n, struct bg_err **err)
{
	_err_ struct bg_err *first = NULL;
	int r = b->doubtful ? -EIO : ledger_apply(b->o->ledger, changes, n, &first);

	if (is_harmless(r)) {
		if (r < 0)
			*err = TAKE_PTR(first);
		return r;
	}
	if (first)
		log_err(LOG_ERROR, "store", "the database is not to be believed any more", first);
	b->doubtful = true;
	r = go_on_in_next(b, err);
	return r < 0 ? r : ledger_apply(b->o->ledger, changes, n, err);
}

static bool all_free(const struct message *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (!m->writes[i].frees)
			return false;
	return m->n > 0;
}

static bool any_frees(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!b->message[i].err && all_free(&b->message[i]))
			return true;
	return false;
}

/* Would the next start see that it goes, though its row stays? A mark went with the folder. */
static bool is_seen_to_go(const struct batch *b, const struct write *w)
{
	const struct stored *stored = rows_find(&b->o->rows, w->table, w->key);
	void *row = NULL;
	bool seen;

	if (!stored || !store_table(w->table)->folder)
		return true;
	if (stored->marked || table_parse(w->table, stored->text, &row) < 0)
		return false;
	seen = !store_table(w->table)->settled(row);
	table_row_free(w->table, row);
	return seen;
}

static bool can_be_marked(const struct batch *b, const struct message *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (!m->writes[i].text && !is_seen_to_go(b, &m->writes[i]))
			return false;
	return all_free(m);
}

/* Nothing can be written any more: the decision is marked on the folders themselves. */
static bool mark_instead(struct batch *b, struct message *m)
{
	if (!can_be_marked(b, m))
		return false;
	for (size_t i = 0; i < m->n; i++) {
		const struct write *w = &m->writes[i];
		int r = store_table(w->table)->folder && w->text
				? record_mark_doomed(b->o->dirfd, w->table, w->key)
				: 0;

		if (r < 0 && r != -ENOENT)
			return false;
	}
	m->again = true;
	return true;
}

/* Nor can that be: a VM that is to be deleted gives its room first. */
static bool empty_instead(struct batch *b, const struct message *m)
{
	bool any = false;

	for (size_t i = 0; all_free(m) && i < m->n; i++)
		if (m->writes[i].table == TABLE_VM && m->writes[i].text)
			any |= record_empty_doomed(b->o->dirfd, m->writes[i].key);
	if (any)
		log_msg(LOG_WARN, "store",
			"there is no room to say that a VM is deleted: its files go first", NULL);
	return any;
}

/*
 * The last word of a deletion of which nothing but a mark was written, and that went with its folder: without it, what is deleted would be back at
 * the next start. The room of its files comes any moment.
 */
static int wait_for_room(
	struct batch *b, const struct change *changes, size_t n, struct bg_err **err)
{
	const struct timespec step = {.tv_nsec = ROOM_MS * 1000000L};
	int r = -ENOSPC;

	for (int i = 0; i < ROOM_TRIES && r == -ENOSPC; i++) {
		if (i > 0)
			(void)nanosleep(&step, NULL);
		(void)syncfs(b->o->dirfd); /* as in record_empty_doomed */
		bg_err_free(TAKE_PTR(*err));
		r = apply(b, changes, n, err);
	}
	return r;
}

static void apply_each(struct batch *b, struct change *changes)
{
	bool waited = false;

	for (size_t i = 0; i < b->n; i++) {
		struct message *m = &b->message[i];
		_err_ struct bg_err *err = NULL;
		size_t n = collect(b, i, changes);
		int r = n ? apply(b, changes, n, &err) : 0;

		if (r == -ENOSPC && mark_instead(b, m))
			continue;
		if (r == -ENOSPC && empty_instead(b, m)) {
			bg_err_free(TAKE_PTR(err));
			r = apply(b, changes, n, &err);
		} else if (r == -ENOSPC && all_free(m) && !waited) {
			waited = true; /* once for all: others wait, too */
			r = wait_for_room(b, changes, n, &err);
		}
		if (r < 0 && !m->err)
			m->err = TAKE_PTR(err);
	}
}

static void write_batch(struct batch *b)
{
	_free_ struct change *changes = calloc(count_writes(b), sizeof(*changes));
	_err_ struct bg_err *err = NULL;
	int r;

	if (!changes) {
		for (size_t i = 0; i < b->n; i++)
			if (!b->message[i].err)
				(void)fail(&b->message[i], -ENOMEM, "write", "rows");
		return;
	}
	r = apply(b, changes, collect(b, SIZE_MAX, changes), &err);
	if (r == -ENOSPC && any_frees(b) && reserve_give_up(b->o->dirfd)) {
		log_msg(LOG_WARN, "store", "the disk is full: the reserve is given up", NULL);
		bg_err_free(TAKE_PTR(err));
		r = apply(b, changes, collect(b, SIZE_MAX, changes), &err);
	}
	if (r < 0)
		apply_each(b, changes);
}

static const char *mode_after(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct message *m = &b->message[i];

		if (m->again || (m->err && m->err->code == BG_ERR_NO_SPACE))
			return "full";
	}
	return b->doubtful ? "read-only" : "ok";
}

/* ---- after it ---- */

static void remember(struct batch *b, struct write *w, bool marked)
{
	struct stored *stored;

	if (!w->text) {
		rows_drop(&b->o->rows, w->table, w->key);
		return;
	}
	if (rows_put(&b->o->rows, w->table, w->key, w->text, w->rev, &stored) < 0)
		return; /* memory has the older one: the next put of it is written again */
	stored->recorded = w->recorded;
	stored->marked = marked;
	if (!w->wants_record || w->recorded == w->rev)
		return;
	/* One that fails lags: it is tried again in idle moments. */
	if (record_write(b->o->dirfd, w->table, w->row, w->rev) >= 0)
		stored->recorded = w->rev;
}

void batch_run(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		take_message(b, &b->message[i]);
	write_batch(b);
	b->mode = mode_after(b);
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; !b->message[i].err && k < b->message[i].n; k++)
			remember(b, &b->message[i].writes[k], b->message[i].again);
}

bool batch_catch_up(struct batch *b)
{
	unsigned written = 0;

	for (size_t i = 0; i < b->o->rows.n && written < CATCH_UP; i++) {
		struct stored *stored = b->o->rows.row[i];
		const struct table *t = store_table(stored->table);
		void *row = NULL;

		if (!t->folder || stored->recorded == stored->rev ||
			table_parse(stored->table, stored->text, &row) < 0)
			continue;
		if (t->settled(row) &&
			record_write(b->o->dirfd, stored->table, row, stored->rev) >= 0) {
			stored->recorded = stored->rev;
			written++;
		}
		table_row_free(stored->table, row);
	}
	return written == CATCH_UP;
}
