/* SPDX-License-Identifier: ISC */
/* vm_record.c: Picks fields out of JSON; one that is missing is an empty text or a zero. */
#include "common/vm_record.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"

const json_t *bg_vm_failure(const json_t *vm)
{
	const json_t *error = NULL;
	const char *code = "";

	if (bg_json_get_obj(vm, "error", &error) < 0)
		return NULL;
	(void)bg_json_get_str(error, "code", &code);
	return bg_streq(code, bg_err_code_str(BG_ERR_VM_SESSION_ENDED)) ? NULL : error;
}

json_t *bg_guest_stats(char *text)
{
	json_t *record = json_object();
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[48];
		long long value;

		if (sscanf(line, "%47[a-z0-9_] %lld", name, &value) == 2)
			json_object_set_new(record, name, json_integer(value));
	}
	return record;
}
