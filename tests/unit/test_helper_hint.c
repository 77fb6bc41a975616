/* SPDX-License-Identifier: ISC */
/* Hints name the helper's installer where it is. */
#include "common/helper_hint.h"

#include "tests/lib/test.h"

static void expect(const char *text, const char *package, const char *want)
{
	_free_ char *got = bg_helper_hint_in(strdup(text), "/usr/local/libexec/banger", package);

	CHECK_STR(got, want);
}

TEST(installed)
{
	expect("do `sudo scripts/install-helper` now", "",
		"do `sudo /usr/local/libexec/banger/install-helper` now");
	expect("`sudo scripts/install-helper --disk`", "",
		"`sudo /usr/local/libexec/banger/install-helper --disk`");
	expect("nothing of it", "", "nothing of it");
	CHECK(!bg_helper_hint_in(NULL, "", ""));
}

TEST(in_packages)
{
	expect("`sudo scripts/install-helper`", "x-helper", "`sudo apt install x-helper`");
	expect("`sudo scripts/install-helper --disk`!", "x-helper",
		"`sudo apt install x-helper-disk`!");
	expect("`sudo scripts/install-helper --names`", "x-helper",
		"`sudo /usr/local/libexec/banger/install-helper --names`");
}
