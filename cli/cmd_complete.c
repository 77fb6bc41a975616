/* SPDX-License-Identifier: ISC */
#include "cli/cmd_complete.h"

#include "cli/client.h"
#include "common/json.h"

enum { COMPLETE_MS = 1000, TYPED_MAX = 128 };

/* What was typed: whole words, and the one under the cursor. */
struct typed {
	char *words[TYPED_MAX + 1];
	int count;	  /* of the whole ones */
	const char *last; /* unfinished, perhaps empty */
};

static const char bash_script[] =
	"# Completion of banger for bash. In ~/.bashrc: eval \"$(banger completion bash)\"\n"
	"_banger() {\n"
	"\tlocal word\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS=$'\\t' read -r word _; do\n"
	"\t\tif [ \"$word\" = :files ]; then\n"
	"\t\t\tcompopt -o default\n"
	"\t\t\treturn\n"
	"\t\tfi\n"
	"\t\tCOMPREPLY+=(\"$word\")\n"
	"\tdone < <(banger __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _banger banger\n";

static const char zsh_script[] =
	"#compdef banger\n"
	"# Completion of banger for zsh. In ~/.zshrc, after compinit: eval \"$(banger completion "
	"zsh)\"\n"
	"_banger() {\n"
	"\tlocal -a found\n"
	"\tlocal line\n"
	"\tfor line in \"${(@f)$(banger __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; "
	"do\n"
	"\t\tif [[ $line == :files ]]; then\n"
	"\t\t\t_files\n"
	"\t\t\treturn\n"
	"\t\tfi\n"
	"\t\t[[ -n $line ]] && found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
	"\tdone\n"
	"\t_describe banger found\n"
	"}\n"
	"if [[ $funcstack[1] == _banger ]]; then _banger \"$@\"; else compdef _banger banger; fi\n";

static const char fish_script[] =
	"# Completion of banger for fish: banger completion fish > "
	"~/.config/fish/completions/banger.fish\n"
	"function __banger_complete\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l last (commandline -ct)\n"
	"\tset -l found (banger __complete -- $words[2..-1] \"$last\" 2>/dev/null)\n"
	"\tif test \"$found[1]\" = :files\n"
	"\t\t__fish_complete_path \"$last\"\n"
	"\telse\n"
	"\t\tprintf '%s\\n' $found\n"
	"\tend\n"
	"end\n"
	"complete -c banger -f -a '(__banger_complete)'\n";

static const struct {
	const char *shell, *text;
} scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

int completion(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *shell = args->positional[0];

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
		if (bg_streq(scripts[i].shell, shell)) {
			fputs(scripts[i].text, cli->out.file);
			return BG_EXIT_OK;
		}
	return bg_err_set(err, BG_ERR_USAGE, EINVAL,
		"there is no completion for \"%.40s\": bash, zsh or fish", shell);
}

static bool begins(const char *word, const char *with)
{
	return strncmp(word, with, strlen(with)) == 0;
}

static void offer(
	struct cli *cli, const char *prefix, const char *word, const char *what, const char *typed)
{
	if (begins(word, typed))
		fprintf(cli->out.file, "%s%s\t%s\n", prefix, word, what);
}

/* The answer of the daemon that runs, or NULL: it is slow, not there, or has nothing. */
static json_t *ask(struct cli *cli, enum route route)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	json_t *reply = NULL;
	int status = 0;

	if (client_send(cli, CLIENT_NO_START, route, NULL, NULL, NULL, &h, NULL) < 0)
		return NULL;
	bg_http_set_timeout(h, COMPLETE_MS);
	if (bg_http_next_status(h, &status, NULL) < 0 || status != 200 ||
		bg_http_next_json(h, &reply, NULL) < 0)
		return NULL;
	return reply;
}

/* Names out of {"vms": [...]}, each told by one of its fields. */
static void offer_names(struct cli *cli, enum route route, const char *list, const char *field,
	const char *prefix, const char *typed)
{
	_json_ json_t *reply = ask(cli, route);
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(reply, list), i, item) {
		_free_ char *what = term_clean(render_text(item, field));

		offer(cli, prefix, render_text(item, "name"), what ? what : "", typed);
	}
}

/* Those that run, each told by what it does. */
static void offer_operations(struct cli *cli, const char *prefix, const char *typed)
{
	_json_ json_t *reply = ask(cli, ROUTE_OP_LIST);
	const json_t *op;
	size_t i;

	json_array_foreach (json_object_get(reply, "operations"), i, op) {
		char what[128];

		snprintf(what, sizeof(what), "%s %s", render_text(op, "kind"),
			render_text(op, "target"));
		if (bg_streq(render_text(op, "state"), "running"))
			offer(cli, prefix, render_text(op, "id"), what, typed);
	}
}

