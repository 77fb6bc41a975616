/* SPDX-License-Identifier: ISC */
/* See redact.h. */
#include "common/redact.h"

#include <ctype.h>

#include "common/base.h"

#define URL_ENDS " \t\r\n\"'<>`|\\"

/* The last '@' before end, and the byte behind it. */
static size_t behind_at(const char *s, size_t end)
{
	while (end > 0 && s[end - 1] != '@')
		end--;
	return end;
}

/* "host:5000/name@sha256:..." has a port where "user:pa/ss@host" has a password. */
static bool has_port(const char *s, size_t len)
{
	const char *colon = memchr(s, ':', len);
	size_t i;

	if (!colon)
		return true; /* a name alone: what follows is a path */
	for (i = (size_t)(colon - s) + 1; i < len && isdigit((unsigned char)s[i]);)
		i++;
	return i == len;
}

size_t bg_userinfo_len(const char *s)
{
	size_t authority = strcspn(s, "/?#" URL_ENDS);
	size_t len = behind_at(s, authority);

	/* A password with a '/' that was not escaped: the URL is wrong, and is what a message
	 * shows. */
	if (len == 0 && !has_port(s, authority))
		len = behind_at(s, strcspn(s, URL_ENDS));
	return len;
}

static size_t redacted_into(const char *text, char *out)
{
	size_t n = 0;

	while (*text) {
		size_t skip = 0, put = 1;

		if (strncmp(text, "://", 3) == 0) {
			put = 3;
			skip = bg_userinfo_len(text + 3);
		}
		if (out)
			memcpy(out + n, text, put);
		n += put;
		text += put + skip;
		if (skip && out)
			memcpy(out + n, BG_REDACTED, strlen(BG_REDACTED));
		n += skip ? strlen(BG_REDACTED) : 0;
	}
	if (out)
		out[n] = '\0';
	return n;
}

char *bg_redact(char *text)
{
	_free_ char *owned = text;
	char *out;

	if (!text || !strstr(text, "://"))
		return TAKE_PTR(owned);
	out = malloc(redacted_into(text, NULL) + 1);
	if (out)
		redacted_into(text, out);
	return out;
}
