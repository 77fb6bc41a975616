/* SPDX-License-Identifier: ISC */
/* test_identity.c: Host keys that ssh-keygen reads, names and signs with. */
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "daemon/vm/identity.h"
#include "tests/lib/test.h"

static void write_file(const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	CHECK_INT(bg_write_file_at(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static char *keygen(const char *args)
{
	char cmd[512], *out = NULL;
	FILE *f;

	if (system("command -v ssh-keygen >/dev/null") != 0)
		test_skip("ssh-keygen is not installed");
	(void)snprintf(cmd, sizeof(cmd), "cd %s && ssh-keygen %s 2>&1", test_tmpdir(), args);
	f = popen(cmd, "re");
	CHECK(f);
	CHECK_INT(bg_read_fd(fileno(f), 65536, &out, NULL), 0);
	CHECK_INT(pclose(f), 0);
	out[strcspn(out, "\n")] = '\0';
	return out;
}

/* Every comment length has a padding of its own. */
TEST(ssh_keygen_reads_the_key)
{
	char comment[20] = "";

	for (size_t i = 0; i < 10; i++) {
		char *pem = NULL;
		_free_ char *line = NULL, *seen = NULL;

		CHECK_INT(identity_make_key(comment, &pem, &line, NULL), 0);
		write_file("key", pem);
		seen = keygen("-y -f key");
		CHECK_STR(seen, line);
		identity_free_pem(pem);
		comment[i] = (char)('a' + i);
	}
}

TEST(ssh_keygen_names_the_key)
{
	_free_ char *line = NULL, *by_private = NULL, *by_public = NULL;
	char *pem = NULL;

	CHECK_INT(identity_make_key("me@host", &pem, &line, NULL), 0);
	write_file("key", pem);
	write_file("key2.pub", line);
	by_private = keygen("-l -f key");
	by_public = keygen("-l -f key2.pub");
	CHECK_STR(by_private, by_public);
	CHECK(strncmp(by_private, "256 SHA256:", 11) == 0);
	CHECK(strstr(by_private, " me@host (ED25519)"));
	identity_free_pem(pem);
}

TEST(ssh_keygen_signs_with_it)
{
	_free_ char *line = NULL, *signature = NULL, *verdict = NULL;
	char *pem = NULL, allowed[512];

	CHECK_INT(identity_make_key("x", &pem, &line, NULL), 0);
	write_file("key", pem);
	write_file("text", "hello");
	(void)snprintf(allowed, sizeof(allowed), "x %s\n", line);
	write_file("allowed", allowed);
	signature = keygen("-q -Y sign -f key -n test text");
	verdict = keygen("-Y verify -f allowed -I x -n test -s text.sig < text");
	CHECK(strstr(verdict, "Good \"test\" signature for x"));
	identity_free_pem(pem);
}

TEST(keys_differ)
{
	_free_ char *a_line = NULL, *b_line = NULL;
	char *a = NULL, *b = NULL;

	CHECK_INT(identity_make_key("", &a, &a_line, NULL), 0);
	CHECK_INT(identity_make_key("", &b, &b_line, NULL), 0);
	CHECK(!bg_streq(a, b));
	CHECK(!bg_streq(a_line, b_line));
	identity_free_pem(a);
	identity_free_pem(b);
}

TEST(bad_comments)
{
	_err_ struct bg_err *err = NULL;
	char *pem = NULL, *line = NULL, comment[300];

	memset(comment, 'c', sizeof(comment) - 1);
	comment[sizeof(comment) - 1] = '\0';
	CHECK_INT(identity_make_key(comment, &pem, &line, &err), -EINVAL);
	CHECK_INT(identity_make_key("two\nlines", &pem, &line, NULL), -EINVAL);
	CHECK(!pem && !line);
}
