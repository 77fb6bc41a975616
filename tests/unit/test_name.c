/* SPDX-License-Identifier: ISC */
/* test_name.c: Names of VMs, images and kernels. */
#include "common/name.h"
#include "tests/lib/test.h"

TEST(valid_names)
{
	CHECK(bg_name_valid("a"));
	CHECK(bg_name_valid("dev-1"));
	CHECK(bg_name_valid("a--b"));
	CHECK(bg_name_valid("abcdefghijabcdefghijabcdefghijabcdefghij"));
}

TEST(invalid_names)
{
	static const char *const bad[] = {"", "-a", "1a", "a-", "A", "a_b", "a.b", "a/b", "../a",
		"a b", "a\n", "\xc3\xa9", "abcdefghijabcdefghijabcdefghijabcdefghijk"};

	CHECK(!bg_name_valid(NULL));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (bg_name_valid(bad[i]))
			test_fail(__FILE__, __LINE__, "\"%s\" was taken", bad[i]);
}

TEST(check_names_the_kind)
{
	_err_ struct bg_err *err = NULL, *image = NULL;

	CHECK_INT(bg_name_check("VM", "ok", &err), 0);
	CHECK_INT(bg_name_check("VM", "Not", &err), -EINVAL);
	CHECK_STR(err->message, "\"Not\" cannot be the name of a VM");
	CHECK_INT(err->code, BG_ERR_NAME_INVALID);
	CHECK_INT(bg_name_check("image", NULL, &image), -EINVAL);
	CHECK_STR(image->message, "\"\" cannot be the name of an image");
}

TEST(random_names_are_valid_and_differ)
{
	char first[BG_NAME_MAX + 1], next[BG_NAME_MAX + 1];
	bool differ = false;

	bg_name_random(first);
	for (int i = 0; i < 200; i++) {
		bg_name_random(next);
		CHECK(bg_name_valid(next));
		CHECK(strchr(next, '-'));
		differ |= !bg_streq(first, next);
	}
	CHECK(differ);
}
