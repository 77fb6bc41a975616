/* SPDX-License-Identifier: ISC */
/*
 * What a guest tells of its copy of a checkout: the record kept there, and the states of files. The
 * token that a record must end with is added here, so that the bytes before it are looked at.
 */
#include <assert.h>
#include <stdio.h>

#include "cli/workspace.h"

enum { STATES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_paths(const struct ws_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		assert(list->files[i].path[0] != '/' && list->files[i].type != WS_GONE);
		assert(ws_list_find(list, list->files[i].path) == &list->files[i]);
	}
}

/* A record that is taken is printed and taken again as the same. */
static void print_again(struct ws_manifest *m)
{
	size_t len = 0, len2 = 0;
	_free_ char *text = ws_manifest_print(m, &len), *same = NULL;
	struct ws_manifest again;

	assert(ws_manifest_parse(text, len, &again) == 0 && !again.torn && again.len == len);
	same = ws_manifest_print(&again, &len2);
	assert(len == len2 && memcmp(text, same, len) == 0);
	ws_manifest_done(&again);
}

/* From an empty one to this by what is added, and cut off: the empty one. */
static void add_to_nothing(struct ws_manifest *m)
{
	struct ws_manifest none = {.there = true, .mode = m->mode}, both, cut;
	size_t len = 0, more_len = 0;
	_free_ char *text = NULL, *more = NULL, *all = NULL;

	none.host = m->host;
	text = ws_manifest_print(&none, &len);
	assert(ws_manifest_extends(&none, m));
	more = ws_manifest_print_changes(&none, m, &more_len);
	all = malloc(len + more_len);
	memcpy(all, text, len);
	memcpy(all + len, more, more_len);
	assert(ws_manifest_parse(all, len + more_len, &both) == 0 && !both.torn);
	assert(both.list.count == m->list.count && bg_streq(both.token, m->token));
	assert(ws_git_equal(&both.git, &m->git) && bg_streq(both.shallow, m->shallow));
	check_paths(&both.list);
	assert(ws_manifest_parse(all, len + more_len - 1, &cut) == 0 && cut.torn);
	assert(cut.list.count == 0 && bg_streq(cut.token, none.token));
	ws_manifest_done(&both);
	ws_manifest_done(&cut);
}

static void record(const uint8_t *data, size_t size)
{
	_free_ char *text = malloc(size + 80);
	char token[BG_SHA256_HEX];
	struct ws_manifest m;
	size_t len = size;

	memcpy(text, data, size);
	bg_sha256_hex(data, size, token);
	len += (size_t)sprintf(text + size, "token %s", token) + 1;
	if (ws_manifest_parse(text, len, &m) >= 0) {
		check_paths(&m.list);
		print_again(&m);
		add_to_nothing(&m);
	}
	ws_manifest_done(&m);
	/* as it is: mostly torn */
	if (ws_manifest_parse((const char *)data, size, &m) >= 0)
		check_paths(&m.list);
	ws_manifest_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = strndup((const char *)data, size), *quoted = ws_quote(text);
	struct bg_copy_state states[STATES];
	const char *at = text;

	for (const char *c = quoted; *c; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7f);
	if (ws_states_parse(&at, STATES, states) >= 0)
		for (size_t i = 0; i < STATES; i++)
			assert(strchr(BG_COPY_TYPES, states[i].type) &&
				strlen(states[i].hash) <= 64);
	record(data, size);
	return 0;
}
