/* SPDX-License-Identifier: ISC */
/* test_err.c: The error object and its codes. */
#include "common/err.h"
#include "tests/lib/test.h"

TEST(set_returns_negative_errno)
{
	_err_ struct bg_err *err = NULL;

	CHECK_INT(
		bg_err_set(&err, BG_ERR_VM_NOT_FOUND, ENOENT, "no VM named \"%s\"", "a"), -ENOENT);
	CHECK_STR(err->message, "no VM named \"a\"");
	CHECK_STR(err->hint, "`banger vm list` shows what there is");
	CHECK_STR(bg_err_code_str(err->code), "vm.not_found");
	CHECK_INT(bg_err_code_exit(err->code), BG_EXIT_NOT_FOUND);
}

TEST(no_object_wanted)
{
	CHECK_INT(bg_err_set(NULL, BG_ERR_IO, EIO, "x"), -EIO);
	CHECK_INT(bg_err_set(NULL, BG_ERR_IO, 0, "x"), -EINVAL);
}

TEST(context_goes_before)
{
	_err_ struct bg_err *err = NULL;

	bg_err_sys(&err, BG_ERR_IO, ENOSPC, "write %s", "f");
	bg_err_context(&err, "create VM \"%s\"", "a");
	CHECK_STR(err->message, "create VM \"a\": write f: No space left on device");
}

TEST(every_code_is_unique_and_parses_back)
{
	for (int i = 0; i < BG_ERR_MAX_; i++)
		CHECK_INT(bg_err_code_parse(bg_err_code_str((enum bg_err_code)i)), i);
}
