/* SPDX-License-Identifier: ISC */
#include "daemon/api/api_util.h"

#include "daemon/op/op.h"

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
