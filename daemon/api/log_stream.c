/* SPDX-License-Identifier: ISC */
/*
 * Sends in pieces, never more than the client takes: a ticker looks at what is queued and at what
 * the file has gained. One object per reply; it ends with its stream.
 */
#include "daemon/api/log_stream.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/logfile.h"

enum { PIECE = 64 * 1024, QUEUED_MAX = 256 * 1024, TICK_USEC = 50000, TAIL_MAX = 1024 * 1024 };

struct log_stream {
	struct http_stream *stream;
	struct loop_source *ticker;
	int fd; /* -1: nothing to read */
	bool follow;
};

static void log_stream_free(struct log_stream *s)
{
	loop_source_free(s->ticker);
	bg_close(s->fd);
	free(s);
}

static void on_gone(struct http_stream *stream, void *userdata)
{
	(void)stream;
	log_stream_free(userdata);
}

static void on_tick(void *userdata)
{
	struct log_stream *s = userdata;
	static char buf[PIECE];

	while (http_stream_pending(s->stream) < QUEUED_MAX) {
		ssize_t n;

		logfile_skip_hole(s->fd);
		n = s->fd >= 0 ? read(s->fd, buf, sizeof(buf)) : 0;

		if (n > 0) {
			http_stream_bytes(s->stream, buf, (size_t)n);
			continue;
		}
		if (!s->follow) {
			http_stream_end(s->stream);
			log_stream_free(s);
		}
		return;
	}
}

static void seek_to_tail(int fd, off_t first, unsigned long lines)
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

void log_stream_reply(struct loop *loop, struct http_call *call, const struct log_part *part,
	bool follow, const char *tail)
{
	struct log_stream *s = calloc(1, sizeof(*s));
	struct bg_err *err = NULL;
	char *end = NULL;
	unsigned long lines = tail ? strtoul(tail, &end, 10) : 0;

	if (!s || (tail && (*end || !*tail || lines == 0))) {
		bg_err_set(&err, BG_ERR_BAD_REQUEST, EINVAL, "tail is not a number of lines");
		http_reply_error(call, err);
		free(s);
		return;
	}
	s->fd = open(part->path, O_RDONLY | O_CLOEXEC);
	s->follow = follow;
	if (s->fd >= 0 && tail)
		seek_to_tail(s->fd, first_of(s->fd, part), lines);
	else if (s->fd >= 0)
		(void)lseek(s->fd, first_of(s->fd, part), SEEK_SET);
	s->stream = http_reply_stream(call, "text/plain", on_gone, s);
	if (!s->stream) { /* the call is ended, and on_gone does not come */
		log_stream_free(s);
		return;
	}
	(void)loop_add_ticker(loop, "log-stream", TICK_USEC, on_tick, s, &s->ticker);
	on_tick(s);
}
