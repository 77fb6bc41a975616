/* SPDX-License-Identifier: ISC */
/* test_size.c: Sizes as people write them and as they are printed. */
#include "common/size.h"
#include "tests/lib/test.h"

static uint64_t mib(const char *text)
{
	uint64_t v = 0;

	if (bg_size_parse_mib("--size", text, 1, 16 * 1024 * 1024, &v, NULL) < 0)
		return 0;
	return v;
}

TEST(parses_units)
{
	CHECK_INT(mib("512M"), 512);
	CHECK_INT(mib("512"), 512);
	CHECK_INT(mib("2G"), 2048);
	CHECK_INT(mib("2g"), 2048);
	CHECK_INT(mib("2GiB"), 2048);
	CHECK_INT(mib("2GB"), 2048);
	CHECK_INT(mib("1.5G"), 1536);
	CHECK_INT(mib("0.125G"), 128);
	CHECK_INT(mib("2048K"), 2);
	CHECK_INT(mib("1T"), 1024 * 1024);
	CHECK_INT(mib("1.3G"), 1331);
}

TEST(refuses_nonsense)
{
	static const char *const bad[] = {"", "G", "-1G", "1.G", ".5G", "1X", "1GX", "1 G",
		"1.2345G", "0x10", "1e3", "9999999999M", "99999999999999999999", "+1", "GB", "1i"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (mib(bad[i]) != 0)
			test_fail(__FILE__, __LINE__, "\"%s\" was taken", bad[i]);
}

TEST(bounds_are_named)
{
	_err_ struct bg_err *err = NULL, *high = NULL, *text = NULL;
	uint64_t v = 7;

	CHECK_INT(bg_size_parse_mib("--memory", "64M", 128, 1024, &v, &err), -ERANGE);
	CHECK_STR(err->message, "--memory: 64M is not between 128M and 1G");
	CHECK_INT(bg_size_parse_mib("--memory", "999999999T", 128, 1024, &v, &high), -ERANGE);
	CHECK_INT(bg_size_parse_mib("--memory", "much", 128, 1024, &v, &text), -EINVAL);
	CHECK_STR(text->message, "--memory: \"much\" is not a size");
	CHECK_STR(text->hint, "write it like 512M, 2G or 1.5G");
	CHECK_INT(text->code, BG_ERR_USAGE);
	CHECK_INT(v, 7);
}

TEST(exact_bounds_pass)
{
	uint64_t v = 0;

	CHECK_INT(bg_size_parse_mib("x", "128M", 128, 1024, &v, NULL), 0);
	CHECK_INT(bg_size_parse_mib("x", "1G", 128, 1024, &v, NULL), 0);
	CHECK_INT(v, 1024);
	CHECK_INT(bg_size_parse_mib("x", "1025M", 128, 1024, &v, NULL), -ERANGE);
}

TEST(prints_short)
{
	char s[BG_SIZE_TEXT];

	CHECK_STR(bg_size_print(0, s), "0B");
	CHECK_STR(bg_size_print(1023, s), "1023B");
	CHECK_STR(bg_size_print(1024, s), "1K");
	CHECK_STR(bg_size_print_mib(512, s), "512M");
	CHECK_STR(bg_size_print_mib(1536, s), "1.5G");
	CHECK_STR(bg_size_print_mib(8192, s), "8G");
	CHECK_STR(bg_size_print(UINT64_MAX, s), "15.9E");
	CHECK_STR(bg_size_print(123ULL * GIB + GIB / 2, s), "123G");
}
