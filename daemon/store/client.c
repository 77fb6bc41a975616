/* SPDX-License-Identifier: ISC */
/* See store.h: what is posted, what was answered, and who waits for it. */
#include "daemon/store/client.h"

#include <stdio.h>

#include "common/json.h"
#include "common/log.h"
#include "common/proc.h"

enum { MESSAGE_BYTES = 100 * 1024, MESSAGE_ROOM = 1024 };
#define RETRY_USEC  5000000ULL
#define SILENT_USEC 5000000ULL

static void entry_free(struct store *store, struct entry *e)
{
	TAILQ_REMOVE(&store->entries, e, link);
	json_decref(e->row);
	free(e->key);
	free(e);
}

static void on_flush(void *userdata)
{
	struct store *store = userdata;

	loop_source_free(TAKE_PTR(store->flush));
	store_flush(store);
}

static void flush_soon(struct store *store)
{
	if (!store->flush &&
		loop_defer(store->loop, "store-flush", on_flush, store, &store->flush) < 0)
		store_flush(store);
}

static struct entry *find_entry(struct store *store, enum table_id table, const char *key)
{
	struct entry *e;

	TAILQ_FOREACH (e, &store->entries, link)
		if (e->table == table && bg_streq(e->key, key))
			return e;
	return NULL;
}

static struct entry *new_entry(enum table_id table, const char *key)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->table = table;
	e->key = strdup(key);
	if (!e->key) {
		free(e);
		return NULL;
	}
	return e;
}

void store_post(struct store *store, enum table_id table, const char *key, json_t *row)
{
	struct entry *e = find_entry(store, table, key);

	if (e)
		TAILQ_REMOVE(&store->entries, e, link);
	else
		e = new_entry(table, key);
	if (!e) {
		json_decref(row);
		store->no_memory = true;
		return;
	}
	json_decref(e->row);
	e->row = row;
	e->dirty = true;
	e->failed = false;
	TAILQ_INSERT_TAIL(&store->entries, e, link);
	flush_soon(store);
}

/* ---- sending ---- */

static int64_t size_of(const struct entry *e)
{
	return e->row ? (int64_t)json_dumpb(e->row, NULL, 0, JSON_COMPACT) : 64;
}

struct parcel {
	json_t *rows;
	int64_t size;
	uint64_t seq;
	bool waits, again, too_large;
	int r;
};

static void send_parcel(struct store *store, struct parcel *p, bool more)
{
	struct store_head head = {.verb = STORE_COMMIT,
		.seq = p->seq,
		.flags = (more ? STORE_MORE : 0U) | (p->waits ? STORE_WAITS : 0U)};
	_json_ json_t *body = json_pack(
		"{s:o, s:O?}", "rows", TAKE_PTR(p->rows), "sync", p->again ? NULL : store->sync);

	if (p->r >= 0)
		p->r = body ? link_send(store, &head, body) : -ENOMEM;
	if (p->r >= 0 && !p->again)
		json_decref(TAKE_PTR(store->sync));
	p->size = 0;
}

static void pack(struct store *store, struct parcel *p, struct entry *e)
{
	int64_t size = size_of(e);

	if (size > STORE_MESSAGE_MAX - MESSAGE_ROOM) {
		p->too_large = true;
		e->dirty = false; /* as it is it will never fit */
		return;
	}
	if (p->rows && p->size + size > MESSAGE_BYTES)
		send_parcel(store, p, true);
	if (!p->rows)
		p->rows = json_array();
	if (json_array_append_new(p->rows,
		    json_pack("[s, s, O?]", store_table(e->table)->name, e->key, e->row)) < 0)
		p->r = -ENOMEM;
	p->size += size;
	e->seq = p->seq;
}

static void fail_calls(struct store *store, uint64_t seq, const struct bg_err *err)
{
	struct store_call *call;

	TAILQ_FOREACH (call, &store->calls, link)
		if ((call->seq == seq || (call->seq > seq && !call->alone)) && !call->err)
			call->err = bg_err_copy(err);
}

