/* SPDX-License-Identifier: ISC */
/* See text.h. */
#include "guest/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/agent_proto.h"

/* A text that grows line by line; failed sticks, so that it is checked once. */
struct text {
	char *s;
	size_t len, room;
	bool failed;
};

static void put(struct text *t, const char *p, size_t n)
{
	if (!t->failed && t->len + n + 1 > t->room) {
		size_t room = (t->len + n + 1) * 2;
		char *s = realloc(t->s, room);

		t->failed = !s;
		if (s) {
			t->s = s;
			t->room = room;
		}
	}
	if (t->failed)
		return;
	memcpy(t->s + t->len, p, n);
	t->len += n;
	t->s[t->len] = '\0';
}

static void put_line(struct text *t, const char *p, size_t n)
{
	put(t, p, n);
	put(t, "\n", 1);
}

static void put_fmt(struct text *t, const char *fmt, ...) _printf_(2, 3);
static void put_fmt(struct text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	put_line(t, line, strlen(line));
}

static char *done(struct text *t)
{
	put(t, "", 0);
	if (t->failed) {
		free(t->s);
		return NULL;
	}
	return t->s;
}

/* The line at *p without its end; *p moves behind it. False at the end of the text. */
static bool next_line(const char **p, const char **ret, size_t *ret_len)
{
	const char *end;

	if (!**p)
		return false;
	end = strchr(*p, '\n');
	*ret = *p;
	*ret_len = end ? (size_t)(end - *p) : strlen(*p);
	*p = end ? end + 1 : *p + *ret_len;
	return true;
}

static bool ends_with(const char *p, size_t n, const char *tail)
{
	size_t m = strlen(tail);

	return n >= m && memcmp(p + n - m, tail, m) == 0;
}

static bool is_line(const char *p, size_t n, const char *s)
{
	return n == strlen(s) && memcmp(p, s, n) == 0;
}

static bool has_localhost(const char *p, size_t n)
{
	return n > 0 && *p != '#' && memmem(p, n, "localhost", strlen("localhost"));
}

char *text_hosts(const char *old, const char *hostname, const char *addr)
{
	struct text t = {0};
	const char *line;
	bool local = false;
	size_t n;

	while (next_line(&old, &line, &n)) {
		if (ends_with(line, n, TEXT_MARK))
			continue;
		local |= has_localhost(line, n);
		put_line(&t, line, n);
	}
	if (!local) {
		put_fmt(&t, "127.0.0.1\tlocalhost " TEXT_MARK);
		put_fmt(&t, "::1\tlocalhost ip6-localhost ip6-loopback " TEXT_MARK);
	}
	put_fmt(&t, BG_AGENT_HOST_ADDRESS "\t" BG_AGENT_HOST_NAME " " TEXT_MARK);
	put_fmt(&t, "%s\t%s.vm %s " TEXT_MARK, addr ? addr : "127.0.1.1", hostname, hostname);
	return done(&t);
}

char *text_keys(const char *old, const char *keys)
{
	struct text t = {0};
	bool ours = false;
	const char *line;
	size_t n;

	while (next_line(&old, &line, &n)) {
		if (is_line(line, n, TEXT_BEGIN))
			ours = true;
		if (!ours)
			put_line(&t, line, n);
		if (is_line(line, n, TEXT_END))
			ours = false;
	}
	if (!*keys)
		return done(&t);
	put_fmt(&t, TEXT_BEGIN);
	while (next_line(&keys, &line, &n))
		put_line(&t, line, n);
	put_fmt(&t, TEXT_END);
	return done(&t);
}
