/* SPDX-License-Identifier: ISC */
/* See open.h. */
#include "daemon/store/open.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "daemon/store/legacy.h"
#include "daemon/store/record.h"
#include "daemon/store/reserve.h"

enum { GENERATIONS_MAX = 64, ASIDE_TRIES = 10000, COPY_PIECE = 65536 };

char *store_file(const char *dir, unsigned generation)
{
	char *path = NULL;

	return asprintf(&path, "%s/banger.%u.db", dir, generation) < 0 ? NULL : path;
}

void opened_done(struct opened *o)
{
	if (o->ledger)
		ledger_close(TAKE_PTR(o->ledger));
	rows_done(&o->rows);
	json_decref(TAKE_PTR(o->notes));
	json_decref(TAKE_PTR(o->orphans));
	o->dirfd = bg_close(o->dirfd);
}

void store_note(struct opened *o, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0)
		return;
	log_msg(LOG_WARN, "store", text, NULL);
	json_array_append_new(o->notes, json_string(text));
}

/* ---- setting aside ---- */

int store_set_aside(const struct opened *o, const char *name, char **ret)
{
	_free_ char *base = strdup(name);

	if (!base)
		return -ENOMEM;
	for (char *p = base; *p; p++)
		if (*p == '/')
			*p = '-';
	if (mkdirat(o->dirfd, STORE_ASIDE, 0700) < 0 && errno != EEXIST)
		return -errno;
	for (unsigned i = 0; i < ASIDE_TRIES; i++) {
		_free_ char *to = NULL;
		int r = i ? asprintf(&to, STORE_ASIDE "/%s~%u", base, i)
			  : asprintf(&to, STORE_ASIDE "/%s", base);

		if (r < 0)
			return -ENOMEM;
		if (faccessat(o->dirfd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (renameat(o->dirfd, name, o->dirfd, to) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (ret)
			*ret = TAKE_PTR(to);
		return 0;
	}
	return -EEXIST;
}

/* The log goes first: one that is left beside a new file of that name would be replayed into it. */
void store_set_file_aside(struct opened *o, const char *name, char **ret)
{
	static const char *const ends[] = {"-wal", "-shm", ""};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		_free_ char *file = NULL;

		if (asprintf(&file, "%s%s", name, ends[i]) >= 0)
			(void)store_set_aside(o, file, *ends[i] ? NULL : ret);
	}
	(void)record_sync_folder(o->dirfd, STORE_ASIDE);
	(void)fsync(o->dirfd);
}

/* ---- generations ---- */

struct generations {
	unsigned n, newest;
	unsigned number[GENERATIONS_MAX]; /* newest first */
};

static void add_generation(struct generations *g, unsigned number)
{
	unsigned i = g->n < GENERATIONS_MAX ? g->n++ : GENERATIONS_MAX - 1;

	g->newest = BG_MAX(g->newest, number);
	for (; i > 0 && g->number[i - 1] < number; i--)
		g->number[i] = g->number[i - 1];
	g->number[i] = number;
}

static int list_generations(const struct opened *o, struct generations *g, struct bg_err **err)
{
	DIR *dir = opendir(o->dir);
	const struct dirent *e;

	if (!dir)
		return bg_err_sys(err, BG_ERR_STATE, errno, "read %s", o->dir);
	while ((e = readdir(dir))) {
		unsigned number;
		int end = 0;

		if (sscanf(e->d_name, "banger.%9u.db%n", &number, &end) == 1 && end &&
			!e->d_name[end])
			add_generation(g, number);
	}
	closedir(dir);
	return 0;
}

static int copy_file(const char *from, const char *to)
{
	_close_ int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_close_ int out = -1;
	char piece[COPY_PIECE];
	ssize_t n;
	int r = 0;

	if (in < 0)
		return errno == ENOENT ? 0 : -errno;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out < 0)
		return -errno;
	while (r >= 0 && (n = read(in, piece, sizeof(piece))) > 0)
		r = bg_write_all(out, piece, (size_t)n);
	if (r >= 0 && n < 0)
		r = -errno;
	return r >= 0 && fsync(out) < 0 ? -errno : r;
}

/* Another program holds its lock, which goes by the file: a copy is nobody's. */
static int copy_generation(struct opened *o, unsigned from, unsigned to, struct bg_err **err)
{
	_free_ char *old = store_file(o->dir, from), *new = store_file(o->dir, to);
	_free_ char *old_log = NULL, *new_log = NULL;
	int r;

	if (!old || !new || asprintf(&old_log, "%s-wal", old) < 0 ||
		asprintf(&new_log, "%s-wal", new) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = copy_file(old_log, new_log);
	if (r >= 0)
		r = copy_file(old, new);
	return r < 0 ? bg_err_sys(err, BG_ERR_STATE, -r, "copy %s", old) : 0;
}

/* What old has and rows does not. */
static int merge(struct rows *rows, const struct rows *old)
{
	int r = 0;

	for (size_t i = 0; i < old->n && r >= 0; i++) {
		const struct stored *row = old->row[i];

		if (!rows_find(rows, row->table, row->key))
			r = rows_put(rows, row->table, row->key, row->text, row->rev, NULL);
	}
	return r;
}

/* These are not the file's fault, and setting it aside would not help; or it is whole, and its owner is a newer banger. */
static bool is_fatal(int r)
{
	return r == -EACCES || r == -EROFS || r == -ENOMEM || r == -ENOSPC || r == -EPROTONOSUPPORT;
}

/* The newer banger finds all as it left it. Going on without it is the user's to say: see docs/store.md. */
static void hint_newer(const struct opened *o, struct bg_err **err)
{
	bg_err_hint(err,
		"install that banger again; to go on with this one, from what it can read of the "
		"folders' records: "
		"`cd %s && mkdir -p " STORE_ASIDE " && mv banger.*.db* " STORE_ASIDE "/`",
		o->dir);
}

static int open_generation(
	struct opened *o, unsigned number, struct rows *rows, struct bg_err **err)
{
	_free_ char *path = store_file(o->dir, number);

	return path ? ledger_open(path, rows, &o->ledger, err)
		    : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int try_generation(struct opened *o, unsigned number, struct rows *rows, struct bg_err **err)
{
	int r = open_generation(o, number, rows, err);

	if (r == -ENOSPC && reserve_give_up(o->dirfd)) {
		bg_err_free(TAKE_PTR(*err));
		r = open_generation(o, number, rows, err);
	}
	return r;
}

/* Set aside once its successor is there; why NULL: nothing that the user should know. */
static void put_away(struct opened *o, unsigned number, const struct bg_err *why)
{
	_free_ char *aside = NULL;
	char name[32];

	snprintf(name, sizeof(name), "banger.%u.db", number);
	store_set_file_aside(o, name, &aside);
	if (why)
		store_note(
			o, "%s; it is kept as %s/%s", why->message, o->dir, aside ? aside : name);
}

/* ---- finding ---- */

struct finding {
	struct generations all;
	struct bg_err *why[GENERATIONS_MAX]; /* of those that cannot be used */
	unsigned n_bad;			     /* the first ones */
	struct bg_err *legacy;		     /* why banger.db cannot be used */
	bool has_legacy;
};

static void finding_done(struct finding *f)
{
	for (unsigned i = 0; i < f->n_bad; i++)
		bg_err_free(f->why[i]);
	bg_err_free(f->legacy);
}

static int try_unlocked(struct opened *o, struct finding *f, unsigned *number, struct rows *rows,
	struct bg_err **err)
{
	int r = try_generation(o, *number, rows, err);
	unsigned copy = f->all.newest + 1;

	if (r != -EBUSY)
		return r;
	bg_err_free(TAKE_PTR(*err));
	r = copy_generation(o, *number, copy, err);
	if (r < 0)
		return r;
	f->all.newest = copy;
	put_away(o, *number, NULL);
	store_note(o, "another program had banger.%u.db open: banger goes on with a copy", *number);
	*number = copy;
	return try_generation(o, copy, rows, err);
}

static void take_over(struct opened *o, unsigned number, struct rows *rows)
{
	rows_done(&o->rows);
	o->rows = *rows;
	o->generation = number;
}

/* 0 with o->ledger, or without: then o->rows is what could be read of those that are there. */
static int find_generation(struct opened *o, struct finding *f, struct bg_err **err)
{
	for (unsigned i = 0; i < f->all.n; i++) {
		struct bg_err *why = NULL;
		struct rows rows = {0};
		unsigned number = f->all.number[i];
		int r = try_unlocked(o, f, &number, &rows, &why);

		if (r >= 0) {
			take_over(o, number, &rows);
			return 0;
		}
		if (!is_fatal(r))
			(void)merge(&o->rows, &rows);
		rows_done(&rows);
		if (is_fatal(r)) {
			*err = why;
			if (r == -EPROTONOSUPPORT)
				hint_newer(o, err);
			return r;
		}
		f->all.number[i] = number;
		f->why[f->n_bad++] = why;
	}
	return 0;
}

/* Of a banger before the generations. Damaged or not, what it has counts. */
static int find_legacy(struct opened *o, struct finding *f, struct bg_err **err)
{
	_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/" LEGACY_FILE, o->dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = legacy_read(path, &o->rows, &f->legacy);
	f->has_legacy = r >= 0 || r == -EUCLEAN;
	if (r >= 0 || r == -EUCLEAN)
		return 0;
	if (r != -EBUSY && r != -EACCES) {
		bg_err_free(TAKE_PTR(f->legacy));
		return 0;
	}
	*err = TAKE_PTR(f->legacy);
	bg_err_hint(err, "end the other program that uses it: `fuser %s`", path);
	return r;
}

static void leave_legacy(struct opened *o, const struct finding *f)
{
	_free_ char *aside = NULL, *path = NULL;

	if (!f->has_legacy)
		return;
	store_set_file_aside(o, LEGACY_FILE, &aside);
	if (f->legacy)
		store_note(o, "%s; it is kept as %s/%s", f->legacy->message, o->dir,
			aside ? aside : LEGACY_FILE);
	if (asprintf(&path, "%s/" LEGACY_FILE, o->dir) >= 0)
		legacy_leave_mark(path);
}

int store_next_generation(struct opened *o, struct bg_err **err)
{
	_free_ char *path = store_file(o->dir, o->generation + 1);
	struct ledger *ledger = NULL;
	int r = path ? ledger_create(path, &o->rows, &ledger, err)
		     : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");

	if (r >= 0 && fsync(o->dirfd) < 0)
		r = bg_err_sys(err, BG_ERR_STATE, errno, "sync %s", o->dir);
	if (r < 0) {
		char name[32];

		ledger_abandon(ledger);
		snprintf(name, sizeof(name), "banger.%u.db", o->generation + 1);
		(void)unlinkat(o->dirfd, name, 0); /* of this moment, and never finished */
		snprintf(name, sizeof(name), "banger.%u.db-wal", o->generation + 1);
		(void)unlinkat(o->dirfd, name, 0);
		return r;
	}
	ledger_abandon(o->ledger);
	o->ledger = ledger;
	o->generation++;
	return 0;
}

static int make_generation(struct opened *o, const struct finding *f, struct bg_err **err)
{
	int r;

	o->generation = f->all.newest;
	r = store_next_generation(o, err);
	if (r == -ENOSPC && reserve_give_up(o->dirfd)) {
		if (err)
			bg_err_free(TAKE_PTR(*err));
		r = store_next_generation(o, err);
	}
	return r;
}

static int write_changed(struct opened *o, const json_t *changed, struct bg_err **err)
{
	size_t n = json_array_size(changed), i;
	_free_ struct change *changes = calloc(n + 1, sizeof(*changes));
	json_t *pair;
	size_t used = 0;

	if (!changes)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	json_array_foreach (changed, i, pair) {
		enum table_id table = (enum table_id)json_integer_value(json_array_get(pair, 0));
		const char *key = json_string_value(json_array_get(pair, 1));
		const struct stored *row = rows_find(&o->rows, table, key);

		if (row)
			changes[used++] = (struct change){table, row->key, row->text, row->rev};
	}
	return ledger_apply(o->ledger, changes, used, err);
}

static void put_all_away(struct opened *o, const struct finding *f)
{
	bool rebuilt = f->n_bad == f->all.n;

	for (unsigned i = 0; i < f->n_bad; i++)
		put_away(o, f->all.number[i], rebuilt ? f->why[i] : NULL);
	for (unsigned i = f->n_bad + 1; i < f->all.n; i++)
		put_away(o, f->all.number[i], NULL);
	leave_legacy(o, f);
}

static unsigned count(const struct rows *rows, enum table_id table)
{
	unsigned n = 0;

	for (size_t i = 0; i < rows->n; i++)
		n += rows->row[i]->table == table;
	return n;
}

/* There was something, and it is not what the user had a moment ago. */
static bool is_rebuilt(const struct opened *o, const struct finding *f)
{
	return !o->ledger && !(f->has_legacy && !f->legacy) && (f->all.n > 0 || o->rows.n > 0);
}

static void note_rebuilt(struct opened *o, const struct finding *f)
{
	store_note(o,
		"the database %s and was made anew, also from the folders' records: %u VMs, "
		"%u images, %u kernels",
		f->all.n || f->has_legacy ? "could not be used" : "was missing",
		count(&o->rows, TABLE_VM), count(&o->rows, TABLE_IMAGE),
		count(&o->rows, TABLE_KERNEL));
}

static int find(struct opened *o, struct finding *f, struct bg_err **err)
{
	_json_ json_t *changed = json_array();
	int r = list_generations(o, &f->all, err);
	bool rebuilt;

	if (r >= 0)
		r = find_generation(o, f, err);
	if (r >= 0 && !o->ledger)
		r = find_legacy(o, f, err);
	if (r >= 0)
		r = store_reconcile(o, changed, err);
	if (r < 0)
		return r;
	rebuilt = is_rebuilt(o, f);
	if (o->ledger)
		(void)write_changed(o, changed, NULL); /* else the next start does it again */
	else
		r = make_generation(o, f, err);
	if (r >= 0)
		put_all_away(o, f);
	if (r >= 0 && rebuilt)
		note_rebuilt(o, f);
	return r;
}

/* Their names are on the disk before anything in them counts: a sync of a folder says nothing of its own name. */
static void make_folders(const struct opened *o)
{
	static const char *const folders[] = {"vms", "images", "kernels", "blobs", STORE_TRASH};
	bool made = false;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		made |= mkdirat(o->dirfd, folders[i], 0700) >= 0;
	if (made)
		(void)fsync(o->dirfd);
}

int store_find(const char *dir, struct opened *ret, struct bg_err **err)
{
	_cleanup_(finding_done) struct finding f = {0};

	*ret = (struct opened){.dir = dir, .notes = json_array(), .orphans = json_array()};
	ret->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->dirfd < 0)
		return bg_err_sys(err, BG_ERR_STATE, errno, "open %s", dir);
	make_folders(ret);
	return find(ret, &f, err);
}
