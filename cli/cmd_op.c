/* SPDX-License-Identifier: ISC */
/* cmd_op.c: the commands about operations: what runs now, whoever asked for it, and a way to end it. */
#include "cli/jobs.h"
#include "common/json.h"

/* The stage that runs, or the last one. */
static const char *present_stage(const json_t *op)
{
	const json_t *stages = json_object_get(op, "stages");

	return render_text(json_array_get(stages, json_array_size(stages) - 1), "text");
}

static bool is_running(const json_t *op)
{
	return bg_streq(render_text(op, "state"), "running");
}

static enum style style_of(const char *state)
{
	if (bg_streq(state, "failed"))
		return STYLE_RED;
	return bg_streq(state, "running") ? STYLE_YELLOW : STYLE_PLAIN;
}

static const char *why(const json_t *op)
{
	const char *message = render_text(json_object_get(op, "error"), "message");

	return *message ? message : is_running(op) ? present_stage(op) : "";
}

static void list_row(struct table *t, const json_t *op)
{
	const char *state = render_text(op, "state");
	char took[DURATION_TEXT];

	table_cell(t, STYLE_BOLD, "%s", render_text(op, "id"));
	table_cell(t, STYLE_PLAIN, "%s", render_text(op, "kind"));
	table_cell(t, STYLE_PLAIN, "%s", render_text(op, "target"));
	table_cell(t, style_of(state), "%s", state);
	table_cell(t, STYLE_PLAIN, "%s",
		render_duration((uint64_t)render_int(op, "elapsed_ms"), took));
	table_cell(t, STYLE_PLAIN, "%s", why(op));
}

/* Those that run, or with --all also those that the daemon still remembers. */
static json_t *chosen(const json_t *reply, bool all)
{
	const json_t *operations = json_object_get(reply, "operations");
	json_t *list = json_array(), *op;
	size_t i;

	json_array_foreach (operations, i, op)
		if (all || is_running(op))
			json_array_append(list, op);
	return list;
}

static int op_list(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const struct column columns[] = {{.title = "ID"}, {.title = "KIND"},
		{.title = "TARGET", .min = 12}, {.title = "STATE"},
		{.title = "TIME", .right = true, .drop = 2},
		{.title = "NOW", .min = 16, .drop = 1}};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));
	_json_ json_t *reply = NULL, *list = NULL;
	const json_t *op;
	size_t i;
	int r = client_call(cli, CLIENT_START, ROUTE_OP_LIST, NULL, NULL, &reply, err);

	if (r < 0)
		return r;
	list = chosen(reply, args_has(args, "--all"));
	if (cli->json) {
		render_json(&cli->out, list);
		return BG_EXIT_OK;
	}
	json_array_foreach (list, i, op)
		list_row(t, op);
	if (json_array_size(list) > 0)
		table_print(t, &cli->out);
	else
		fprintf(cli->err.file, "No operation is running.\n");
	return BG_EXIT_OK;
}

/* The API has ids in its paths: what is not a number is told here, in the user's words. */
static int check_id(const char *id, struct bg_err **err)
{
	if (*id && strspn(id, "0123456789") == strlen(id))
		return 0;
	bg_err_set(err, BG_ERR_USAGE, EINVAL, "\"%.40s\" is not the id of an operation", id);
	bg_err_hint(err, "`banger op list` shows them");
	return -EINVAL;
}

static void show_stages(const struct term *t, const json_t *op)
{
	const json_t *stage;
	size_t i;

	json_array_foreach (json_object_get(op, "stages"), i, stage) {
		char took[DURATION_TEXT];

		render_field(t, i ? " " : "stages", STYLE_PLAIN, "%s: %s, %s",
			render_text(stage, "text"), render_text(stage, "state"),
			render_duration((uint64_t)render_int(stage, "ms"), took));
	}
}

static void show_all(const struct term *t, const json_t *op)
{
	const char *state = render_text(op, "state");
	char took[DURATION_TEXT];

	render_field(t, "id", STYLE_BOLD, "%s", render_text(op, "id"));
	render_field(t, "kind", STYLE_PLAIN, "%s", render_text(op, "kind"));
	render_field(t, "target", STYLE_PLAIN, "%s", render_text(op, "target"));
	render_field(t, "state", style_of(state), "%s", state);
	render_time(t, "started", render_text(op, "created_at"));
	render_field(t, "time", STYLE_PLAIN, "%s",
		render_duration((uint64_t)render_int(op, "elapsed_ms"), took));
	show_stages(t, op);
	render_field(
		t, "error", STYLE_RED, "%s", render_text(json_object_get(op, "error"), "message"));
	render_field(t, "log", STYLE_PLAIN, "%s", render_text(op, "log"));
}

static int op_show(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *id = args->positional[0];
	_json_ json_t *op = NULL;
	int r = check_id(id, err);

	if (r >= 0)
		r = client_call(cli, CLIENT_START, ROUTE_OP_SHOW, id, NULL, &op, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, op);
	else
		show_all(&cli->out, op);
	return BG_EXIT_OK;
}

static void report_cancelled(struct cli *cli, const struct job *job)
{
	const char *state = render_text(job->op, "state");

	fprintf(cli->out.file, "%s of %s %s\n", render_text(job->op, "kind"),
		render_text(job->op, "target"),
		bg_streq(state, "cancelled") ? "was cancelled" : "had ended before");
}

static int op_cancel(struct cli *cli, const struct args *args, struct bg_err **err)
{
	struct job job = {.name = args->positional[0], .route = ROUTE_OP_CANCEL, .cancels = true};
	int r = check_id(job.name, err);

	if (r < 0)
		return r;
	r = jobs_run(cli, "cancel", &job, 1, report_cancelled);
	jobs_done(&job, 1);
	return r;
}

static const struct flag list_flags[] = {
	{"--all", NULL, ARG_NONE, "also those that have ended of late", 'a'},
	FLAG_JSON,
	FLAG_END,
};
static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};
static const struct flag no_flags[] = {FLAG_END};

const struct command op_commands[] = {
	{.path = "op list",
		.alias = "op ls",
		.flags = list_flags,
		.usage = "",
		.summary = "list the operations that run",
		.details = "An operation is work that a command asked for: a create, a start, a "
			   "pull. It goes on when the command's terminal is closed.",
		.example = "banger op list\nbanger op list --all",
		.run = op_list},
	{.path = "op show",
		.kind = ARG_OP,
		.min_args = 1,
		.max_args = 1,
		.flags = print_flags,
		.usage = "ID",
		.summary = "show an operation's stages and its error",
		.example = "banger op show 17",
		.run = op_show},
	{.path = "op cancel",
		.kind = ARG_OP,
		.min_args = 1,
		.max_args = 1,
		.flags = no_flags,
		.usage = "ID",
		.summary = "cancel an operation, from any terminal",
		.details = "Waits until what it had begun is undone, as Ctrl-C does where it was "
			   "started. A stop cannot be undone: the guest was asked already.",
		.example = "banger op cancel 17",
		.run = op_cancel},
	{NULL},
};
