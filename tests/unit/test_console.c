/* SPDX-License-Identifier: ISC */
/* test_console.c: What of a guest's console reaches the terminal. */
#include "common/console.h"
#include "tests/lib/test.h"

/* Cleans text in pieces of n bytes. */
static const char *clean(const char *text, size_t n)
{
	static char out[512];
	struct console c = {.state = CONSOLE_TEXT};
	size_t len = strlen(text), used = 0;

	for (size_t i = 0; i < len; i += n)
		used += console_clean(&c, text + i, BG_MIN(n, len - i), out + used);
	out[used] = '\0';
	return out;
}

static void check(const char *text, const char *want)
{
	for (size_t n = 1; n <= strlen(text); n++)
		CHECK_STR(clean(text, n), want);
}

TEST(text_and_colors_stay)
{
	check("a\tb\r\n\xc3\xa9\xc2\xa9\xe2\x82\xac", "a\tb\r\n\xc3\xa9\xc2\xa9\xe2\x82\xac");
	check("[\033[0;32m  OK  \033[0m]\033[m", "[\033[0;32m  OK  \033[0m]\033[m");
}

TEST(what_a_terminal_obeys_goes)
{
	check("a\033[2J\033[Hb", "ab");
	check("a\033[6nb\033[?25lc\033[>4;1md", "abcd");
	check("a\033]0;title\007b\033]52;c;ZXZpbA==\033\\c", "abc");
	check("a\033Pdcs\033x\033\\b\033_apc\033\\c", "abc");
	check("a\033(Bb\033cc\0337d", "abcd");
	check("a\007\010\016\177b", "ab");
	check("a\xc2\x9b"
	      "2J\xc2\x80"
	      "b",
		"a2Jb");
	check("a\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15mb", "ab");
}

TEST(what_is_cut_off_does_not_hide_the_rest)
{
	check("a\033\033[32mb", "a[32mb");
	check("\xc2"
	      "abc",
		"abc");
	check("a\033]0;title\nb", "a\nb");
	check("a\033[12\nb", "a\nb");
	check("a\033]0;title\033[31mb", "a\033[31mb");
	check("a\033]0;title\033Pdcs\033\\b", "ab");
}

TEST(a_color_in_disguise_goes)
{
	check("a\033.[0mb", "a0mb");
	check("a\033[?0mb\033[0 mc", "abc");
}
