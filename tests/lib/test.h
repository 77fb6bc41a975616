/* SPDX-License-Identifier: ISC */
/*
 * test.h: the C test harness. A test file is a row of TEST() blocks and nothing
 * else: main() is in test.c, which runs each block in a process of its own
 * (a crash fails one test, not the file) and prints TAP.
 */
#ifndef BG_TESTS_LIB_TEST_H
#define BG_TESTS_LIB_TEST_H

#include <stdio.h>

#include "common/base.h"

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

void test_register(struct test *t);
/* Ends the running test as failed, or as skipped for the reason given. */
_noreturn_ void test_fail(const char *file, int line, const char *fmt, ...) _printf_(3, 4);
_noreturn_ void test_skip(const char *fmt, ...) _printf_(1, 2);
/* A fresh directory that goes away with the test. */
const char *test_tmpdir(void);
/* Absolute path of the source tree (BANGER_SOURCE) and of the build tree (BANGER_BUILD). */
const char *test_source_dir(void);
const char *test_build_dir(void);

#define TEST(id)                                                                                   \
	static void test_##id(void);                                                               \
	__attribute__((constructor)) static void test_register_##id(void)                          \
	{                                                                                          \
		static struct test t = {#id, test_##id, NULL};                                     \
		test_register(&t);                                                                 \
	}                                                                                          \
	static void test_##id(void)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			test_fail(__FILE__, __LINE__, "%s", #cond);                                \
	} while (0)
#define CHECK_INT(a, b)                                                                            \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_)                                                                      \
			test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #a, a_, b_);         \
	} while (0)
#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *a_ = (a), *b_ = (b);                                                   \
		if (!bg_streq(a_, b_))                                                             \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a,              \
				a_ ? a_ : "(null)", b_ ? b_ : "(null)");                           \
	} while (0)

#endif
