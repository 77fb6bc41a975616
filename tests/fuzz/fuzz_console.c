/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a guest's console, whole and in pieces: what comes out is the same,
 * no longer than what went in, and its only escape sequences are colors.
 */
#include "common/console.h"
#include "tests/fuzz/fuzz.h"

static size_t clean(const char *text, size_t len, size_t piece, char *out)
{
	struct console c = {.state = CONSOLE_TEXT};
	size_t n = 0;

	for (size_t i = 0; i < len; i += piece)
		n += console_clean(&c, text + i, BG_MIN(piece, len - i), out + n);
	return n;
}

/* Aborts unless the escape sequence at s is a color; returns its length. */
static size_t color(const char *s, size_t len)
{
	size_t n = 2;

	if (len < 3 || s[1] != '[')
		abort();
	while (n < len && ((s[n] >= '0' && s[n] <= '9') || s[n] == ';'))
		n++;
	if (n == len || s[n] != 'm')
		abort();
	return n + 1;
}

static void check(const char *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)out[i];

		if (c == 0x1b)
			i += color(out + i, len - i) - 1;
		else if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\r' && c != '\t'))
			abort();
		else if (c == 0xc2 && (i + 1 == len || (unsigned char)out[i + 1] < 0xa0))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	_free_ char *whole = malloc(size + CONSOLE_HELD), *pieces = malloc(size + CONSOLE_HELD);
	size_t n;

	if (size < 2 || !whole || !pieces)
		return 0;
	n = clean(text, size - 1, size - 1, whole);
	if (n > size - 1)
		abort();
	check(whole, n);
	if (clean(text, size - 1, (size_t)data[0] % 16 + 1, pieces) != n ||
		memcmp(whole, pieces, n) != 0)
		abort();
	return 0;
}
