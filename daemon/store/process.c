/* SPDX-License-Identifier: ISC */
/* See process.h. */
#include "daemon/store/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "daemon/store/batch.h"
#include "daemon/store/reserve.h"
#include "daemon/store/seal.h"

enum {
	LAZY_MS = 200,	/* what nobody waits for may wait so long */
	IDLE_MS = 1000, /* then the log is copied and records are caught up */
	TRY_AGAIN_MS = 10000,
	LOG_PAGES_MAX = 200,
	/* of text in one message; JSON makes it six times as long at worst */
	ROWS_BYTES = 16 * 1024,
	LOCK_TRIES = 150, /* of 100 ms: the last daemon's store may be writing still */
};

struct process {
	int sock;
	struct opened o;
	struct batch batch;
	bool more;	  /* the last message is not the last of its transaction */
	bool ended;	  /* the engine is gone */
	uint64_t lazy_ms; /* when the oldest that nobody waits for came; 0: none */
	size_t n_notes;	  /* told already */
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- start ---- */

/* Held by us alone until we end, whoever is killed before. SQLite's own lock cannot tell ours from a foreign one. */
static int lock(const char *dir, struct bg_err **err)
{
	const struct timespec step = {.tv_nsec = 100000000};
	_free_ char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/store.lock", dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && (errno == ENOSPC || errno == EDQUOT))
		return 0; /* the daemon's own lock is enough */
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_STATE, errno, "open %s", path);
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) >= 0)
			return 0; /* open until the end */
		if (errno != EWOULDBLOCK)
			return bg_err_sys(err, BG_ERR_STATE, errno, "lock %s", path);
		(void)nanosleep(&step, NULL);
	}
	return bg_err_set(err, BG_ERR_STATE, EBUSY,
		"%s is locked: the store of an earlier daemon still writes there", path);
}

static void tell_failed(int sock, const struct bg_err *err)
{
	const struct store_head head = {.verb = STORE_FAILED};
	_json_ json_t *body = bg_err_to_json(err);

	(void)store_send(sock, &head, body);
}

/* Rows from the first on, as many as one message takes; at least one. Returns how many, or -errno. */
static ssize_t tell_some(struct process *p, size_t first)
{
	const struct store_head head = {.verb = STORE_ROWS};
	_json_ json_t *body = json_array();
	size_t i, len = 0;
	int r = body ? 0 : -ENOMEM;

	for (i = first; i < p->o.rows.n && r >= 0; i++) {
		const struct stored *row = p->o.rows.row[i];

		len += strlen(row->text);
		if (i > first && len > ROWS_BYTES)
			break;
		if (json_array_append_new(body, json_string(store_table(row->table)->name)) < 0 ||
			json_array_append_new(body, json_string(row->text)) < 0)
			r = -ENOMEM;
	}
	if (r >= 0)
		r = store_send(p->sock, &head, body);
	return r < 0 ? r : (ssize_t)(i - first);
}

static int tell_rows(struct process *p)
{
	ssize_t n = 0;

	for (size_t i = 0; i < p->o.rows.n && n >= 0; i += (size_t)BG_MAX(n, 0))
		n = tell_some(p, i);
	return n < 0 ? (int)n : 0;
}

static int tell_opened(struct process *p)
{
	const struct store_head head = {.verb = STORE_OPENED};
	_free_ char *file = store_file(p->o.dir, p->o.generation);
	_json_ json_t *body = json_pack(
		"{s:O, s:O, s:s?}", "notes", p->o.notes, "orphans", p->o.orphans, "file", file);

	p->n_notes = json_array_size(p->o.notes);
	return body ? store_send(p->sock, &head, body) : -ENOMEM;
}

/* ---- messages ---- */

/* Two datagrams of one transaction are one message. */
static int join(struct batch *b, json_t *body)
{
	json_t *rows = json_object_get(b->message[b->n - 1].body, "rows");
	int r = json_array_extend(rows, json_object_get(body, "rows"));

	json_decref(body);
	return r < 0 ? -ENOMEM : 0;
}

static int take(struct process *p, const struct store_head *head, json_t *body)
{
	bool joined = p->more;
	int r;

	if (head->verb != STORE_COMMIT || !json_is_object(body)) {
		json_decref(body);
		return -EBADMSG;
	}
	r = joined ? join(&p->batch, body)
		   : batch_add(&p->batch, head->seq, head->flags & STORE_WAITS, body);
	p->more = head->flags & STORE_MORE;
	if (!p->lazy_ms)
		p->lazy_ms = now_ms();
	return r;
}

