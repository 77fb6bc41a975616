/* SPDX-License-Identifier: ISC */
/*
 * args.c: The parser of a command line: finds the command's row, then its flags and words. One
 * pass, left to right; what it cannot place is an error that names the nearest word there is.
 */
#include "cli/args.h"

#include <limits.h>
#include <stdio.h>

#include "common/json.h"
#include "common/name.h"
#include "common/near.h"
#include "common/size.h"

enum { WORD_MAX_ = BG_NEAR_WORD_MAX };

/* How many words of argv spell the path at the head of a list "vm list, list"; 0 when they do not.
 */
static int match_path(const char *path, int argc, char **argv)
{
	int words = 0;

	for (; *path && *path != ','; words++) {
		size_t len = strcspn(path, " ,");

		if (words == argc || strlen(argv[words]) != len ||
			strncmp(argv[words], path, len) != 0)
			return 0;
		path += len;
		path += strspn(path, " ");
	}
	return words;
}

/* 0: none of the row's paths. */
static int match_row(const struct command *c, int argc, char **argv)
{
	int words = match_path(c->path, argc, argv);

	for (const char *alias = c->alias; alias && *alias && !words;) {
		words = match_path(alias, argc, argv);
		alias += strcspn(alias, ",");
		alias += strspn(alias, ", ");
	}
	return words;
}

const struct command *args_find(const struct command *const *rows, int argc, char **argv, int *used)
{
	for (; *rows; rows++) {
		for (const struct command *c = *rows; c->path; c++) {
			int words = match_row(c, argc, argv);

			if (words) {
				*used = words;
				return c;
			}
		}
	}
	return NULL;
}

static const char *nearest_flag(const struct command *c, const char *word)
{
	const char *best = NULL;
	unsigned best_d = WORD_MAX_;

	for (const struct flag *f = c->flags; f->name; f++) {
		unsigned d = bg_distance(word, f->name);

		if (d < best_d) {
			best_d = d;
			best = f->name;
		}
	}
	return best && bg_near(word, best_d) ? best : NULL;
}

static int usage_error(const struct command *c, int r, struct bg_err **err)
{
	bg_err_hint(err, "`banger %s --help` shows how", c->path);
	return r;
}

static int unknown_flag(const struct command *c, const char *word, struct bg_err **err)
{
	const char *near = nearest_flag(c, word);
	int r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "banger %s has no flag %s", c->path, word);

	if (near)
		bg_err_hint(err, "did you mean %s?", near);
	else
		return usage_error(c, r, err);
	return r;
}

/* Whether word stands in a list "--mem -m". */
static bool is_one_of(const char *list, const char *word, size_t len)
{
	for (size_t n; list && *list; list += n, list += strspn(list, " ")) {
		n = strcspn(list, " ");
		if (n == len && strncmp(list, word, len) == 0)
			return true;
	}
	return false;
}

/* "--name", "--name=value", "-f". */
const struct flag *args_flag(const struct command *c, const char *word, size_t len)
{
	for (const struct flag *f = c->flags; f->name; f++)
		if ((strlen(f->name) == len && strncmp(f->name, word, len) == 0) ||
			(f->letter && len == 2 && word[0] == '-' && word[1] == f->letter) ||
			is_one_of(f->also, word, len))
			return f;
	return NULL;
}

/* value: NULL for a switch. */
static int give(struct args *args, const struct flag *f, const char *value, struct bg_err **err)
{
	const struct command *c = args->command;

	args->values[f - c->flags] = value ? value : f->name;
	if (!value)
		return 0;
	if (args->given_count == ARGS_GIVEN_MAX)
		return usage_error(c,
			bg_err_set(err, BG_ERR_USAGE, E2BIG, "more than %d flags", ARGS_GIVEN_MAX),
			err);
	args->given[args->given_count].flag = (size_t)(f - c->flags);
	args->given[args->given_count++].value = value;
	return 0;
}

static int no_value(const struct command *c, const struct flag *f, struct bg_err **err)
{
	return usage_error(c,
		bg_err_set(err, BG_ERR_USAGE, EINVAL, "%s needs a value: %s %s", f->name, f->name,
			f->value),
		err);
}

/* "-it", "-n5": switches, the last one perhaps with its value behind it. 0: it is not that. */
static int take_letters(struct args *args, int argc, char **argv, struct bg_err **err)
{
	const char *letters = argv[0] + 1;
	int r = 0;

	if (*letters == '-' || !letters[1] || letters[1] == '=')
		return 0;
	for (; *letters && r >= 0; letters++) {
		char word[] = {'-', *letters, '\0'};
		const struct flag *f = args_flag(args->command, word, 2);

		if (!f)
			return unknown_flag(args->command, argv[0], err);
		if (f->value && !letters[1] && argc < 2)
			return no_value(args->command, f, err);
		if (f->value) {
			r = give(args, f, letters[1] ? letters + 1 : argv[1], err);
			return r < 0 ? r : letters[1] ? 1 : 2;
		}
		r = give(args, f, NULL, err);
	}
	return r < 0 ? r : 1;
}

