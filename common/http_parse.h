/* SPDX-License-Identifier: ISC */
/*
 * http_parse.h: an incremental parser of one HTTP/1.1 response. It is fed bytes
 * as they come and appends the decoded body to a buffer; it does no I/O. Strict:
 * what RFC 9112 lets a client refuse is refused. Called by http_client.c and by
 * the fuzzer.
 */
#ifndef BG_COMMON_HTTP_PARSE_H
#define BG_COMMON_HTTP_PARSE_H

#include "common/base.h"

/* A growable byte buffer; data is not terminated. */
struct bg_buf {
	char *data;
	size_t len, room;
};

/* 0 or -ENOMEM. */
int bg_buf_append(struct bg_buf *buf, const void *data, size_t len);
/* Drops the first len bytes. */
void bg_buf_drop(struct bg_buf *buf, size_t len);
void bg_buf_done(struct bg_buf *buf);

enum bg_http_state {
	BG_HTTP_STATUS,	    /* waits for the status line */
	BG_HTTP_HEADERS,    /* after it, until the empty line */
	BG_HTTP_LENGTH,	    /* in a body of known length: left bytes to come */
	BG_HTTP_UNTIL_EOF,  /* in a body that ends with the connection */
	BG_HTTP_CHUNK_SIZE, /* before a chunk */
	BG_HTTP_CHUNK,	    /* in one: left bytes to come */
	BG_HTTP_CHUNK_END,  /* at the line end after it */
	BG_HTTP_TRAILERS,   /* after the last chunk */
	BG_HTTP_DONE,
	BG_HTTP_BAD /* a former call failed; nothing is taken any more */
};

struct bg_http_parser {
	enum bg_http_state state;
	int status;	     /* 101, 200 .. 599, once state is beyond BG_HTTP_HEADERS */
	bool chunked, sized; /* what the headers said so far */
	uint64_t left;
	struct bg_buf line; /* the unfinished line */
	size_t head;	    /* bytes of head (and trailers) so far, bounded */
};

void bg_http_parser_init(struct bg_http_parser *p);
/*
 * Takes all of data; body bytes are appended to body. -EPROTO for what is not a
 * response, also for bytes after its end; -EMSGSIZE when head or a line is too long; -ENOMEM.
 */
int bg_http_parser_feed(
	struct bg_http_parser *p, const char *data, size_t len, struct bg_buf *body);
/* The connection ended: 0 when that ends the response, -EPIPE when it was cut off. */
int bg_http_parser_eof(struct bg_http_parser *p);
/* The head is complete: status is known. */
bool bg_http_parser_has_head(const struct bg_http_parser *p);
void bg_http_parser_done(struct bg_http_parser *p);

#endif