/* All that were answered by now; their owners may free any of them, and ask for others. */
static void finish_calls(struct store *store)
{
	struct store_call *call;

	while ((call = TAILQ_FIRST(&store->calls)) && call->seq <= store->done_seq) {
		_err_ struct bg_err *err = TAKE_PTR(call->err);

		TAILQ_REMOVE(&store->calls, call, link);
		call->store = NULL;
		call->done(err, call->userdata);
	}
}

static void on_retry(void *userdata)
{
	struct store *store = userdata;

	loop_source_free(TAKE_PTR(store->retry));
	store_flush(store);
}

static void retry_later(struct store *store)
{
	if (!store->retry)
		(void)loop_add_timer(
			store->loop, "store-retry", RETRY_USEC, on_retry, store, &store->retry);
}

static void on_not_sent(struct store *store, int r)
{
	_err_ struct bg_err *err = NULL;

	bg_err_sys(&err, BG_ERR_STATE, -r, "write to the store");
	fail_calls(store, store->seq, err);
	store->done_seq = store->seq;
	retry_later(store);
}

static bool any_dirty(const struct store *store, bool failed)
{
	const struct entry *e;

	TAILQ_FOREACH (e, &store->entries, link)
		if (e->dirty && e->failed == failed)
			return true;
	return false;
}

static bool anything_new(const struct store *store)
{
	return any_dirty(store, false) || store->sync || store->poke;
}

static bool anything_dirty(const struct store *store)
{
	return anything_new(store) || any_dirty(store, true);
}

static bool is_waited_for(const struct store *store)
{
	const struct store_call *last = TAILQ_LAST(&store->calls, call_list);

	return last && last->seq > store->seq;
}

static void refuse_large(struct store *store)
{
	_err_ struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_STATE, EMSGSIZE, "what is to be stored is too large");
	fail_calls(store, store->seq, err);
}

static void on_sent(struct store *store, const struct parcel *p)
{
	struct entry *e;

	if (!p->again)
		store->poke = false;
	store->hurried = p->waits;
	TAILQ_FOREACH (e, &store->entries, link)
		e->dirty = e->dirty && e->seq != p->seq;
	if (p->too_large)
		refuse_large(store);
	if (!store->asked_usec)
		store->asked_usec = loop_now_usec();
	link_watch_silence(store);
}

/* One message: of the rows that failed before, or of what is new. */
static int send_message(struct store *store, bool again)
{
	struct parcel p = {.waits = is_waited_for(store), .again = again};
	struct entry *e;

	p.seq = ++store->seq;
	TAILQ_FOREACH (e, &store->entries, link)
		if (e->dirty && e->failed == again)
			pack(store, &p, e);
	if (!p.rows)
		p.rows = json_array();
	send_parcel(store, &p, false);
	if (p.r ==
		-EAGAIN) /* nothing of it was taken, or the process has a part that it will not use */
		store->seq--;
	else if (p.r < 0)
		on_not_sent(store, p.r);
	else
		on_sent(store, &p);
	return p.r;
}

/* Who waits, does so for what is new: that is the next message. */
static void put_off_calls(struct store *store)
{
	struct store_call *call;

	TAILQ_FOREACH (call, &store->calls, link)
		if (call->seq == store->seq)
			call->seq++;
}

/* What failed before goes by itself: on a full disk it fails again, and what makes room does not with it. */
void store_flush(struct store *store)
{
	int r = 0;

	if (!store->open || store->write || !anything_dirty(store))
		return; /* OPENED, or room in the socket, comes here again */
	if (any_dirty(store, true)) {
		r = send_message(store, true);
		if (r >= 0 && anything_new(store))
			put_off_calls(store);
	}
	if (r >= 0 && anything_new(store))
		r = send_message(store, false);
	if (r < 0 && r != -EAGAIN)
		finish_calls(store);
}

/* ---- answers ---- */

static void add_notes(struct store *store, const json_t *list)
{
	json_array_extend(store->notes, (json_t *)(uintptr_t)list);
}

static void settle_entries(struct store *store, uint64_t seq, bool good)
{
	struct entry *e, *next;

	for (e = TAILQ_FIRST(&store->entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->seq != seq || e->dirty)
			continue;
		if (good)
			entry_free(store, e);
		else
			e->dirty = e->failed = true;
	}
}

