/* SPDX-License-Identifier: ISC */
/* config_toml.c: A parser by hand, one function per construct; errors name the line. */
#include "host/config_toml.h"

#define KEY_MAX_BYTES 64

struct reader {
	const char *p, *end;
	unsigned line;
	const char *what;
};

static int fail(struct reader *r, const char *what)
{
	r->what = what;
	return -EINVAL;
}

/* '\0' at the end: a NUL in the text is refused where it stands. */
static char peek(const struct reader *r)
{
	return r->p < r->end ? *r->p : '\0';
}

static void skip_blank(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t')
		r->p++;
}

static bool bare_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static bool control_char(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* After a value or on a line of its own: blanks, a comment, the line's end. */
static int end_line(struct reader *r)
{
	skip_blank(r);
	if (peek(r) == '#')
		while (r->p < r->end && *r->p != '\n' && *r->p != '\r') {
			if (control_char(*r->p))
				return fail(r, "a control character in a comment");
			r->p++;
		}
	if (r->p == r->end)
		return 0;
	if (*r->p == '\r' && r->p + 1 < r->end && r->p[1] == '\n')
		r->p++;
	if (*r->p != '\n')
		return fail(r, "more than one value on a line");
	r->p++;
	r->line++;
	return 0;
}

static int read_key(struct reader *r, char key[KEY_MAX_BYTES])
{
	size_t n = 0;

	if (peek(r) == '[')
		return fail(r, "tables ([section]) are not used here: every key stands at the top");
	if (peek(r) == '"' || peek(r) == '\'')
		return fail(r, "keys are written without quotes here");
	for (; bare_key_char(peek(r)); r->p++) {
		if (n == KEY_MAX_BYTES - 1)
			return fail(r, "the key is too long");
		key[n++] = *r->p;
	}
	key[n] = '\0';
	if (n == 0)
		return fail(r, "a key was expected: key = value");
	skip_blank(r);
	if (peek(r) == '.')
		return fail(r, "dotted keys are not used here");
	if (peek(r) != '=')
		return fail(r, "\"=\" was expected after the key");
	r->p++;
	skip_blank(r);
	return 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \uXXXX, \UXXXXXXXX */
static int read_unicode(struct reader *r, unsigned digits, char **out)
{
	uint32_t c = 0;

	for (unsigned i = 0; i < digits; i++, r->p++) {
		int d = hex_digit(peek(r));

		if (d < 0)
			return fail(r, "a bad \\u escape in a string");
		c = c << 4 | (uint32_t)d;
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return fail(r, "a \\u escape that is not a character");
	*out += put_utf8(*out, c);
	return 0;
}

static int read_escape(struct reader *r, char **out)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	char c = peek(r);
	const char *at = c ? strchr(from, c) : NULL;

	if (r->p < r->end)
		r->p++;
	if (at) {
		*(*out)++ = to[at - from];
		return 0;
	}
	if (c == 'u' || c == 'U')
		return read_unicode(r, c == 'u' ? 4 : 8, out);
	return fail(r, "an unknown escape in a string");
}

/* No escape makes the text longer than it is written, so its length is room enough. */
static int read_string(struct reader *r, struct toml_value *v)
{
	char quote = *r->p, *out;
	int e;

	if (r->end - r->p >= 3 && r->p[1] == quote && r->p[2] == quote)
		return fail(r, "multi-line strings are not used here");
	r->p++;
	v->type = TOML_STRING;
	v->string = out = malloc((size_t)(r->end - r->p) + 1);
	if (!out)
		return -ENOMEM;
	while (peek(r) != quote) {
		char c = peek(r);

		if (r->p == r->end || c == '\n' || c == '\r')
			return fail(r, "a string has no end on its line");
		if (control_char(c))
			return fail(r, "a control character in a string");
		r->p++;
		if (c == '\\' && quote == '"') {
			e = read_escape(r, &out);
			if (e < 0)
				return e;
		} else {
			*out++ = c;
		}
	}
	r->p++;
	*out = '\0';
	return 0;
}

static int read_integer(struct reader *r, struct toml_value *v)
{
	bool negative = peek(r) == '-';
	const char *start;
	int64_t n = 0;

	if (peek(r) == '-' || peek(r) == '+')
		r->p++;
	for (start = r->p; peek(r) >= '0' && peek(r) <= '9'; r->p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, peek(r) - '0', &n))
			return fail(r, "the number is too large");
	if (r->p == start)
		return fail(r, "a value was expected: \"text\", a whole number, true or false");
	if (bare_key_char(peek(r)) || peek(r) == '.' || peek(r) == ':')
		return fail(
			r, "only whole decimal numbers are used here; a size is written \"2G\"");
	if (*start == '0' && r->p - start > 1)
		return fail(r, "a number starts with 0");
	v->type = TOML_INTEGER;
	v->integer = negative ? -n : n;
	return 0;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	if (r->p + len < r->end && bare_key_char(r->p[len]))
		return false;
	r->p += len;
	return true;
}

static int read_value(struct reader *r, struct toml_value *v)
{
	char c = peek(r);

	if (c == '"' || c == '\'')
		return read_string(r, v);
	if (c == '[' || c == '{')
		return fail(r, "lists and tables are not used here");
	v->type = TOML_BOOLEAN;
	v->boolean = c == 't';
	if (take_word(r, "true") || take_word(r, "false"))
		return 0;
	return read_integer(r, v);
}

static int read_line(struct reader *r, toml_fn fn, void *userdata)
{
	char key[KEY_MAX_BYTES];
	struct toml_value v = {0};
	unsigned line = r->line;
	int e = 0;

	skip_blank(r);
	if (r->p < r->end && !strchr("#\r\n", *r->p)) {
		e = read_key(r, key);
		if (e >= 0)
			e = read_value(r, &v);
		if (e >= 0)
			e = end_line(r);
		if (e >= 0)
			e = fn(key, &v, line, userdata);
		free(v.string);
		return e;
	}
	return end_line(r);
}

int toml_parse(const char *text, size_t len, toml_fn fn, void *userdata, struct toml_error *error)
{
	static const char mark[] = "\xef\xbb\xbf"; /* some editors begin a file with it */
	struct reader r = {text, text + len, 1, NULL};
	int e = 0;

	if (len >= 3 && memcmp(text, mark, 3) == 0)
		r.p += 3;

	while (r.p < r.end && e >= 0)
		e = read_line(&r, fn, userdata);
	error->line = r.line;
	error->what = r.what;
	return e;
}
