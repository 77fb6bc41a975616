/* SPDX-License-Identifier: ISC */
/* common/agent_exec.c and guest/users.c: a request's bytes, and who runs it. */
#include <endian.h>

#include "common/agent_exec.h"
#include "guest/users.h"
#include "tests/lib/test.h"

static const char *const argv[] = {"printf", "%s\n", "", NULL};
static const char *const env[] = {"A=1", "B=", NULL};

static void encode(const struct bg_exec *x, uint8_t **bytes, size_t *len)
{
	CHECK_INT(bg_exec_encode(x, bytes, len), 0);
}

TEST(what_is_encoded_comes_back)
{
	const struct bg_exec in = {.flags = BG_AGENT_X_TTY,
		.rows = 24,
		.cols = 80,
		.timeout_ms = 1500,
		.user = "me",
		.workdir = "/srv",
		.argv = argv,
		.env = env};
	_free_ uint8_t *bytes = NULL;
	_free_ void *memory = NULL;
	struct bg_exec out;
	size_t len = 0;

	encode(&in, &bytes, &len);
	CHECK_INT(bg_exec_decode(bytes, len, &out, &memory), 0);
	CHECK_INT(out.kind, BG_AGENT_K_RUN);
	CHECK_INT(out.flags, BG_AGENT_X_TTY);
	CHECK_INT(out.rows, 24);
	CHECK_INT(out.cols, 80);
	CHECK_INT(out.timeout_ms, 1500);
	CHECK_STR(out.user, "me");
	CHECK_STR(out.workdir, "/srv");
	for (size_t i = 0; i < 3; i++)
		CHECK_STR(out.argv[i], argv[i]);
	CHECK(!out.argv[3]);
	CHECK_STR(out.env[1], "B=");
	CHECK(!out.env[2]);
}

TEST(every_cut_is_malformed)
{
	const struct bg_exec in = {.argv = argv, .env = env};
	_free_ uint8_t *bytes = NULL;
	size_t len = 0;

	encode(&in, &bytes, &len);
	for (size_t n = 0; n < len; n++) {
		_free_ void *memory = NULL;
		struct bg_exec out;

		CHECK_INT(bg_exec_decode(bytes, n, &out, &memory), -EINVAL);
	}
}

TEST(what_follows_the_strings_is_malformed)
{
	const struct bg_exec in = {.argv = argv};
	_free_ uint8_t *bytes = NULL;
	_free_ void *memory = NULL;
	uint8_t longer[256];
	struct bg_exec out;
	size_t len = 0;

	encode(&in, &bytes, &len);
	memcpy(longer, bytes, len);
	longer[len] = '\0';
	CHECK_INT(bg_exec_decode(longer, len + 1, &out, &memory), -EINVAL);
}

TEST(kinds_and_flags_of_a_later_build)
{
	const struct bg_exec in = {.argv = argv};
	_free_ uint8_t *bytes = NULL;
	_free_ void *memory = NULL;
	struct bg_exec out;
	size_t len = 0;

	encode(&in, &bytes, &len);
	bytes[0] = BG_AGENT_K_MAX_;
	CHECK_INT(bg_exec_decode(bytes, len, &out, &memory), -ENOSYS);
	bytes[0] = 0;
	bytes[2] = 0x80;
	CHECK_INT(bg_exec_decode(bytes, len, &out, &memory), -ENOSYS);
}

TEST(too_much_for_a_frame)
{
	_free_ char *word = malloc(BG_AGENT_PAYLOAD_MAX);
	const char *const words[] = {word, NULL};
	const struct bg_exec in = {.argv = words};
	uint8_t *bytes = NULL;
	size_t len = 0;

	memset(word, 'x', BG_AGENT_PAYLOAD_MAX - 1);
	word[BG_AGENT_PAYLOAD_MAX - 1] = '\0';
	CHECK_INT(bg_exec_encode(&in, &bytes, &len), -E2BIG);
}