void store_on_done(struct store *store, uint64_t seq, const json_t *body)
{
	const json_t *error = json_object_get(body, "error");
	const char *mode = json_string_value(json_object_get(body, "mode"));
	bool again = json_is_true(json_object_get(body, "again"));
	_err_ struct bg_err *err = NULL;

	if (json_is_object(error))
		(void)bg_err_from_json(error, &err);
	if (err)
		log_err(LOG_ERROR, "store", "rows could not be written", err);
	snprintf(store->mode, sizeof(store->mode), "%s", mode ? mode : "ok");
	add_notes(store, json_object_get(body, "notes"));
	settle_entries(store, seq, !err && !again);
	if (err || again)
		retry_later(store);
	bg_err_free(store->err);
	store->err = bg_err_copy(err);
	store->done_seq = seq;
	store->asked_usec = seq < store->seq ? loop_now_usec() : 0;
	link_watch_silence(store);
	if (err)
		fail_calls(store, seq, err);
	finish_calls(store);
}

void store_on_restart(struct store *store)
{
	struct store_call *call;
	struct entry *e;

	TAILQ_FOREACH (e, &store->entries, link)
		e->dirty = true;
	store->asked_usec = 0;
	store->done_seq = store->seq;
	store->poke = true;
	/* What they wait for goes with the next message. */
	TAILQ_FOREACH (call, &store->calls, link)
		call->seq = store->seq + 1;
}

void store_on_broken(struct store *store, const struct bg_err *err)
{
	log_err(LOG_ERROR, "store", "cannot be opened", err);
	bg_err_free(store->err);
	store->err = bg_err_copy(err);
	snprintf(store->mode, sizeof(store->mode), "read-only");
	fail_calls(store, 0, err);
	store->done_seq = ++store->seq;
	finish_calls(store);
}

static int take_row(struct store *store, const char *table, const char *text)
{
	struct loaded *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	r = table && text ? store_table_find(table, &l->table) : -EBADMSG;
	if (r >= 0)
		r = table_parse(l->table, text, &l->row);
	if (r < 0) {
		free(l);
		return r;
	}
	TAILQ_INSERT_TAIL(&store->loaded, l, link);
	return 0;
}

int store_on_rows(struct store *store, const json_t *body)
{
	size_t n = json_array_size(body);
	int r = 0;

	if (store->open || store->seq)
		return 0; /* of a process that was started again: memory is newer */
	for (size_t i = 0; i < n && r != -ENOMEM; i += 2)
		r = take_row(store, json_string_value(json_array_get(body, i)),
			json_string_value(json_array_get(body, i + 1)));
	return r;
}

void store_on_opened(struct store *store, const json_t *body)
{
	const char *file = json_string_value(json_object_get(body, "file"));

	add_notes(store, json_object_get(body, "notes"));
	if (!store->orphans)
		store->orphans = json_incref(json_object_get(body, "orphans"));
	free(store->file);
	store->file = file ? strdup(file) : NULL;
	bg_err_free(TAKE_PTR(store->err));
	snprintf(store->mode, sizeof(store->mode), "ok");
	flush_soon(store);
}

/* ---- waiting ---- */

static void on_soon(void *userdata)
{
	struct store_call *call = userdata;
	_err_ struct bg_err *err = TAKE_PTR(call->err);

	loop_source_free(TAKE_PTR(call->soon));
	call->done(err, call->userdata);
}

static int finish_soon(struct store *store, struct store_call *call, struct bg_err **err)
{
	int r = loop_defer(store->loop, "store-done", on_soon, call, &call->soon);

	call->store = NULL;
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "wait for the store") : 0;
}

int store_commit(struct store *store, store_done_fn done, void *userdata, struct store_call **ret,
	struct bg_err **err)
{
	struct store_call *call = calloc(1, sizeof(*call));
	bool dirty = anything_dirty(store);
	int r = 0;

