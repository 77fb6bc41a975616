/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as an HTTP answer, fed at once and in pieces: both must come to the
 * same end, the body never exceeds what came in, and nothing is taken after an error.
 * The first byte is the size of the pieces.
 */
#include "common/http_parse.h"
#include "common/limits.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
	struct bg_http_parser parser;
	struct bg_buf body;
	int r, eof;
};

static void feed(struct outcome *o, const char *data, size_t len, size_t piece)
{
	*o = (struct outcome){.r = 0};
	bg_http_parser_init(&o->parser);
	for (size_t i = 0; i < len && o->r >= 0; i += piece)
		o->r = bg_http_parser_feed(&o->parser, data + i, BG_MIN(piece, len - i), &o->body);
	if (o->r < 0 && bg_http_parser_feed(&o->parser, "x", 1, &o->body) != -EPROTO)
		abort();
	o->eof = bg_http_parser_eof(&o->parser);
}

static void check(const struct outcome *o, size_t len)
{
	if (o->body.len > len || o->parser.line.len > BG_HTTP_HEADER_MAX)
		abort();
	if (o->r >= 0 && o->eof >= 0 && (o->parser.status < 200 || o->parser.status > 599))
		abort();
	if (o->r < 0 && (o->eof >= 0 || bg_http_parser_has_head(&o->parser)))
		abort();
}

static void same(const struct outcome *a, const struct outcome *b)
{
	if ((a->r < 0) != (b->r < 0) || a->eof != b->eof)
		abort();
	if (a->r < 0)
		return;
	if (a->parser.status != b->parser.status || a->body.len != b->body.len)
		abort();
	if (a->body.len && memcmp(a->body.data, b->body.data, a->body.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct outcome whole, pieces;

	if (size < 2)
		return 0;
	feed(&whole, text, size - 1, size - 1);
	feed(&pieces, text, size - 1, (size_t)data[0] % 64 + 1);
	check(&whole, size);
	check(&pieces, size);
	same(&whole, &pieces);
	bg_buf_done(&whole.body);
	bg_buf_done(&pieces.body);
	bg_http_parser_done(&whole.parser);
	bg_http_parser_done(&pieces.parser);
	return 0;
}
