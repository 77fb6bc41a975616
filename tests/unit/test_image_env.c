/* SPDX-License-Identifier: ISC */
/* test_image_env.c: Which variables of a container image's environment are taken over. */
#include "common/image_env.h"

#include "common/json.h"
#include "common/limits.h"
#include "tests/lib/test.h"

static int take(const char *text, json_t **ret)
{
	_json_ json_t *list = json_loads(text, JSON_DECODE_ANY, NULL);

	return image_env_take(list, ret);
}

static void expect(const char *text, const char *kept)
{
	_json_ json_t *env = NULL;
	_free_ char *has = NULL;

	CHECK_INT(take(text, &env), 0);
	has = env ? json_dumps(env, JSON_COMPACT) : NULL;
	CHECK_STR(has ? has : "nothing", kept);
}

TEST(what_is_kept)
{
	expect("[\"PATH=/opt/bin\", \"A=\", \"B=x=y\", \"C=two\\nlines\"]",
		"[\"PATH=/opt/bin\",\"A=\",\"B=x=y\",\"C=two\\nlines\"]");
	expect("[\"HOME=/x\", \"USER=u\", \"LOGNAME=u\", \"SHELL=/x\", \"HOMEPAGE=1\"]",
		"[\"HOMEPAGE=1\"]");
	expect("[\"word\", \"=x\", \"\"]", "nothing");
	expect("[\"E=first\", \"EE=x\", \"E=second\", \"F=\", \"E=last\"]",
		"[\"E=last\",\"EE=x\",\"F=\"]");
	expect("[]", "nothing");
	expect("null", "nothing");
}

TEST(what_is_refused)
{
	static const char *const bad[] = {"{}", "\"A=1\"", "[1]", "[\"A=1\", null]", "7"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_json_ json_t *env = NULL;

		if (take(bad[i], &env) != -EINVAL || env)
			test_fail(__FILE__, __LINE__, "%s was taken", bad[i]);
	}
}

TEST(it_has_a_bound)
{
	char text[BG_IMAGE_ENV_MAX + 16] = "[\"A=";
	_json_ json_t *env = NULL, *more = NULL;

	memset(text + 4, 'x', BG_IMAGE_ENV_MAX - 3);
	strcpy(text + 4 + BG_IMAGE_ENV_MAX - 3, "\"]");
	CHECK_INT(take(text, &env), 0);
	CHECK(env);
	strcpy(text + 4 + BG_IMAGE_ENV_MAX - 3, "x\"]");
	CHECK_INT(take(text, &more), -E2BIG);
	CHECK(!more);
}
