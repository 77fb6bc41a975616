/* SPDX-License-Identifier: ISC */
/* See agent_exec.h. */
#include "common/agent_exec.h"

#include <endian.h>

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static size_t measure(const char *const *list)
{
	size_t n = 0;

	for (; list && *list; list++)
		n += strlen(*list) + 1;
	return n;
}

static uint8_t *put(uint8_t *at, const char *text)
{
	return (uint8_t *)stpcpy((char *)at, text ? text : "") + 1;
}

static uint8_t *put_all(uint8_t *at, const char *const *list)
{
	for (; list && *list; list++)
		at = put(at, *list);
	return at;
}

int bg_exec_encode(const struct bg_exec *x, uint8_t **ret, size_t *ret_len)
{
	const char *user = x->user ? x->user : "", *workdir = x->workdir ? x->workdir : "";
	struct bg_agent_exec head = {
		.kind = htole16((uint16_t)x->kind),
		.flags = htole16((uint16_t)x->flags),
		.rows = htole16(x->rows),
		.cols = htole16(x->cols),
		.timeout_ms = htole32(x->timeout_ms),
		.argc = htole16((uint16_t)count(x->argv)),
		.envc = htole16((uint16_t)count(x->env)),
	};
	size_t len = sizeof(head) + strlen(user) + 1 + strlen(workdir) + 1 + measure(x->argv) +
		     measure(x->env);
	uint8_t *out, *at;

	if (len > BG_AGENT_PAYLOAD_MAX)
		return -E2BIG;
	out = malloc(len);
	if (!out)
		return -ENOMEM;
	memcpy(out, &head, sizeof(head));
	at = put(put(out + sizeof(head), user), workdir);
	put_all(put_all(at, x->argv), x->env);
	*ret = out;
	*ret_len = len;
	return 0;
}

/* The next string of the text that ends at end; NULL when there is none. */
static const char *next(const char **at, const char *end)
{
	const char *s = *at;
	const char *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

	if (nul)
		*at = nul + 1;
	return nul ? s : NULL;
}

static bool fill(const char **list, size_t n, const char **at, const char *end)
{
	for (size_t i = 0; i < n; i++) {
		list[i] = next(at, end);
		if (!list[i])
			return false;
	}
	list[n] = NULL;
	return true;
}

static int take_head(const struct bg_agent_exec *head, struct bg_exec *x)
{
	unsigned kind = le16toh(head->kind);

	x->flags = le16toh(head->flags);
	x->rows = le16toh(head->rows);
	x->cols = le16toh(head->cols);
	x->timeout_ms = le32toh(head->timeout_ms);
	if (kind >= BG_AGENT_K_MAX_ || x->flags & ~(unsigned)(BG_AGENT_X_TTY | BG_AGENT_X_WORDS))
		return -ENOSYS;
	x->kind = (enum bg_agent_kind)kind;
	return 0;
}

int bg_exec_decode(const uint8_t *payload, size_t len, struct bg_exec *ret, void **memory)
{
	struct bg_agent_exec head;
	struct bg_exec x = {0};
	_free_ void *owned = NULL;
	size_t argc, envc, pointers;
	const char **lists;
	const char *at, *end;
	int r;

	if (len < sizeof(head) || len > BG_AGENT_PAYLOAD_MAX)
		return -EINVAL;
	memcpy(&head, payload, sizeof(head));
	r = take_head(&head, &x);
	if (r < 0)
		return r;
	argc = le16toh(head.argc);
	envc = le16toh(head.envc);
	pointers = (argc + envc + 2) * sizeof(char *);
	owned = malloc(pointers + len);
	if (!owned)
		return -ENOMEM;
	lists = owned;
	memcpy((uint8_t *)owned + pointers, payload, len);
	at = (const char *)owned + pointers + sizeof(head);
	end = (const char *)owned + pointers + len;
	x.user = next(&at, end);
	x.workdir = next(&at, end);
	x.argv = lists;
	x.env = lists + argc + 1;
	if (!x.user || !x.workdir || !fill(lists, argc, &at, end) ||
		!fill(lists + argc + 1, envc, &at, end) || at != end)
		return -EINVAL;
	*ret = x;
	*memory = TAKE_PTR(owned);
	return 0;
}

int bg_words_add(struct bg_words *w, unsigned list, const void *p, size_t len)
{
	size_t all = w->len[BG_AGENT_W_ARGV] + w->len[BG_AGENT_W_ENV];
	char *grown;

	if (list >= BG_AGENT_W_LISTS)
		return -EINVAL;
	if (len > BG_AGENT_WORDS_MAX - all)
		return -E2BIG;
	grown = realloc(w->text[list], w->len[list] + len + 1);
	if (!grown)
		return -ENOMEM;
	if (len > 0)
		memcpy(grown + w->len[list], p, len);
	w->text[list] = grown;
	w->len[list] += len;
	return 0;
}

static size_t count_words(const struct bg_words *w, unsigned list)
{
	size_t n = 0;

	for (size_t i = 0; i < w->len[list]; i++)
		n += w->text[list][i] == '\0';
	return n;
}

static bool whole(const struct bg_words *w, unsigned list)
{
	return w->len[list] == 0 || w->text[list][w->len[list] - 1] == '\0';
}

static size_t put_words(const struct bg_words *w, unsigned list, const char **out)
{
	size_t n = 0;

	for (size_t at = 0; at < w->len[list]; at += strlen(w->text[list] + at) + 1)
		out[n++] = w->text[list] + at;
	return n;
}

static bool is_set(const char *const *list, size_t n, const char *text)
{
	size_t len = strcspn(text, "=") + 1;

	for (size_t i = 0; i < n; i++)
		if (strncmp(list[i], text, len) == 0)
			return true;
	return false;
}

int bg_words_join(const struct bg_words *w, struct bg_exec *x, void **memory)
{
	size_t argc = count_words(w, BG_AGENT_W_ARGV), envc = count_words(w, BG_AGENT_W_ENV), own;
	const char **lists, **env;

	if (!whole(w, BG_AGENT_W_ARGV) || !whole(w, BG_AGENT_W_ENV))
		return -EINVAL;
	lists = calloc(argc + envc + count(x->env) + 2, sizeof(*lists));
	if (!lists)
		return -ENOMEM;
	env = lists + argc + 1;
	(void)put_words(w, BG_AGENT_W_ARGV, lists);
	own = envc = put_words(w, BG_AGENT_W_ENV, env);
	for (const char *const *e = x->env; e && *e; e++)
		if (!is_set(env, own, *e))
			env[envc++] = *e;
	x->argv = lists;
	x->env = env;
	*memory = lists;
	return 0;
}

void bg_words_done(struct bg_words *w)
{
	for (unsigned i = 0; i < BG_AGENT_W_LISTS; i++)
		free(w->text[i]);
	*w = (struct bg_words){.len = {0}};
}
