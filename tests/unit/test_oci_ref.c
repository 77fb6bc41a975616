/* SPDX-License-Identifier: ISC */
/* test_oci_ref.c: Names of container images as people write them. */
#include "common/oci_ref.h"
#include "tests/lib/test.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text, *whole, *host, *reference;
} good[] = {
	{"debian", "docker.io/library/debian:latest", "registry-1.docker.io", "latest"},
	{"debian:12", "docker.io/library/debian:12", "registry-1.docker.io", "12"},
	{"docker://debian", "docker.io/library/debian:latest", "registry-1.docker.io", "latest"},
	{"team/dev", "docker.io/team/dev:latest", "registry-1.docker.io", "latest"},
	{"docker.io/debian", "docker.io/library/debian:latest", "registry-1.docker.io", "latest"},
	{"index.docker.io/a/b:1", "docker.io/a/b:1", "registry-1.docker.io", "1"},
	{"localhost/x", "localhost/x:latest", "localhost", "latest"},
	{"localhost:5000/x/y/z:V1.2_a-b", "localhost:5000/x/y/z:V1.2_a-b", "localhost:5000",
		"V1.2_a-b"},
	{"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000", "latest"},
	{"quay.io/a/b-c__d.e_f---g", "quay.io/a/b-c__d.e_f---g:latest", "quay.io", "latest"},
	{"debian@sha256:" HEX64, "docker.io/library/debian@sha256:" HEX64, "registry-1.docker.io",
		"sha256:" HEX64},
	{"q.io/a:t@sha256:" HEX64, "q.io/a:t@sha256:" HEX64, "q.io", "sha256:" HEX64},
	{"UPPER/x", "UPPER/x:latest", "UPPER", "latest"},
};

TEST(what_people_write)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_unref_(oci_ref) struct oci_ref *ref = NULL;
		_free_ char *whole = NULL;

		CHECK_INT(oci_ref_parse(good[i].text, &ref, NULL), 0);
		whole = oci_ref_print(ref);
		CHECK_STR(whole, good[i].whole);
		CHECK_STR(ref->host, good[i].host);
		CHECK_STR(oci_ref_reference(ref), good[i].reference);
	}
}

TEST(what_is_no_image)
{
	static const char *const wrong[] = {"", "/", "/x", "x/", "Debian", "debian:", "debian:-x",
		"a//b", "a b", "a\nb", "a/../b", "a..b", "a___b", "-a", "a-", "debian@",
		"debian@sha256:12", "debian@sha512:" HEX64, "debian@sha256:" HEX64 "0", "q.io:0/x",
		"q.io:99999/x", "q.io:x/x", ".q.io/x", "[::1/x", "http://q.io/x", "user@q.io/x",
		"q.io/x?y", "q.io/x#y", "docker://", "q.io/\xc3\xa9"};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_unref_(oci_ref) struct oci_ref *ref = NULL;
		_err_ struct bg_err *err = NULL;

		if (oci_ref_parse(wrong[i], &ref, &err) >= 0)
			test_fail(__FILE__, __LINE__, "\"%s\" was taken", wrong[i]);
		CHECK_INT(err->code, BG_ERR_USAGE);
	}
}

TEST(long_names)
{
	char text[600];
	_unref_(oci_ref) struct oci_ref *ref = NULL;

	memset(text, 'a', sizeof(text));
	text[260] = '\0';
	CHECK_INT(oci_ref_parse(text, &ref, NULL), -EINVAL);
	memcpy(text, "a:", 2);
	text[2 + 129] = '\0';
	CHECK_INT(oci_ref_parse(text, &ref, NULL), -EINVAL);
	text[2 + 128] = '\0';
	CHECK_INT(oci_ref_parse(text, &ref, NULL), 0);
}

TEST(which_registry_is_here)
{
	static const struct {
		const char *text;
		bool here;
	} rows[] = {{"localhost/x", true}, {"localhost:5000/x", true}, {"127.0.0.1:5000/x", true},
		{"127.9.9.9/x", true}, {"[::1]:5000/x", true}, {"debian", false},
		{"localhost.evil.org/x", false}, {"127.0.0.1.evil.org/x", false},
		{"[::1:2]/x", false}, {"128.0.0.1/x", false}, {"127.1/x", false}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_unref_(oci_ref) struct oci_ref *ref = NULL;

		CHECK_INT(oci_ref_parse(rows[i].text, &ref, NULL), 0);
		if (oci_ref_is_loopback(ref) != rows[i].here)
			test_fail(__FILE__, __LINE__, "%s", rows[i].text);
	}
}
