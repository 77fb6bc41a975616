/* SPDX-License-Identifier: ISC */
/*
 * main.c: banger, the command line. Finds the row, parses, runs it, prints the
 * one error, returns its exit status. Holds no state between runs.
 */
#include "cli/daemon_proc.h"
#include "cli/help.h"
#include "common/fd.h"

enum { PARALLEL_MAX = 100 };

/* These touch nothing: root may read them, and a build that runs as root. */
static bool for_everyone(const struct command *c)
{
	return bg_streq(c->path, "help") || bg_streq(c->path, "version") ||
	       bg_streq(c->path, "completion");
}

static int prepare(struct cli *cli, const struct args *args, struct bg_err **err)
{
	int r;

	cli->json = args_has(args, "--json");
	cli->timing = args_has(args, "--timing");
	if (for_everyone(args->command)) {
		if (geteuid() != 0)
			(void)bg_paths_init(&cli->paths, NULL);
		return 0;
	}
	if (geteuid() == 0)
		return bg_err_set(err, BG_ERR_ROOT, EPERM, "banger does not run as root");
	r = args_number(args, "--parallel", 1, PARALLEL_MAX, &cli->parallel, err);
	return r < 0 ? r : bg_paths_init(&cli->paths, err);
}

static int run_command(
	struct cli *cli, const struct command *c, int argc, char **argv, struct bg_err **err)
{
	struct args args;
	int r = args_parse(c, argc, argv, &args, err);

	if (r >= 0 && args.help) {
		help_command(&cli->out, c);
		return BG_EXIT_OK;
	}
	if (r >= 0)
		r = prepare(cli, &args, err);
	return r < 0 ? r : c->run(cli, &args, err);
}

/* "banger vm", "banger vm workspace --help": no row, but the beginning of some. */
static bool is_group(struct cli *cli, int argc, char **argv, int *status)
{
	bool asked =
		argc > 1 && (bg_streq(argv[argc - 1], "--help") || bg_streq(argv[argc - 1], "-h"));
	int words = argc - asked;
	char group[64];

	if (words < 1 || words > 2)
		return false;
	snprintf(group, sizeof(group), "%s%s%s", argv[0], words == 2 ? " " : "",
		words == 2 ? argv[1] : "");
	*status = asked ? BG_EXIT_OK : BG_EXIT_USAGE;
	return help_group(asked ? &cli->out : &cli->err, group);
}

static int run(struct cli *cli, int argc, char **argv, struct bg_err **err)
{
	static const struct {
		const char *flag;
		const char *command;
	} shorts[] = {{"--help", "help"}, {"-h", "help"}, {"--version", "version"}};
	const struct command *c;
	int used = 0, status = 0;

	if (argc == 0) {
		help_all(&cli->out);
		return BG_EXIT_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(shorts); i++)
		if (bg_streq(argv[0], shorts[i].flag))
			argv[0] = (char *)shorts[i].command;
	c = args_find(cli_commands, argc, argv, &used);
	if (c)
		return run_command(cli, c, argc - used, argv + used, err);
	if (is_group(cli, argc, argv, &status))
		return status;
	return args_unknown(cli_commands, argc, argv, err);
}

/* What could not be written (a full disk behind >) must not look like success. */
static int flush(const struct cli *cli, int status, struct bg_err **err)
{
	if (fflush(cli->out.file) == 0 && !ferror(cli->out.file))
		return status;
	return status == BG_EXIT_OK ? bg_err_sys(err, BG_ERR_IO, errno, "write the output")
				    : status;
}

int main(int argc, char **argv)
{
	struct cli cli = {.json = false};
	struct bg_err *err = NULL;
	int r;

	if (bg_std_fds() < 0)
		return BG_EXIT_HOST;
	term_init(&cli.out, stdout);
	term_init(&cli.err, stderr);
	r = run(&cli, argc - 1, argv + 1, &err);
	r = flush(&cli, r, &err);
	if (r < 0) {
		daemon_proc_explain(&cli, err);
		render_error(&cli.err, err);
		r = (int)bg_err_code_exit(err->code);
		bg_err_free(err);
	}
	bg_paths_done(&cli.paths);
	return r;
}