static void add_words(struct bg_words *w, unsigned list, const char *bytes, size_t len)
{
	/* a frame may end anywhere */
	for (size_t i = 0; i < len; i++)
		CHECK_INT(bg_words_add(w, list, bytes + i, 1), 0);
}

TEST(words_in_frames_of_their_own)
{
	static const char given[] = "a\0\0\xff\xfe", vars[] = "A=1\0PATH=/mine";
	static const char *const image[] = {"PATH=/image", "B=2", NULL};
	struct bg_words w = {.len = {0}};
	struct bg_exec x = {.env = image};
	_free_ void *memory = NULL;

	add_words(&w, BG_AGENT_W_ARGV, given, sizeof(given));
	add_words(&w, BG_AGENT_W_ENV, vars, sizeof(vars));
	CHECK_INT(bg_words_join(&w, &x, &memory), 0);
	CHECK_STR(x.argv[0], "a");
	CHECK_STR(x.argv[1], "");
	CHECK_STR(x.argv[2], "\xff\xfe");
	CHECK(!x.argv[3]);
	CHECK_STR(x.env[0], "A=1");
	CHECK_STR(x.env[1], "PATH=/mine");
	CHECK_STR(x.env[2], "B=2");
	CHECK(!x.env[3]);
	bg_words_done(&w);
}

TEST(words_that_cannot_be)
{
	static char piece[BG_AGENT_PAYLOAD_MAX];
	struct bg_words w = {.len = {0}};
	struct bg_exec x = {.env = NULL};
	_free_ void *memory = NULL;

	CHECK_INT(bg_words_add(&w, BG_AGENT_W_LISTS, "", 1), -EINVAL);
	CHECK_INT(bg_words_add(&w, BG_AGENT_W_ARGV, "no end", 6), 0);
	CHECK_INT(bg_words_join(&w, &x, &memory), -EINVAL);
	bg_words_done(&w);
	for (size_t at = 0; at < BG_AGENT_WORDS_MAX; at += sizeof(piece))
		CHECK_INT(bg_words_add(&w, at % 2, piece, sizeof(piece)), 0);
	CHECK_INT(bg_words_add(&w, BG_AGENT_W_ENV, "", 1), -E2BIG);
	bg_words_done(&w);
}

TEST(no_words_at_all)
{
	struct bg_words w = {.len = {0}};
	struct bg_exec x = {.env = NULL};
	_free_ void *memory = NULL;

	CHECK_INT(bg_words_join(&w, &x, &memory), 0);
	CHECK(!x.argv[0] && !x.env[0]);
}

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "broken:x:12\n"
			     "huge:x:99999999999:1::/:/bin/sh\n"
			     "www:x:33:34:web, the:/var/www:/usr/sbin/nologin\n"
			     "last:x:1000:1000::/home/last:";

TEST(users_by_name_and_number)
{
	struct user u;

	CHECK_INT(users_in_passwd(passwd, "www", &u), 0);
	CHECK_INT(u.uid, 33);
	CHECK_INT(u.gid, 34);
	CHECK_STR(u.home, "/var/www");
	CHECK_STR(u.shell, "/usr/sbin/nologin");
	CHECK_INT(users_in_passwd(passwd, "1000", &u), 0);
	CHECK_STR(u.name, "last");
	CHECK_STR(u.shell, "");
	CHECK_INT(users_in_passwd(passwd, "broken", &u), -ENOENT);
	CHECK_INT(users_in_passwd(passwd, "huge", &u), -ENOENT);
	CHECK_INT(users_in_passwd(passwd, "ww", &u), -ENOENT);
	CHECK_INT(users_in_passwd("", "root", &u), -ENOENT);
}

TEST(groups_of_a_user)
{
	struct user u = {.name = "www", .gid = 34};

	users_add_groups("www:x:34:www\nssl:x:110:backup,www\nx:x:111:wwwx,xwww\n"
			 "docker:x:112:www,backup\nend:x:113:www",
		&u);
	CHECK_INT(u.n_groups, 3);
	CHECK_INT(u.groups[0], 110);
	CHECK_INT(u.groups[1], 112);
	CHECK_INT(u.groups[2], 113);
}
