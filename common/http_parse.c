/* SPDX-License-Identifier: ISC */
/*
 * http_parse.c: A head is read line by line, a body is copied as it comes; what follows a whole
 * answer is an error.
 */
#include "common/http_parse.h"

#include <strings.h>

#include "common/limits.h"

int bg_buf_append(struct bg_buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (buf->room - buf->len < len) {
		size_t room = BG_MAX(BG_MAX(buf->room * 2, buf->len + len), (size_t)4096);
		char *p = realloc(buf->data, room);

		if (!p)
			return -ENOMEM;
		buf->data = p;
		buf->room = room;
	}
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return 0;
}

void bg_buf_drop(struct bg_buf *buf, size_t len)
{
	if (len == 0)
		return;
	memmove(buf->data, buf->data + len, buf->len - len);
	buf->len -= len;
}

void bg_buf_done(struct bg_buf *buf)
{
	free(buf->data);
	*buf = (struct bg_buf){0};
}

void bg_http_parser_init(struct bg_http_parser *p)
{
	*p = (struct bg_http_parser){.state = BG_HTTP_STATUS};
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK"; the reason may be empty or missing. */
static int status_line(struct bg_http_parser *p, const char *s)
{
	if (strncmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ')
		return -EPROTO;
	s += 9;
	if (!digit(s[0]) || !digit(s[1]) || !digit(s[2]) || (s[3] != ' ' && s[3] != '\0'))
		return -EPROTO;
	p->status = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
	/* 101 ends the HTTP of a connection. Other interim answers are only for clients that asked
	 * for them. */
	if ((p->status < 200 && p->status != 101) || p->status > 599)
		return -EPROTO;
	p->state = BG_HTTP_HEADERS;
	return 0;
}

static int content_length(struct bg_http_parser *p, const char *v)
{
	uint64_t n = 0;

	if (p->sized || p->chunked || !digit(*v))
		return -EPROTO;
	for (; digit(*v); v++) {
		if (n > (UINT64_MAX >> 1) / 10)
			return -EPROTO;
		n = n * 10 + (uint64_t)(*v - '0');
	}
	if (*v)
		return -EPROTO;
	p->sized = true;
	p->left = n;
	return 0;
}

/* Returns the value of "Name: value" with its blanks trimmed, NULL when that is malformed. */
static char *split_header(char *line)
{
	char *colon = strchr(line, ':'), *v, *end;

	if (!colon || colon == line)
		return NULL;
	for (const char *c = line; c < colon; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return NULL;
	*colon = '\0';
	for (v = colon + 1; *v == ' ' || *v == '\t'; v++)
		;
	for (end = v + strlen(v); end > v && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = '\0';
	return v;
}

static int header_line(struct bg_http_parser *p, char *line)
{
	const char *v = split_header(line);

	if (!v)
		return -EPROTO;
	if (strcasecmp(line, "Content-Length") == 0)
		return content_length(p, v);
	if (strcasecmp(line, "Transfer-Encoding") == 0) {
		if (p->chunked || p->sized || strcasecmp(v, "chunked") != 0)
			return -EPROTO;
		p->chunked = true;
	}
	return 0;
}

static int head_ends(struct bg_http_parser *p)
{
	if (p->status == 204 || p->status == 304)
		p->state = BG_HTTP_DONE;
	else if (p->status == 101)
		p->state = BG_HTTP_UNTIL_EOF; /* what follows is not HTTP, and the caller's */
	else if (p->chunked)
		p->state = BG_HTTP_CHUNK_SIZE;
	else if (!p->sized)
		p->state = BG_HTTP_UNTIL_EOF;
	else
		p->state = p->left ? BG_HTTP_LENGTH : BG_HTTP_DONE;
	return 0;
}

static int hex(char c)
{
	if (digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int chunk_size(struct bg_http_parser *p, const char *s)
{
	uint64_t n = 0;
	int digits = 0;

	for (; hex(*s) >= 0; s++, digits++)
		n = n << 4 | (uint64_t)hex(*s);
	/* 12 digits are 2^48: more than any stream, less than an overflow. */
	if (digits == 0 || digits > 12 || (*s && *s != ';'))
		return -EPROTO;
	p->left = n;
	p->state = n ? BG_HTTP_CHUNK : BG_HTTP_TRAILERS;
	p->head = 0;
	return 0;
}

static int take_line(struct bg_http_parser *p, char *line)
{
	switch (p->state) {
	case BG_HTTP_STATUS:
		return status_line(p, line);
	case BG_HTTP_HEADERS:
		return *line ? header_line(p, line) : head_ends(p);
	case BG_HTTP_CHUNK_SIZE:
		return chunk_size(p, line);
	case BG_HTTP_CHUNK_END:
		p->state = BG_HTTP_CHUNK_SIZE;
		return *line ? -EPROTO : 0;
	case BG_HTTP_TRAILERS:
		if (*line)
			return split_header(line) ? 0 : -EPROTO;
		p->state = BG_HTTP_DONE;
		return 0;
	case BG_HTTP_LENGTH:
	case BG_HTTP_UNTIL_EOF:
	case BG_HTTP_CHUNK:
	case BG_HTTP_DONE:
	case BG_HTTP_BAD:
		break;
	}
	return -EPROTO;
}

/* Collects bytes up to CR LF. *used says how many were taken. */
static int feed_line(struct bg_http_parser *p, const char *data, size_t len, size_t *used)
{
	const char *nl = memchr(data, '\n', len);
	size_t take = nl ? (size_t)(nl - data) + 1 : len;
	int r;

	*used = take;
	p->head += take;
	if (p->head > BG_HTTP_HEADER_MAX)
		return -EMSGSIZE;
	r = bg_buf_append(&p->line, data, take);
	if (r < 0 || !nl)
		return r;
	if (p->line.len < 2 || p->line.data[p->line.len - 2] != '\r')
		return -EPROTO;
	p->line.data[p->line.len - 2] = '\0';
	if (strlen(p->line.data) != p->line.len - 2 || strchr(p->line.data, '\r'))
		return -EPROTO;
	p->line.len = 0;
	return take_line(p, p->line.data);
}

static int feed_body(
	struct bg_http_parser *p, const char *data, size_t len, size_t *used, struct bg_buf *body)
{
	size_t take = len;

	if (p->state != BG_HTTP_UNTIL_EOF) {
		take = (size_t)BG_MIN((uint64_t)len, p->left);
		p->left -= take;
	}
	*used = take;
	if (p->state != BG_HTTP_UNTIL_EOF && p->left == 0)
		p->state = p->state == BG_HTTP_CHUNK ? BG_HTTP_CHUNK_END : BG_HTTP_DONE;
	return bg_buf_append(body, data, take);
}

static bool in_body(enum bg_http_state state)
{
	return state == BG_HTTP_LENGTH || state == BG_HTTP_UNTIL_EOF || state == BG_HTTP_CHUNK;
}

int bg_http_parser_feed(struct bg_http_parser *p, const char *data, size_t len, struct bg_buf *body)
{
	size_t used = 0;
	int r = 0;

	for (; len > 0 && r >= 0; data += used, len -= used) {
		if (p->state == BG_HTTP_DONE || p->state == BG_HTTP_BAD)
			r = -EPROTO;
		else if (in_body(p->state))
			r = feed_body(p, data, len, &used, body);
		else
			r = feed_line(p, data, len, &used);
	}
	if (r < 0)
		p->state = BG_HTTP_BAD;
	return r;
}

int bg_http_parser_eof(struct bg_http_parser *p)
{
	if (p->state == BG_HTTP_UNTIL_EOF)
		p->state = BG_HTTP_DONE;
	return p->state == BG_HTTP_DONE ? 0 : -EPIPE;
}

bool bg_http_parser_has_head(const struct bg_http_parser *p)
{
	return p->state > BG_HTTP_HEADERS && p->state != BG_HTTP_BAD;
}

void bg_http_parser_done(struct bg_http_parser *p)
{
	bg_buf_done(&p->line);
}