/* Takes one flag at argv[0]; returns how many words it used. */
static int take_flag(struct args *args, int argc, char **argv, struct bg_err **err)
{
	const struct command *c = args->command;
	size_t len = strcspn(argv[0], "=");
	const char *value = argv[0][len] ? argv[0] + len + 1 : NULL;
	_free_ char *word = strndup(argv[0], len);
	const struct flag *f = args_flag(c, argv[0], len);
	bool next = f && f->value && !value;
	int r = f ? 0 : take_letters(args, argc, argv, err);

	if (r != 0)
		return r;
	if (!f)
		return unknown_flag(c, word ? word : argv[0], err);
	if (!f->value && value)
		return usage_error(c,
			bg_err_set(err, BG_ERR_USAGE, EINVAL, "%s takes no value", f->name), err);
	if (next && argc < 2)
		return no_value(c, f, err);
	r = give(args, f, next ? argv[1] : value, err);
	return r < 0 ? r : 1 + next;
}

static int take_positional(struct args *args, char *word, struct bg_err **err)
{
	const struct command *c = args->command;

	if (args->count < c->max_args) {
		args->positional[args->count++] = word;
		return 0;
	}
	return usage_error(c,
		bg_err_set(err, BG_ERR_USAGE, EINVAL, "unexpected argument \"%.60s\"", word), err);
}

bool args_is_pattern(const char *word)
{
	return strpbrk(word, "*?[") != NULL;
}

static int check_names(const struct args *args, struct bg_err **err)
{
	static const char *const kinds[] = {[ARG_VM] = "VM",
		[ARG_VMS] = "VM",
		[ARG_IMAGE] = "image",
		[ARG_KERNEL] = "kernel",
		[ARG_NEW] = "VM"};
	enum arg_kind kind = args->command->kind;
	size_t n = args->command->then_files ? BG_MIN(args->count, (size_t)1) : args->count;
	int r = 0;

	if (kind >= ARRAY_SIZE(kinds) || !kinds[kind])
		return 0;
	for (size_t i = 0; i < n && r >= 0; i++)
		if (kind != ARG_VMS || !args_is_pattern(args->positional[i]))
			r = bg_name_check(kinds[kind], args->positional[i], err);
	return r;
}

static bool is_help(const char *word)
{
	return bg_streq(word, "--help") || bg_streq(word, "-h");
}

/* One word or flag at argv[0]; returns how many words it used. */
static int take_word(struct args *args, int argc, char **argv, bool *no_flags, struct bg_err **err)
{
	int r;

	if (!*no_flags && bg_streq(argv[0], "--")) {
		*no_flags = true;
		return 1;
	}
	if (!*no_flags && argv[0][0] == '-' && argv[0][1])
		return take_flag(args, argc, argv, err);
	r = take_positional(args, argv[0], err);
	return r < 0 ? r : 1;
}

/* "--" is needed only before a command that begins with -, or where an argument was left out. */
static bool begins_rest(const struct args *args, const char *word)
{
	return args->command->takes_rest &&
	       (bg_streq(word, "--") || (args->count == args->command->max_args && *word != '-'));
}

int args_parse(
	const struct command *c, int argc, char **argv, struct args *args, struct bg_err **err)
{
	bool no_flags = false;

	*args = (struct args){.command = c};
	for (int i = 0; i < argc;) {
		int used;

		if (begins_rest(args, argv[i])) {
			args->rest = argv + i + bg_streq(argv[i], "--");
			break;
		}
		if (!no_flags && is_help(argv[i])) {
			args->help = true;
			return 0;
		}
		used = take_word(args, argc - i, argv + i, &no_flags, err);
		if (used < 0)
			return used;
		i += used;
	}
	if (args->count < c->min_args)
		return usage_error(c,
			bg_err_set(err, BG_ERR_USAGE, EINVAL,
				"an argument is missing: banger %s %s", c->path, c->usage),
			err);
	return check_names(args, err);
}

static void join_words(char *out, size_t size, int argc, char **argv, int words)
{
	size_t len = 0;

	out[0] = '\0';
	for (int i = 0; i < argc && i < words && argv[i][0] != '-' && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? " " : "", argv[i]);
}

/* Compares as many words of what was typed as the row has. */
static const char *nearest_command(const struct command *const *rows, int argc, char **argv)
{
	char typed[WORD_MAX_];
	const char *best = NULL;
	unsigned best_d = WORD_MAX_;

	for (; *rows; rows++) {
		for (const struct command *c = *rows; c->path; c++) {
			unsigned d;

			if (c->hidden)
				continue;
			join_words(typed, sizeof(typed), argc, argv, strchr(c->path, ' ') ? 2 : 1);
			d = bg_distance(typed, c->path);
			if (d < best_d && bg_near(typed, d)) {
				best_d = d;
				best = c->path;
			}
		}
	}
	return best;
}

