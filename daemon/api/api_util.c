/* SPDX-License-Identifier: ISC */
/* api_util.c: Getters of a request's query and body, and the answer 202 with an operation. */
#include "daemon/api/api_util.h"

#include <time.h>

#include "common/timefmt.h"
#include "daemon/engine.h"
#include "daemon/vm/usage.h"

void api_reply_op(struct http_call *call, struct op *op, struct bg_err *err)
{
	if (!op)
		http_reply_error(call, err);
	else
		http_reply(call, 202, json_pack("{s:o}", "operation", op_to_json(op)));
}

json_t *api_usage_list(struct engine *engine)
{
	char text[BG_TIME_TEXT];

	return json_pack(
		"{s:s, s:o}", "at", bg_time_print(time(NULL), text), "vms", usage_of_all(engine));
}

bool api_is_on(const char *word)
{
	return bg_streq(word, "1") || bg_streq(word, "true");
}

const char *api_str(const json_t *body, const char *key)
{
	return json_string_value(json_object_get(body, key));
}

int64_t api_int(const json_t *body, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(body, key);

	return value ? json_integer_value(value) : fallback;
}

bool api_bool(const json_t *body, const char *key, bool fallback)
{
	const json_t *value = json_object_get(body, key);

	return value ? json_is_true(value) : fallback;
}
