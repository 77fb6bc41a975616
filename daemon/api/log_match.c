/* SPDX-License-Identifier: ISC */
/* log_match.c: Keeps one line, or the part of a long one that fits. */
#include "daemon/api/log_match.h"

#include <strings.h>

struct log_match {
	char *word;
	size_t word_len, len;
	char text[LOG_LINE_MAX]; /* of a line whose end has not come */
};

int log_match_new(const char *word, struct log_match **ret)
{
	_unref_(log_match) struct log_match *match = calloc(1, sizeof(*match));

	if (!match)
		return -ENOMEM;
	match->word = strdup(word);
	if (!match->word)
		return -ENOMEM;
	match->word_len = strlen(word);
	*ret = TAKE_PTR(match);
	return 0;
}

void log_match_free(struct log_match *match)
{
	if (!match)
		return;
	free(match->word);
	free(match);
}

/* A console may have NUL bytes: they are as any other. */
static bool has_word(const struct log_match *match)
{
	for (size_t i = 0; i + match->word_len <= match->len; i++)
		if (strncasecmp(match->text + i, match->word, match->word_len) == 0)
			return true;
	return false;
}

void log_match_end(struct log_match *match, void (*line)(const char *p, size_t n, void *userdata),
	void *userdata)
{
	if (match->len > 0 && has_word(match))
		line(match->text, match->len, userdata);
	match->len = 0;
}

void log_match_feed(struct log_match *match, const char *p, size_t n,
	void (*line)(const char *p, size_t n, void *userdata), void *userdata)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t room = sizeof(match->text) - match->len;
		size_t take = BG_MIN(end ? (size_t)(end - p) + 1 : n, room);

		memcpy(match->text + match->len, p, take);
		match->len += take;
		p += take;
		n -= take;
		if (match->text[match->len - 1] == '\n' || match->len == sizeof(match->text))
			log_match_end(match, line, userdata);
	}
}
