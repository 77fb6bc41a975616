/* SPDX-License-Identifier: ISC */
/*
 * Sends in pieces, never more than the client takes: a ticker looks at what is queued and at what
 * the file has gained. One object per reply; it ends with its stream.
 */
#include "daemon/api/log_stream.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/api/log_match.h"
#include "daemon/logfile.h"

enum {
	PIECE = 64 * 1024,
	QUEUED_MAX = 256 * 1024,
	TICK_USEC = 50000,
	TAIL_MAX = 1024 * 1024,
	PIECES = 16 /* of a turn: a word that is nowhere must not hold the loop for a whole file */
};

struct log_stream {
	struct http_stream *stream;
	struct loop_source *ticker;
	struct log_match *match; /* NULL: all lines */
	int fd;			 /* -1: nothing to read */
	bool follow;
};

static void log_stream_free(struct log_stream *s)
{
	loop_source_free(s->ticker);
	bg_close(s->fd);
	log_match_free(s->match);
	free(s);
}

static void on_gone(struct http_stream *stream, void *userdata)
{
	(void)stream;
	log_stream_free(userdata);
}

static void send_line(const char *p, size_t n, void *userdata)
{
	struct log_stream *s = userdata;

	http_stream_bytes(s->stream, p, n);
}

static void end(struct log_stream *s)
{
	if (s->match)
		log_match_end(s->match, send_line, s);
	http_stream_end(s->stream);
	log_stream_free(s);
}

static void on_tick(void *userdata)
{
	struct log_stream *s = userdata;
	static char buf[PIECE];

	for (unsigned i = 0; i < PIECES && http_stream_pending(s->stream) < QUEUED_MAX; i++) {
		ssize_t n;

		logfile_skip_hole(s->fd);
		n = s->fd >= 0 ? read(s->fd, buf, sizeof(buf)) : 0;
		if (n > 0 && s->match) {
			log_match_feed(s->match, buf, (size_t)n, send_line, s);
		} else if (n > 0) {
			http_stream_bytes(s->stream, buf, (size_t)n);
		} else {
			if (!s->follow)
				end(s);
			return;
		}
	}
}

static void seek_to_tail(int fd, off_t first, int64_t lines)
{
	static char buf[TAIL_MAX];
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = BG_MAX(end > TAIL_MAX ? end - TAIL_MAX : 0, first);
	ssize_t n = end > from ? pread(fd, buf, (size_t)(end - from), from) : 0;

	while (n > 1 && (buf[n - 2] != '\n' || --lines > 0))
		n--;
	(void)lseek(fd, n > 1 ? from + n - 1 : from, SEEK_SET);
}

/* Where the part begins in the file as it is now. */
static off_t first_of(int fd, const struct log_part *part)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_size >= part->from ? (off_t)part->from : 0;
}

static int log_stream_new(const struct log_part *part, const struct log_ask *ask,
	struct log_stream **ret, struct bg_err **err)
{
	struct log_stream *s = calloc(1, sizeof(*s));

	if (!s || (ask->match && log_match_new(ask->match, &s->match) < 0)) {
		free(s);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	s->fd = open(part->path, O_RDONLY | O_CLOEXEC);
	s->follow = ask->follow;
	if (s->fd >= 0 && ask->tail)
		seek_to_tail(s->fd, first_of(s->fd, part), ask->tail);
	else if (s->fd >= 0)
		(void)lseek(s->fd, first_of(s->fd, part), SEEK_SET);
	*ret = s;
	return 0;
}

void log_stream_reply(struct loop *loop, struct http_call *call, const struct log_part *part,
	const struct log_ask *ask)
{
	struct log_stream *s = NULL;
	struct bg_err *err = NULL;

	if (log_stream_new(part, ask, &s, &err) < 0) {
		http_reply_error(call, err);
		return;
	}
	s->stream = http_reply_stream(call, "text/plain", on_gone, s);
	if (!s->stream) { /* the call is ended, and on_gone does not come */
		log_stream_free(s);
		return;
	}
	(void)loop_add_ticker(loop, "log-stream", TICK_USEC, on_tick, s, &s->ticker);
	on_tick(s);
}
