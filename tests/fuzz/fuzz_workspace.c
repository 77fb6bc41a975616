/* SPDX-License-Identifier: ISC */
/* What a guest tells of its copy of a checkout: the manifest kept there, and the states of files. */
#include <assert.h>

#include "cli/workspace.h"

enum { STATES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A manifest that is taken is printed and taken again as the same. */
static void manifest(const uint8_t *data, size_t size)
{
	struct ws_manifest m, again;
	size_t len = 0, len2 = 0;

	if (ws_manifest_parse((const char *)data, size, &m) >= 0 && m.there) {
		_free_ char *text = ws_manifest_print(&m, &len), *same = NULL;

		assert(ws_manifest_parse(text, len, &again) == 0);
		same = ws_manifest_print(&again, &len2);
		assert(len == len2 && memcmp(text, same, len) == 0);
		for (size_t i = 0; i < m.list.count; i++)
			assert(m.list.files[i].path[0] != '/' && ws_list_find(&m.list, m.list.files[i].path));
		ws_manifest_done(&again);
	}
	ws_manifest_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = strndup((const char *)data, size), *quoted = ws_quote(text);
	struct ws_state states[STATES];

	for (const char *c = quoted; *c; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7f);
	if (ws_states_parse(text, STATES, states) >= 0)
		for (size_t i = 0; i < STATES; i++)
			assert(strchr("fldo-", states[i].type) && strlen(states[i].hash) <= 64);
	manifest(data, size);
	return 0;
}
