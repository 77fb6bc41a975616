/* SPDX-License-Identifier: ISC */
/* test_sha256.c: SHA-256 against FIPS 180-4's examples. */
#include "common/sha256.h"

#include "tests/lib/test.h"

static const char *of(const char *text)
{
	static char hex[BG_SHA256_HEX];

	return bg_sha256_hex(text, strlen(text), hex);
}

/* FIPS 180-4's own examples. */
TEST(known_answers)
{
	CHECK_STR(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK_STR(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	CHECK_STR(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(a_million)
{
	struct bg_sha256 h;
	char a[1000], hex[BG_SHA256_HEX];

	memset(a, 'a', sizeof(a));
	bg_sha256_init(&h);
	for (int i = 0; i < 1000; i++)
		bg_sha256_add(&h, a, sizeof(a));
	CHECK_STR(bg_sha256_end(&h, hex),
		"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(any_split_gives_the_same)
{
	char text[200], whole[BG_SHA256_HEX], split[BG_SHA256_HEX];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	for (size_t len = 0; len <= sizeof(text); len++) {
		bg_sha256_hex(text, len, whole);
		for (size_t at = 0; at <= len; at += 13) {
			struct bg_sha256 h;

			bg_sha256_init(&h);
			bg_sha256_add(&h, text, at);
			bg_sha256_add(&h, text + at, len - at);
			CHECK_STR(bg_sha256_end(&h, split), whole);
		}
	}
}
