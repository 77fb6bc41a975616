/* SPDX-License-Identifier: ISC */
#include "daemon/api/api_util.h"

#include <time.h>

#include "common/timefmt.h"
#include "daemon/engine.h"
#include "daemon/vm/usage.h"

static bool listed(const char *key, const char *const *fields)
{
	for (; *fields; fields++)
		if (bg_streq(*fields, key))
			return true;
	return false;
}

int api_only_fields(const json_t *body, const char *const *fields, struct bg_err **err)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)body, key, value)
		if (!listed(key, fields))
			return bg_err_set(
				err, BG_ERR_BAD_REQUEST, EINVAL, "unknown field \"%s\"", key);
	return 0;
}

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

	return json_pack("{s:s, s:o}", "at", bg_time_print(time(NULL), text), "vms",
		usage_of_all(engine));
}

bool api_is_on(const char *word)
{
	return bg_streq(word, "1") || bg_streq(word, "true");
}

int api_query_int(const struct http_call *call, const char *name, int64_t min, int64_t max,
	int64_t *ret, struct bg_err **err)
{
	const char *text = http_call_query(call, name);
	char *end = NULL;
	long long n;

	if (!text)
		return 0;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (strspn(text, "0123456789") != strlen(text) || !*text || errno || n < min || n > max)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"%s is not a whole number from %lld to %lld", name, (long long)min,
			(long long)max);
	*ret = n;
	return 0;
}
