/* SPDX-License-Identifier: ISC */
/*
 * The line is built in a fixed buffer, so that running out of memory can be logged too, and goes
 * out by one write(2): processes that share an O_APPEND file or a pipe never mix their lines. A line too
 * long for the buffer loses the end of its values, never its shape.
 */
#include "common/log.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/redact.h"

#define LINE_MAX_BYTES PIPE_BUF /* so much a pipe takes whole or not at all */
#define CUT	       "..."

static const char *const levels[] = {"error", "warn", "info", "debug"};
static_assert(ARRAY_SIZE(levels) == LOG_LEVEL_MAX_, "one word per level");

static int log_fd = STDERR_FILENO;
static enum log_level log_max = LOG_INFO;
static char *log_path;	  /* of a pipe: the file that its lines are for */
static unsigned log_lost; /* lines that the pipe had no room for, since the last one that says so */

struct line {
	char buf[LINE_MAX_BYTES];
	size_t len;
	bool cut;
};

const char *log_level_str(enum log_level level)
{
	assert((unsigned)level < ARRAY_SIZE(levels));
	return levels[level];
}

int log_level_parse(const char *word, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (bg_streq(word, levels[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

int log_descriptor(void)
{
	return log_fd;
}

static void send_to(int fd)
{
	if (log_fd > STDERR_FILENO && log_fd != fd)
		bg_close(log_fd);
	log_fd = fd;
}

void log_open(int fd, enum log_level level)
{
	send_to(fd);
	log_max = level;
	free(TAKE_PTR(log_path));
}

int log_open_pipe(int fd, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	send_to(fd);
	free(log_path);
	log_path = copy;
	return 0;
}

static bool is_file_of(int fd, const char *path, off_t *ret_size)
{
	struct stat ours, there;

	*ret_size = 0;
	if (fstat(fd, &ours) < 0)
		return true; /* nothing that could be done about it */
	*ret_size = ours.st_size;
	return stat(path, &there) >= 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

int log_bound_fd(int fd, const char *path, uint64_t max)
{
	_free_ char *old = NULL;
	_close_ int next = -1;
	off_t size;

	if (is_file_of(fd, path, &size)) {
		if ((uint64_t)size <= max)
			return 0;
		if (asprintf(&old, "%s.1", path) < 0) {
			old = NULL;
			return -ENOMEM;
		}
		if (rename(path, old) < 0)
			return -errno;
	}
	next = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	return next < 0 || dup3(next, fd, O_CLOEXEC) < 0 ? -errno : 0;
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

bool log_wanted(enum log_level level)
{
	return level <= log_max;
}

/* Room for the closing quote, the cut mark, brace and newline is always left. */
static bool put(struct line *line, const char *s, size_t len)
{
	if (line->cut || line->len + len > sizeof(line->buf) - 16) {
		line->cut = true;
		return false;
	}
	memcpy(line->buf + line->len, s, len);
	line->len += len;
	return true;
}

/* Bytes of the UTF-8 sequence at s, 0 when it is none (RFC 3629, table of section 4). */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80	 ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* One character of a JSON string; returns the bytes used up. */
static size_t put_char(struct line *line, const char *s)
{
	unsigned char c = (unsigned char)*s;
	size_t n = utf8_len((const unsigned char *)s);
	char esc[8];

	if (n == 0) {
		put(line, "?", 1);
		return 1;
	}
	if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
		put(line, s, n);
		return n;
	}
	if (c == '\n' || c == '\t' || c == '"' || c == '\\')
		snprintf(esc, sizeof(esc), "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : c);
	else
		snprintf(esc, sizeof(esc), "\\u%04x", c);
	put(line, esc, strlen(esc));
	return 1;
}

static void put_field(struct line *line, const char *name, const char *value)
{
	size_t start = line->len, secret;

	if (!value)
		return;
	if (!put(line, ",\"", 2) || !put(line, name, strlen(name)) || !put(line, "\":\"", 3)) {
		line->len = start; /* a field without its name would break the shape */
		return;
	}
	for (const char *p = value; *p && !line->cut;) {
		if (strncmp(p, "://", 3) == 0 && (secret = bg_userinfo_len(p + 3)) > 0) {
			put(line, "://" BG_REDACTED, strlen("://" BG_REDACTED));
			p += 3 + secret;
			continue;
		}
		p += put_char(line, p);
	}
	if (line->cut) {
		memcpy(line->buf + line->len, CUT, strlen(CUT));
		line->len += strlen(CUT);
	}
	line->buf[line->len++] = '"';
}

static void line_begin(
	struct line *line, enum log_level level, const char *source, const char *message)
{
	struct timespec now;
	struct tm tm;
	char head[64];

	line->len = 0;
	line->cut = false;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	put(line, "{\"time\":\"", 9);
	line->len += strftime(line->buf + line->len, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(head, sizeof(head), ".%03ldZ\"", now.tv_nsec / 1000000);
	put(line, head, strlen(head));
	put_field(line, "level", log_level_str(level));
	put_field(line, "source", source);
	put_field(line, "message", message);
}

static ssize_t put_line(const struct line *line)
{
	ssize_t n;

	do
		n = write(log_fd, line->buf, line->len);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Nobody reads the pipe, nor ever will: who did has ended, and who would start it again. From now on the file itself. */
static bool go_on_in_file(void)
{
	int fd = open(
		log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	if (fd < 0)
		return false;
	log_open(fd, log_max);
	return true;
}

static void line_close(struct line *line)
{
	line->buf[line->len++] = '}';
	line->buf[line->len++] = '\n';
}

/* In the place of those that there was no room for. */
static bool say_lost(void)
{
	struct line line;
	char n[16];

	if (log_lost == 0)
		return true;
	snprintf(n, sizeof(n), "%u", log_lost);
	line_begin(
		&line, LOG_WARN, "log", "lines are lost: they came faster than the disk took them");
	put_field(&line, "lines", n);
	line_close(&line);
	if (put_line(&line) < 0)
		return false;
	log_lost = 0;
	return true;
}

/* A log that cannot be written has nowhere to say so. */
static void line_end(struct line *line)
{
	line_close(line);
	if (say_lost() && put_line(line) >= 0)
		return;
	if (errno == EAGAIN)
		log_lost++;
	else if (errno == EPIPE && log_path && go_on_in_file())
		(void)put_line(line);
}

void log_msg(enum log_level level, const char *source, const char *message, ...)
{
	int saved = errno;
	struct line line;
	const char *name;
	va_list ap;

	if (!log_wanted(level))
		return;
	line_begin(&line, level, source, message);
	va_start(ap, message);
	while ((name = va_arg(ap, const char *)))
		put_field(&line, name, va_arg(ap, const char *));
	va_end(ap);
	line_end(&line);
	errno = saved;
}

void log_err(
	enum log_level level, const char *source, const char *message, const struct bg_err *err)
{
	log_msg(level, source, message, "code", err ? bg_err_code_str(err->code) : NULL, "error",
		err ? err->message : NULL, "hint", err ? err->hint : NULL, NULL);
}