static void offer_signals(struct cli *cli, const char *prefix, const char *typed)
{
	static const char *const names[] = {
		"TERM", "KILL", "INT", "HUP", "QUIT", "STOP", "CONT", "USR1", "USR2"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		offer(cli, prefix, names[i], "signal", typed);
}

static void offer_kind(struct cli *cli, enum arg_kind kind, const char *prefix, const char *typed)
{
	switch (kind) {
	case ARG_VM:
	case ARG_VMS:
		offer_names(cli, ROUTE_VM_LIST, "vms", "state", prefix, typed);
		break;
	case ARG_IMAGE:
		offer_names(cli, ROUTE_IMAGE_LIST, "images", "os", prefix, typed);
		break;
	case ARG_KERNEL:
		offer_names(cli, ROUTE_KERNEL_LIST, "kernels", "release", prefix, typed);
		break;
	case ARG_OP:
		offer_operations(cli, prefix, typed);
		break;
	case ARG_SIGNAL:
		offer_signals(cli, prefix, typed);
		break;
	case ARG_FILE:
		fputs(":files\n", cli->out.file);
		break;
	case ARG_SHELL:
		for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
			offer(cli, prefix, scripts[i].shell, "shell", typed);
		break;
	case ARG_NONE:
	case ARG_TEXT:
	case ARG_NEW:
	case ARG_SIZE:
	case ARG_NUMBER:
		break;
	}
}

static const struct flag *flag_of(const struct command *c, const char *word, size_t len)
{
	for (const struct flag *f = c->flags; f->name; f++)
		if ((strlen(f->name) == len && strncmp(f->name, word, len) == 0) ||
			(f->letter && len == 2 && word[0] == '-' && word[1] == f->letter))
			return f;
	return NULL;
}

static void offer_flags(struct cli *cli, const struct command *c, const char *typed)
{
	for (const struct flag *f = c->flags; f->name; f++)
		offer(cli, "", f->name, f->help, typed);
	offer(cli, "", "--help", "tell about this command", typed);
}

/* "--image=de": the value alone is completed, the flag stays before it. */
static void offer_after_equals(struct cli *cli, const struct command *c, const char *last)
{
	size_t len = strcspn(last, "=");
	const struct flag *f = flag_of(c, last, len);
	_free_ char *prefix = strndup(last, len + 1);

	if (f && f->value && prefix)
		offer_kind(cli, f->kind, prefix, last + len + 1);
}

/* After the command: the value of the flag before, a flag, or an argument. */
static void offer_arguments(
	struct cli *cli, const struct command *c, const struct typed *t, int used)
{
	const char *before = t->count > used ? t->words[t->count - 1] : "";
	const struct flag *f = flag_of(c, before, strlen(before));

	for (int i = used; i < t->count; i++)
		if (bg_streq(t->words[i], "--"))
			return; /* a command of its own follows */
	if (f && f->value)
		offer_kind(cli, f->kind, "", t->last);
	else if (t->last[0] == '-' && strchr(t->last, '='))
		offer_after_equals(cli, c, t->last);
	else if (t->last[0] == '-')
		offer_flags(cli, c, t->last);
	else if (c->max_args > 0)
		offer_kind(cli, c->kind, "", t->last);
}

/* The nth word of a path, when those before it are as typed; length 0: it is no such path. */
static size_t word_of_path(const char *path, const struct typed *t, const char **ret)
{
	for (int i = 0; i < t->count; i++) {
		size_t len = strcspn(path, " ");

		if (strlen(t->words[i]) != len || strncmp(path, t->words[i], len) != 0 ||
			!path[len])
			return 0;
		path += len + 1;
	}
	*ret = path;
	return strcspn(path, " ");
}

/* Rows of a group follow each other: its word is offered once. */
static void offer_commands(struct cli *cli, const struct typed *t)
{
	char seen[64] = "";

	for (const struct command *const *rows = cli_commands; *rows; rows++) {
		for (const struct command *c = *rows; c->path; c++) {
			const char *word = NULL;
			size_t len = c->hidden ? 0 : word_of_path(c->path, t, &word);
			char text[64];

			snprintf(text, sizeof(text), "%.*s", (int)len, word ? word : "");
			if (len == 0 || bg_streq(text, seen))
				continue;
			snprintf(seen, sizeof(seen), "%s", text);
			offer(cli, "", text, word[len] ? "..." : c->summary, t->last);
		}
	}
}

/* bash cuts "--image=de" into three words. */
static void read_typed(char **words, struct typed *ret)
{
	*ret = (struct typed){.last = ""};
	for (; words && *words; words++) {
		if (!words[1])
			ret->last = *words;
		else if (!bg_streq(*words, "=") && ret->count < TYPED_MAX)
			ret->words[ret->count++] = *words;
	}
	if (bg_streq(ret->last, "="))
		ret->last = "";
}

int complete(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const struct command *c;
	struct typed typed;
	int used = 0;

	read_typed(args->rest, &typed);
	c = args_find(cli_commands, typed.count, typed.words, &used);
	if (c)
		offer_arguments(cli, c, &typed, used);
	else
		offer_commands(cli, &typed);
	return BG_EXIT_OK;
}