static void receive(struct process *p)
{
	int r = 0;

	while (r >= 0) {
		struct store_head head;
		json_t *body;

		r = store_recv(p->sock, &head, &body);
		if (r >= 0)
			r = take(p, &head, body);
	}
	p->ended = p->ended || r != -EAGAIN;
}

static json_t *new_notes(struct process *p)
{
	json_t *list = json_array();

	for (; p->n_notes < json_array_size(p->o.notes); p->n_notes++)
		json_array_append(list, json_array_get(p->o.notes, p->n_notes));
	return list;
}

static void answer(struct process *p, const struct message *m)
{
	const struct store_head head = {.verb = STORE_DONE, .seq = m->seq};
	_json_ json_t *body = json_pack("{s:o, s:b, s:s, s:o}", "error",
		m->err ? bg_err_to_json(m->err) : json_null(), "again", m->again, "mode",
		p->batch.mode, "notes", new_notes(p));

	/* Without a body it would be a success: rather none, and the engine starts the next one. */
	if (!body || store_send(p->sock, &head, body) < 0)
		p->ended = true;
}

static void commit(struct process *p)
{
	if (p->batch.n == 0)
		return;
	batch_run(&p->batch);
	for (size_t i = 0; i < p->batch.n; i++)
		answer(p, &p->batch.message[i]);
	batch_clear(&p->batch);
	p->lazy_ms = 0;
}

static bool somebody_waits(const struct process *p)
{
	for (size_t i = 0; i < p->batch.n; i++)
		if (p->batch.message[i].waits)
			return true;
	return false;
}

static bool is_due(const struct process *p)
{
	if (p->batch.n == 0)
		return false;
	return p->ended || (!p->more && (somebody_waits(p) || now_ms() - p->lazy_ms >= LAZY_MS));
}

/* ---- idle moments ---- */

static void checkpoint(struct process *p)
{
	_err_ struct bg_err *err = NULL;
	int r;

	if (p->batch.doubtful || ledger_log_pages(p->o.ledger) == 0)
		return;
	r = ledger_checkpoint(p->o.ledger, &err);
	if (r >= 0 || r == -ENOSPC)
		return;
	log_err(LOG_ERROR, "store", "checkpoint", err);
	p->batch.doubtful = true; /* the next batch goes on in a new generation */
}

/* How long to sleep when nothing comes. */
static int idle(struct process *p)
{
	checkpoint(p);
	if (batch_catch_up(&p->batch))
		return 0;
	reserve_make(p->o.dirfd);
	return TRY_AGAIN_MS;
}

static int wait_ms(const struct process *p, int idle_ms)
{
	uint64_t age;

	if (p->batch.n == 0)
		return idle_ms;
	age = now_ms() - p->lazy_ms;
	return age >= LAZY_MS ? 0 : LAZY_MS - (int)age;
}

static void serve(struct process *p)
{
	int idle_ms = IDLE_MS;

	while (!p->ended) {
		struct pollfd pfd = {.fd = p->sock, .events = POLLIN};
		int n = poll(&pfd, 1, wait_ms(p, idle_ms));

		if (n > 0)
			receive(p);
		if (n == 0 && p->batch.n == 0)
			idle_ms = idle(p);
		if (!is_due(p))
			continue;
		commit(p);
		idle_ms = IDLE_MS;
		if (ledger_log_pages(p->o.ledger) >= LOG_PAGES_MAX)
			checkpoint(p);
	}
	if (p->more)
		batch_drop_last(&p->batch); /* the engine died in the middle of it */
	commit(p);
}

static int set_up(struct process *p, const char *dir, struct bg_err **err)
{
	int r = lock(dir, err);

	if (r >= 0)
		r = store_find(dir, &p->o, err);
	if (r < 0)
		return r;
	p->batch = (struct batch){.o = &p->o, .mode = "ok"};
	reserve_make(p->o.dirfd);
	return 0;
}

/* A terminal's Ctrl-C and a session's end are for the engine: we end when it has ended. */
static void ignore_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ, SIGQUIT};
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

_noreturn_ void store_process(int sock, const char *dir)
{
	struct process p = {.sock = sock, .o.dirfd = -1};
	_err_ struct bg_err *err = NULL;

	ignore_signals();
	store_seal(dir);
	if (set_up(&p, dir, &err) < 0) {
		tell_failed(sock, err);
		opened_done(&p.o);
		_exit(EXIT_FAILURE);
	}
	if (tell_rows(&p) >= 0 && tell_opened(&p) >= 0)
		serve(&p);
	batch_clear(&p.batch);
	opened_done(&p.o);
	_exit(EXIT_SUCCESS);
}
