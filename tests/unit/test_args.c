/* SPDX-License-Identifier: ISC */
/* test_args.c: The parser of command lines, and the rows of all commands. */
#include "cli/args.h"
#include "common/near.h"

#include "cli/cli.h"
#include "tests/lib/test.h"

#define ARGV(...) ((char **)(const char *[]){__VA_ARGS__, NULL})

static int parse(const char *path, char **argv, struct args *args, struct bg_err **err)
{
	char *words[4] = {NULL};
	char buf[64];
	const struct command *c;
	int count = 0, used = 0, argc = 0;

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *w = strtok(buf, " "); w; w = strtok(NULL, " "))
		words[count++] = w;
	c = args_find(cli_commands, count, words, &used);
	CHECK(c && used == count);
	while (argv[argc])
		argc++;
	return args_parse(c, argc, argv, args, err);
}

TEST(finds_paths_and_aliases)
{
	int used = 0;

	CHECK_STR(args_find(cli_commands, 3, ARGV("vm", "list", "x"), &used)->path, "vm list");
	CHECK_INT(used, 2);
	CHECK_STR(args_find(cli_commands, 2, ARGV("vm", "ls"), &used)->path, "vm list");
	CHECK_STR(args_find(cli_commands, 1, ARGV("ls"), &used)->path, "vm list");
	CHECK_INT(used, 1);
	CHECK_STR(args_find(cli_commands, 1, ARGV("images"), &used)->path, "image list");
	CHECK(!args_find(cli_commands, 1, ARGV("ls,"), &used));
	CHECK_STR(args_find(cli_commands, 1, ARGV("version"), &used)->path, "version");
	CHECK_INT(used, 1);
	CHECK(!args_find(cli_commands, 1, ARGV("vm"), &used));
	CHECK(!args_find(cli_commands, 2, ARGV("vm", "lis"), &used));
	CHECK(!args_find(cli_commands, 2, ARGV("vm", "lists"), &used));
}

TEST(flags_and_positionals_mix)
{
	struct args args;

	CHECK_INT(
		parse("vm create", ARGV("--memory=2G", "web", "--cpus", "3", "--nat"), &args, NULL),
		0);
	CHECK_STR(args_value(&args, "--memory"), "2G");
	CHECK_STR(args_value(&args, "--cpus"), "3");
	CHECK(args_has(&args, "--nat"));
	CHECK(!args_has(&args, "--json"));
	CHECK_INT(args.count, 1);
	CHECK_STR(args.positional[0], "web");
}

TEST(the_last_of_two_counts)
{
	struct args args;

	CHECK_INT(parse("vm create", ARGV("--cpus", "3", "--cpus", "4"), &args, NULL), 0);
	CHECK_STR(args_value(&args, "--cpus"), "4");
}

TEST(letters)
{
	char **rest = ARGV("-itu", "me", "web", "sh", "-it");
	struct args args;

	CHECK_INT(parse("vm logs", ARGV("-f", "web"), &args, NULL), 0);
	CHECK(args_has(&args, "--follow"));
	CHECK_INT(parse("vm logs", ARGV("-fn5", "web"), &args, NULL), 0);
	CHECK(args_has(&args, "--follow"));
	CHECK_STR(args_value(&args, "--tail"), "5");
	CHECK_INT(parse("vm exec", rest, &args, NULL), 0);
	CHECK(args_has(&args, "--tty"));
	CHECK_STR(args_value(&args, "--user"), "me");
	CHECK_STR(args.rest[1], "-it");
	CHECK_INT(parse("vm logs", ARGV("-fx", "web"), &args, NULL), -EINVAL);
	CHECK_INT(parse("vm logs", ARGV("-fn"), &args, NULL), -EINVAL);
}

TEST(other_tools_spellings)
{
	struct args args;

	CHECK_INT(parse("vm create", ARGV("--vcpu", "3", "--mem=2G", "--disk", "9G"), &args, NULL),
		0);
	CHECK_STR(args_value(&args, "--cpus"), "3");
	CHECK_STR(args_value(&args, "--memory"), "2G");
	CHECK_STR(args_value(&args, "--disk-size"), "9G");
}

TEST(a_command_needs_no_dashes)
{
	char **argv = ARGV("--user", "me", "web", "ls", "-l", "--", "x");
	struct args args;

	CHECK_INT(parse("vm exec", argv, &args, NULL), 0);
	CHECK(args.rest == argv + 3);
	CHECK_STR(args.rest[2], "--");
}

