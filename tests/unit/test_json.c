/* SPDX-License-Identifier: ISC */
/* test_json.c: Getters of JSON, and the error object there and back. */
#include "common/json.h"
#include "tests/lib/test.h"

static json_t *parse(const char *s)
{
	json_t *j = json_loads(s, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	CHECK(j);
	return j;
}

TEST(getters_tell_missing_from_wrong)
{
	_json_ json_t *o = parse("{\"s\":\"x\",\"i\":7,\"b\":true,\"n\":null,\"z\":\"a\\u0000b\"}");
	const char *s = NULL;
	int64_t i = -1;
	bool b = false;

	CHECK_INT(bg_json_get_str(o, "s", &s), 0);
	CHECK_STR(s, "x");
	CHECK_INT(bg_json_get_str(o, "i", &s), -EINVAL);
	CHECK_INT(bg_json_get_str(o, "n", &s), -ENOENT);
	CHECK_INT(bg_json_get_str(o, "z", &s), -EINVAL);
	CHECK_INT(bg_json_get_str(NULL, "s", &s), -ENOENT);
	CHECK_INT(bg_json_get_int(o, "i", 0, 7, &i), 0);
	CHECK_INT(i, 7);
	CHECK_INT(bg_json_get_int(o, "i", 0, 6, &i), -EINVAL);
	CHECK_INT(bg_json_get_int(o, "i", 8, 9, &i), -EINVAL);
	CHECK_INT(bg_json_get_bool(o, "b", &b), 0);
	CHECK(b);
	CHECK_INT(bg_json_get_bool(o, "i", &b), -EINVAL);
}

TEST(need_and_or_make_errors)
{
	_json_ json_t *o = parse("{\"i\":\"7\"}");
	_err_ struct bg_err *err = NULL;
	_err_ struct bg_err *err2 = NULL;
	int64_t i = 3;

	CHECK(bg_json_need_int(o, "size", BG_ERR_BAD_REQUEST, 1, 9, &i, &err) < 0);
	CHECK_STR(err->message, "\"size\" is missing");
	CHECK_INT(bg_json_or_int(o, "size", BG_ERR_BAD_REQUEST, 1, 9, &i, NULL), 0);
	CHECK_INT(i, 3);
	CHECK(bg_json_or_int(o, "i", BG_ERR_BAD_REQUEST, 1, 9, &i, &err2) < 0);
	CHECK_STR(err2->message, "\"i\" is not a whole number from 1 to 9");
}

TEST(error_goes_there_and_back)
{
	_err_ struct bg_err *a = NULL;
	_err_ struct bg_err *b = NULL;
	_json_ json_t *o = NULL;

	bg_err_sys(&a, BG_ERR_NO_SPACE, ENOSPC, "write \xff\"f\"");
	o = bg_err_to_json(a);
	CHECK(o);
	CHECK_INT(bg_err_from_json(o, &b), -ENOSPC);
	CHECK_INT(b->code, BG_ERR_NO_SPACE);
	CHECK_STR(b->message, "write ?\"f\": No space left on device");
	CHECK_STR(b->hint, a->hint);
}

TEST(malformed_error_object)
{
	_err_ struct bg_err *b = NULL;
	_json_ json_t *o = parse("[1]");

	CHECK(bg_err_from_json(o, &b) < 0);
	CHECK_INT(b->code, BG_ERR_INTERNAL);
}