/* "lst" alone: any command whose last word is near. */
static const char *nearest_last_word(const struct command *const *rows, const char *word)
{
	for (; *rows; rows++)
		for (const struct command *c = *rows; c->path; c++) {
			const char *last = strrchr(c->path, ' ');

			if (last && !c->hidden && bg_near(word, bg_distance(word, last + 1)))
				return c->path;
		}
	return NULL;
}

/* What docker, vagrant, multipass, Lima, incus and virsh call it. */
static const struct {
	const char *theirs, *ours;
} other_words[] = {
	{"up", "vm run"},
	{"launch", "vm create"},
	{"new", "vm create"},
	{"destroy", "vm delete"},
	{"remove", "vm delete"},
	{"shutdown", "vm stop"},
	{"down", "vm stop"},
	{"reboot", "vm restart"},
	{"reset", "vm restart"},
	{"status", "vm list"},
	{"info", "vm show"},
	{"console", "vm logs --follow"},
	{"connect", "vm ssh"},
	{"transfer", "vm cp"},
	{"copy", "vm cp"},
	{"edit", "vm set"},
	{"config", "vm set"},
	{"update", "vm set"},
	{"move", "vm rename"},
	{"mv", "vm rename"},
	{"find", "image search"},
	{"file", "vm cp"},
	{"mount", "vm workspace prepare"},
	{"attach", "vm ssh"},
	{"unpause", "vm resume"},
	{"wake", "vm resume"},
	{"hibernate", "vm suspend"},
	{"sleep", "vm suspend"},
	{"purge", "vm prune"},
	{"commit", "image build --from-image"},
	{"save", "image export"},
	{"load", "image import"},
};

static const char *known_elsewhere(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(other_words); i++)
		if (bg_streq(other_words[i].theirs, word))
			return other_words[i].ours;
	return NULL;
}

int args_unknown(const struct command *const *rows, int argc, char **argv, struct bg_err **err)
{
	bool vm = argc > 1 && bg_streq(argv[0], "vm");
	const char *near = argc > 0 ? known_elsewhere(argv[vm]) : NULL;
	char typed[WORD_MAX_];
	int r;

	if (!near)
		near = nearest_command(rows, argc, argv);
	if (!near && argc > 0)
		near = nearest_last_word(rows, argv[0]);
	join_words(typed, sizeof(typed), argc, argv, 2);
	r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "\"%s\" is not a command",
		*typed || argc == 0 ? typed : argv[0]);
	if (near)
		bg_err_hint(err, "did you mean `banger %s`?", near);
	else
		bg_err_hint(err, "`banger help` lists them");
	return r;
}

const char *args_value(const struct args *args, const char *flag)
{
	const struct flag *flags = args->command->flags;

	for (size_t i = 0; flags[i].name; i++)
		if (bg_streq(flags[i].name, flag))
			return args->values[i];
	return NULL;
}

const char *args_nth(const struct args *args, const char *flag, size_t nth)
{
	for (size_t i = 0; i < args->given_count; i++)
		if (bg_streq(args->command->flags[args->given[i].flag].name, flag) && nth-- == 0)
			return args->given[i].value;
	return NULL;
}

bool args_has(const struct args *args, const char *flag)
{
	return args_value(args, flag) != NULL;
}

int args_path(const struct args *args, const char *flag, json_t *body, const char *key,
	struct bg_err **err)
{
	const char *path = args_value(args, flag);
	char full[PATH_MAX];

	if (!path)
		return 0;
	if (!realpath(path, full))
		return bg_err_sys(err, BG_ERR_USAGE, errno, "%s: %s", flag, path);
	json_object_set_new(body, key, bg_json_str(full));
	return 0;
}

int args_size_mib(const struct args *args, const char *flag, uint64_t min, uint64_t max,
	uint64_t *ret, struct bg_err **err)
{
	const char *text = args_value(args, flag);

	return text ? bg_size_parse_mib(flag, text, min, max, ret, err) : 0;
}

int args_number(const struct args *args, const char *flag, uint64_t min, uint64_t max,
	uint64_t *ret, struct bg_err **err)
{
	const char *text = args_value(args, flag);
	uint64_t n = 0;
	size_t len;

	if (!text)
		return 0;
	len = strspn(text, "0123456789");
	if (len == 0 || text[len] || len > 18)
		return bg_err_set(
			err, BG_ERR_USAGE, EINVAL, "%s: \"%.40s\" is not a number", flag, text);
	n = strtoull(text, NULL, 10);
	if (n < min || n > max)
		return bg_err_set(err, BG_ERR_USAGE, ERANGE, "%s: %s is not between %llu and %llu",
			flag, text, (unsigned long long)min, (unsigned long long)max);
	*ret = n;
	return 0;
}