TEST(rest_after_dashes)
{
	char **argv = ARGV("web", "--", "ls", "--json", "--", "-h");
	struct args args;

	CHECK_INT(parse("vm ssh", argv, &args, NULL), 0);
	CHECK(args.rest == argv + 2);
	CHECK_STR(args.rest[3], "-h");
	CHECK(!args.rest[4]);
	CHECK(!args.help);
}

TEST(no_rest)
{
	struct args args;

	CHECK_INT(parse("vm ssh", ARGV("web"), &args, NULL), 0);
	CHECK(!args.rest);
}

TEST(dashes_end_the_flags_elsewhere)
{
	char **argv = ARGV("--", "--help");
	struct args args;

	CHECK_INT(parse("kernel import", argv, &args, NULL), 0);
	CHECK(!args.help);
	CHECK_STR(args.positional[0], "--help");
}

TEST(help_comes_before_complaints)
{
	struct args args;

	CHECK_INT(parse("vm start", ARGV("--help"), &args, NULL), 0);
	CHECK(args.help);
	CHECK_INT(parse("vm start", ARGV("-h", "--nonsense"), &args, NULL), 0);
	CHECK(args.help);
}

TEST(names_are_checked)
{
	_err_ struct bg_err *err = NULL;
	struct args args;

	CHECK_INT(parse("vm start", ARGV("ok", "../etc"), &args, &err), -EINVAL);
	CHECK_INT(err->code, BG_ERR_NAME_INVALID);
}

TEST(too_many_names)
{
	static char *argv[ARGS_MANY + 2];
	_err_ struct bg_err *err = NULL;
	struct args args;

	for (int i = 0; i <= ARGS_MANY; i++)
		argv[i] = (char *)"a";
	CHECK_INT(parse("vm start", argv, &args, &err), -EINVAL);
	argv[ARGS_MANY] = NULL;
	CHECK_INT(parse("vm start", argv, &args, NULL), 0);
	CHECK_INT(args.count, ARGS_MANY);
}

TEST(distances)
{
	CHECK_INT(bg_distance("list", "list"), 0);
	CHECK_INT(bg_distance("lst", "list"), 1);
	CHECK_INT(bg_distance("lits", "list"), 1);
	CHECK_INT(bg_distance("", "abc"), 3);
	CHECK_INT(bg_distance("abc", ""), 3);
	CHECK_INT(bg_distance("kitten", "sitting"), 3);
}

TEST(numbers)
{
	_err_ struct bg_err *err = NULL, *text = NULL;
	uint64_t n = 7;
	struct args args;

	CHECK_INT(parse("vm create", ARGV("--cpus", "33"), &args, NULL), 0);
	CHECK_INT(args_number(&args, "--cpus", 1, 32, &n, &err), -ERANGE);
	CHECK_INT(parse("vm create", ARGV("--cpus", "-1"), &args, NULL), 0);
	CHECK_INT(args_number(&args, "--cpus", 1, 32, &n, &text), -EINVAL);
	CHECK_INT(parse("vm create", ARGV("--cpus", "32"), &args, NULL), 0);
	CHECK_INT(n, 7);
	CHECK_INT(args_number(&args, "--cpus", 1, 32, &n, NULL), 0);
	CHECK_INT(n, 32);
}

static void check_row(const struct command *c)
{
	size_t flags = 0;

	CHECK(c->run && c->flags && c->usage && c->summary && c->example);
	CHECK(strlen(c->summary) <= 60);
	for (const struct flag *f = c->flags; f->name; f++, flags++) {
		/* ssh's own have one letter */
		CHECK(f->name[0] == '-' && (f->name[1] == '-' || !f->name[2]));
		CHECK(f->help || !f->value); /* what is taken for habit only is a switch */
		CHECK((f->value == NULL) == (f->kind == ARG_NONE));
	}
	CHECK(flags <= ARGS_FLAGS_MAX);
	CHECK(c->min_args <= c->max_args && c->max_args <= ARGS_MANY);
	CHECK((c->max_args == 0) == (c->kind == ARG_NONE));
	CHECK(strstr(c->example, c->path));
}

TEST(every_row_is_complete)
{
	for (const struct command *const *rows = cli_commands; *rows; rows++)
		for (const struct command *c = *rows; c->path; c++)
			check_row(c);
}
