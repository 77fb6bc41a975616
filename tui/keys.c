/* SPDX-License-Identifier: ISC */
/* keys.c: The rows of keys.def. */
#include "tui/keys.h"

#include <stdio.h>

const struct act_row act_rows[ACT_MAX_] = {
#define X(act, key_, key2_, views_, need_, asks_, rank_, word_, help_)                             \
	[ACT_##act] = {.key = key_,                                                                \
		.key2 = key2_,                                                                     \
		.views = views_,                                                                   \
		.need = need_,                                                                     \
		.asks = asks_,                                                                     \
		.rank = rank_,                                                                     \
		.name = #act,                                                                      \
		.word = word_,                                                                     \
		.help = help_},
#include "tui/keys.def"
#undef X
};

enum act act_of_key(int key, int where)
{
	for (int i = ACT_NONE + 1; i < ACT_MAX_; i++) {
		const struct act_row *row = &act_rows[i];

		if ((row->views & where) && key && (row->key == key || row->key2 == key))
			return (enum act)i;
	}
	return ACT_NONE;
}

const char *key_label(int key, char out[KEY_NAME])
{
	static const struct {
		int key;
		const char *name;
	} names[] = {{KEY_TAB_, "Tab"}, {KEY_ENTER_, "Enter"}, {KEY_ESCAPE_, "Esc"},
		{KEY_UP_, "Up"}, {KEY_DOWN_, "Down"}, {KEY_LEFT_, "Left"}, {KEY_RIGHT_, "Right"},
		{KEY_HOME_, "Home"}, {KEY_END_, "End"}, {KEY_PAGE_UP_, "PgUp"},
		{KEY_PAGE_DOWN_, "PgDn"}, {KEY_DELETE_, "Delete"}, {KEY_BACK_TAB_, "S-Tab"},
		{KEY_F1_, "F1"}, {' ', "Space"}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].key == key) {
			snprintf(out, KEY_NAME, "%s", names[i].name);
			return out;
		}
	if (key < 0x20)
		snprintf(out, KEY_NAME, "^%c", key + '@');
	else
		snprintf(out, KEY_NAME, "%c", key);
	return out;
}
