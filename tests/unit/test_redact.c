/* SPDX-License-Identifier: ISC */
/* No user and no password of a URL gets into an error or a log. */
#include "common/redact.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/err.h"
#include "common/fd.h"
#include "common/log.h"
#include "tests/lib/test.h"

static void expect(const char *text, const char *want)
{
	_free_ char *got = bg_redact(strdup(text));

	CHECK_STR(got, want);
}

TEST(what_goes)
{
	expect("http://u:p@host/x", "http://***@host/x");
	expect("get https://token@host:8443/a?b=c failed",
		"get https://***@host:8443/a?b=c failed");
	expect("a://u:p@b c://x:y@d", "a://***@b c://***@d");
	expect("http://u:p@ss@host", "http://***@host");
	expect("http://u:p@", "http://***@");
	expect("http://user:pa/ss@host/x", "http://***@host/x");
	expect("http://user:pa?ss#@host/x", "http://***@host/x");
	expect("\"http://a:b@c\": http://a:b@c", "\"http://***@c\": http://***@c");
}

TEST(what_stays)
{
	static const char *const same[] = {"", "u:p@host", "http://host/x@y", "http://host:80/x@y",
		"registry://host:5000/name@sha256:00", "://", "file:///x@y", "http://[::1]/x"};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		expect(same[i], same[i]);
	CHECK(!bg_redact(NULL));
}

TEST(errors)
{
	_err_ struct bg_err *err = NULL;

	bg_err_sys(&err, BG_ERR_IO, EIO, "read %s", "http://u:secret@h/x");
	bg_err_context(&err, "catalog %s", "https://secret@h/c");
	bg_err_hint(&err, "try %s", "https://u:secret@h/c");
	CHECK_STR(err->message, "catalog https://***@h/c: read http://***@h/x: Input/output error");
	CHECK_STR(err->hint, "try https://***@h/c");
}

TEST(logs)
{
	char path[] = "/tmp/test-redact-XXXXXX";
	int fd = mkstemp(path);
	_free_ char *text = NULL;

	CHECK(fd >= 0);
	log_open(fd, LOG_INFO);
	log_msg(LOG_ERROR, "test", "fetch http://u:secret@h/x", "url", "http://u:secret@h/y", NULL);
	log_open(dup(STDERR_FILENO), LOG_INFO);
	CHECK_INT(bg_read_file_at(AT_FDCWD, path, 4096, &text, NULL), 0);
	CHECK(strstr(text, "http://***@h/x") && strstr(text, "http://***@h/y"));
	CHECK(!strstr(text, "secret"));
	unlink(path);
}
