/* SPDX-License-Identifier: ISC */
/*
 * cmd_complete.c: The shell scripts hold no word of ours: each TAB asks this program, which reads
 * the same rows as the parser. Names of VMs come from a running daemon only; a TAB never starts
 * one.
 */
#include "cli/cmd_complete.h"

#include "cli/client.h"
#include "cli/help.h"
#include "common/json.h"
#include "common/limits.h"

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
	"\t\t[[ $word != *: ]] || compopt -o nospace\n"
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

static bool was_typed(const struct typed *t, const char *word)
{
	for (int i = 0; i < t->count; i++)
		if (bg_streq(t->words[i], word))
			return true;
	return false;
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

/* Names out of {"images": [...]}, each described by one of its fields. */
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

/* Names that were not given already, with their state; running ones only where others are of no
 * use. */
static unsigned offer_vms(struct cli *cli, const struct command *c, const struct typed *t,
	const char *prefix, const char *end, const char *typed)
{
	_json_ json_t *reply = ask(cli, ROUTE_VM_LIST);
	unsigned n = 0;
	const json_t *vm;
	size_t i;

	json_array_foreach (json_object_get(reply, "vms"), i, vm) {
		const char *name = render_text(vm, "name"), *state = render_text(vm, "state");
		char word[BG_NAME_MAX + 2];

		snprintf(word, sizeof(word), "%s%s", name, end);
		if (was_typed(t, name) || (c->running && !bg_streq(state, "running")) ||
			!begins(word, typed))
			continue;
		offer(cli, prefix, word, state, typed);
		n++;
	}
	return n;
}

/* "web:" for vm cp; files of this machine when no VM is meant. */
static void offer_vm_files(struct cli *cli, const struct command *c, const struct typed *t)
{
	if (strpbrk(t->last, "/.~") || offer_vms(cli, c, t, "", ":", t->last) == 0)
		fputs(":files\n", cli->out.file);
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

static void offer_kind(struct cli *cli, const struct command *c, const struct typed *t,
	enum arg_kind kind, const char *prefix, const char *typed)
{
	switch (kind) {
	case ARG_VM:
	case ARG_VMS:
		(void)offer_vms(cli, c, t, prefix, "", typed);
		break;
	case ARG_VM_FILE:
		offer_vm_files(cli, c, t);
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

static void offer_flags(struct cli *cli, const struct command *c, const char *typed)
{
	for (const struct flag *f = c->flags; f->name; f++)
		if (f->help)
			offer(cli, "", f->name, f->help, typed);
	offer(cli, "", "--help", "show this command's help", typed);
}

/* "--image=de": the value alone is completed, the flag stays before it. */
static void offer_after_equals(struct cli *cli, const struct command *c, const struct typed *t)
{
	size_t len = strcspn(t->last, "=");
	const struct flag *f = args_flag(c, t->last, len);
	_free_ char *prefix = strndup(t->last, len + 1);

	if (f && f->value && prefix)
		offer_kind(cli, c, t, f->kind, prefix, t->last + len + 1);
}

/* How many arguments were given whole: what is neither a flag nor the value of one. */
static unsigned given(const struct command *c, const struct typed *t, int used)
{
	unsigned n = 0;

	for (int i = used; i < t->count; i++) {
		const struct flag *f = args_flag(c, t->words[i], strlen(t->words[i]));

		n += t->words[i][0] != '-';
		i += f && f->value;
	}
	return n;
}

/* After the command: the value of the flag before, a flag, or an argument. */
static void offer_arguments(
	struct cli *cli, const struct command *c, const struct typed *t, int used)
{
	const char *before = t->count > used ? t->words[t->count - 1] : "";
	const struct flag *f = args_flag(c, before, strlen(before));

	for (int i = used; i < t->count; i++)
		if (bg_streq(t->words[i], "--"))
			return; /* a command of its own follows */
	if (f && f->value)
		offer_kind(cli, c, t, f->kind, "", t->last);
	else if (t->last[0] == '-' && strchr(t->last, '='))
		offer_after_equals(cli, c, t);
	else if (t->last[0] == '-')
		offer_flags(cli, c, t->last);
	else if (given(c, t, used) < c->max_args)
		offer_kind(cli, c, t, c->kind, "", t->last);
}

/* The nth word of a path, when those before it are as typed; length 0: it is no such path. */
static size_t word_of_path(const char *path, const struct typed *t, const char **ret)
{
	for (int i = 0; i < t->count; i++) {
		size_t len = strcspn(path, " ,");

		if (strlen(t->words[i]) != len || strncmp(path, t->words[i], len) != 0 ||
			path[len] != ' ')
			return 0;
		path += len + 1;
	}
	*ret = path;
	return strcspn(path, " ,");
}

/* The first words of the paths, each once: a row's own and, of one word, its shorter ones. */
static void offer_word(struct cli *cli, const struct command *c, const char *path,
	const struct typed *t, json_t *seen)
{
	const char *word = NULL;
	size_t len = word_of_path(path, t, &word);
	_free_ char *text = strndup(len ? word : "", len);
	char group[64];

	if (!text || !len || json_object_get(seen, text))
		return;
	json_object_set_new(seen, text, json_true());
	snprintf(group, sizeof(group), "%.*s", (int)(word + len - path), path);
	offer(cli, "", text, word[len] == ' ' ? help_group_title(group) : c->summary, t->last);
}

static void offer_commands(struct cli *cli, const struct typed *t)
{
	_json_ json_t *seen = json_object();

	for (const struct command *const *rows = cli_commands; *rows; rows++)
		for (const struct command *c = *rows; c->path; c++) {
			const char *alias = c->alias ? c->alias : "";

			if (c->hidden)
				continue;
			offer_word(cli, c, c->path, t, seen);
			for (; *alias; alias += strspn(alias, ", ")) {
				offer_word(cli, c, alias, t, seen);
				alias += strcspn(alias, ",");
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