	if (!call || store->no_memory) {
		store->no_memory = false;
		free(call);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*call = (struct store_call){.done = done, .userdata = userdata, .store = store};
	if (!store->open && store->err)
		call->err = bg_err_copy(store->err);
	/* One that nobody waited for may wait in the process: a word that somebody does. */
	store->poke = store->poke || (!dirty && !store->hurried && store->seq > store->done_seq);
	dirty = dirty || store->poke;
	call->seq = store->seq + dirty;
	if (call->err || call->seq <= store->done_seq)
		r = finish_soon(store, call, err);
	else
		TAILQ_INSERT_TAIL(&store->calls, call, link);
	if (r < 0) {
		store_call_free(call);
		return r;
	}
	if (dirty)
		flush_soon(store);
	*ret = call;
	return 0;
}

void store_call_free(struct store_call *call)
{
	if (!call)
		return;
	if (call->store)
		TAILQ_REMOVE(&call->store->calls, call, link);
	loop_source_free(call->soon);
	bg_err_free(call->err);
	free(call);
}

char *store_waits_for(const struct store *store)
{
	char *text = NULL;
	int n = store->pid > 0 && bg_proc_state(store->pid) != 'D'
			? asprintf(&text, "the store (process %d), which does not answer",
				  (int)store->pid)
			: asprintf(&text, "the disk of %s", store->dir);

	return n < 0 ? NULL : text;
}

void store_call_alone(struct store_call *call)
{
	call->alone = true;
}

void store_sync_folder(struct store *store, const char *folder)
{
	if (!store->sync)
		store->sync = json_array();
	json_array_append_new(store->sync, json_string(folder));
	flush_soon(store);
}

/* ---- life ---- */

json_t *store_status(const struct store *store)
{
	bool silent = store->asked_usec && loop_now_usec() - store->asked_usec > SILENT_USEC;

	return json_pack("{s:s, s:s?, s:i, s:o, s:O, s:o}", "mode", silent ? "silent" : store->mode,
		"file", store->file, "pid", (int)store->pid, "error",
		store->err ? bg_err_to_json(store->err) : json_null(), "notes", store->notes,
		"orphans", store->orphans ? json_incref(store->orphans) : json_array());
}

static size_t find_orphan(const struct store *store, const char *path)
{
	const json_t *one;
	size_t i;

	json_array_foreach (store->orphans, i, one)
		if (bg_streq(json_string_value(json_object_get(one, "path")), path))
			break;
	return i;
}

bool store_has_orphan(const struct store *store, const char *path)
{
	return find_orphan(store, path) < json_array_size(store->orphans);
}

void store_forget_orphan(struct store *store, const char *path)
{
	(void)json_array_remove(store->orphans, find_orphan(store, path));
}

int store_open(struct loop *loop, const char *state_dir, void (*on_child)(void), struct store **ret,
	struct bg_err **err)
{
	struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	store->loop = loop;
	store->on_child = on_child;
	store->sock = store->pidfd = -1;
	TAILQ_INIT(&store->entries);
	TAILQ_INIT(&store->calls);
	TAILQ_INIT(&store->loaded);
	store->dir = strdup(state_dir);
	store->notes = json_array();
	r = store->dir && store->notes ? link_open(store, err)
				       : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0) {
		store_close(store);
		return r;
	}
	store_load_counters(store);
	*ret = store;
	return 0;
}

static void clear(struct store *store)
{
	struct loaded *l;

	while (!TAILQ_EMPTY(&store->entries))
		entry_free(store, TAILQ_FIRST(&store->entries));
	while (!TAILQ_EMPTY(&store->calls)) {
		TAILQ_FIRST(&store->calls)->store = NULL; /* its owner frees it */
		TAILQ_REMOVE(&store->calls, TAILQ_FIRST(&store->calls), link);
	}
	while ((l = TAILQ_FIRST(&store->loaded))) {
		TAILQ_REMOVE(&store->loaded, l, link);
		table_row_free(l->table, l->row);
		free(l);
	}
}

void store_close(struct store *store)
{
	if (!store)
		return;
	loop_source_free(TAKE_PTR(store->flush));
	loop_source_free(TAKE_PTR(store->retry));
	store_flush(store);
	link_close(store);
	clear(store);
	json_decref(store->sync);
	json_decref(store->notes);
	json_decref(store->orphans);
	bg_err_free(store->err);
	free(store->file);
	free(store->dir);
	free(store);
}
