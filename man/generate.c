/* SPDX-License-Identifier: ISC */
/*
 * generate.c: a build-time program. Copies the source of a man page to stdout, for scdoc; a line
 * that begins with @ is replaced by what a table of banger's says:
 *   @synopsis TABLE, @commands TABLE   the commands of one of the tables below
 *   @list                              every command, by table
 *   @exits                             the exit statuses
 *   @config                            the keys of config.toml
 *   @keys                              the keys of the terminal UI
 * So a page has no copy of a row, and cannot differ from it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/help.h"
#include "tui/keys.h"

static const struct table {
	const char *name, *page, *title; /* page: of section 1 */
	const struct command *rows;
	const char *first; /* a path's beginning */
	bool is;	   /* whether it begins so, or does not */
} tables[] = {
	{"vm", "banger-vm", "Virtual machines", vm_commands, "", true},
	{"workspace", "banger-workspace", "A checkout in a VM", workspace_commands, "", true},
	{"image", "banger-image", "Images", image_commands, "", true},
	{"kernel", "banger-kernel", "Kernels", kernel_commands, "", true},
	{"op", "banger-op", "Operations", op_commands, "", true},
	{"daemon", "banger-daemon", "The daemon", host_commands, "daemon ", true},
	{"host", "", "This machine", host_commands, "daemon ", false},
};

/* How a value is written, by the kind of config_keys.def. */
static const struct {
	const char *kind, *value;
	bool quoted;
} kinds[] = {
	{"LEVEL", "word", true},
	{"DEBUG", "word", true},
	{"VMM", "word", true},
	{"STORAGE", "word", true},
	{"PROGRAM", "program", true},
	{"PATH", "path", true},
	{"NAME", "name", true},
	{"RESOLVER", "address", true},
	{"LISTEN", "address:port", true},
	{"FOLDERS", "folders", true},
	{"HOSTS", "hosts", true},
	{"URLS", "urls", true},
	{"BOOL", "boolean", false},
	{"VCPUS", "number", false},
	{"SECONDS", "number", false},
	{"TAPS", "number", false},
	{"BOOTS", "number", false},
	{"MEMORY", "size", true},
	{"DISK", "size", true},
};

static const struct {
	const char *name, *kind, *standard, *help;
} keys[] = {
#define X(key, kind, field, standard, help) {#key, #kind, standard, help},
#include "host/config_keys.def"
#undef X
};

static bool belongs(const struct table *t, const struct command *c)
{
	return !c->hidden && (strncmp(c->path, t->first, strlen(t->first)) == 0) == t->is;
}

/* Text in which nothing is markup; `this` becomes bold. */
static void text(const char *s)
{
	for (; *s; s++) {
		if (*s == '`')
			putchar('*');
		else if (*s == '\n')
			putchar(' ');
		else
			printf("%s%c", strchr("_*\\", *s) ? "\\" : "", *s);
	}
}

/* A word as it stands on a command line: flags are bold, what is to be replaced is underlined. */
static void word(const char *s, size_t len)
{
	bool capitals = len > 1;
	const char *mark = "";

	for (size_t i = 0; i < len; i++)
		capitals = capitals && isupper((unsigned char)s[i]);
	if (len > 1 && *s == '-')
		mark = "*";
	else if (capitals)
		mark = "_";
	printf("%s%.*s%s", mark, (int)len, s, mark);
}

static void usage(const char *s)
{
	while (*s) {
		size_t len = 0;

		while (isalnum((unsigned char)s[len]) || s[len] == '-')
			len++;
		if (len)
			word(s, len);
		else
			putchar(s[len++]);
		s += len;
	}
}

static void synopsis(const struct command *c)
{
	printf("*banger %s*%s", c->path, *c->usage ? " " : "");
	usage(c->usage);
	printf("%s", c->flags->name ? " [flags]" : "");
}

static void synopses(const struct table *t)
{
	const char *before = "";

	for (const struct command *c = t->rows; c->path; c++) {
		if (!belongs(t, c))
			continue;
		printf("%s", before);
		synopsis(c);
		before = "++\n";
	}
	putchar('\n');
}

static void flag(const struct flag *f)
{
	if (f->letter)
		printf("*-%c*, ", f->letter);
	printf("*%s*%s", f->name, f->value ? " " : "");
	if (f->value)
		usage(f->value);
	printf("\n\t");
	text(f->help);
	printf("\n\n");
}

static void command(const struct command *c)
{
	printf("## banger %s\n\n", c->path);
	synopsis(c);
	putchar('\n');
	if (c->alias)
		printf("\nAlso: %s.\n", c->alias);
	printf("\n%c", toupper((unsigned char)*c->summary));
	text(c->summary + 1);
	printf(".\n\n");
	if (c->details)
		text(c->details);
	printf("\n\n");
	for (const struct flag *f = c->flags; f->name; f++)
		if (f->help)
			flag(f);
	printf("Example:\n\n```\n%s\n```\n\n", c->example);
}

static void commands(const struct table *t)
{
	for (const struct command *c = t->rows; c->path; c++)
		if (belongs(t, c))
			command(c);
}

static void list(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		const struct table *t = &tables[i];

		printf("## %s\n\n", t->title);
		if (*t->page)
			printf("See *%s*(1).\n\n", t->page);
		for (const struct command *c = t->rows; c->path; c++) {
			if (!belongs(t, c))
				continue;
			printf("*%s*\n\t", c->path);
			text(c->summary);
			printf("\n\n");
		}
	}
}

static void exits(void)
{
	const char *meaning;
	int status;

	for (size_t n = 0; (meaning = help_exit_status(n, &status)); n++) {
		printf("*%d*\n\t", status);
		text(meaning);
		printf("\n\n");
	}
}

/* A key as text; a backslash or star of its own is not markup. */
static void key(int code)
{
	char name[KEY_NAME];

	putchar('*');
	text(key_label(code, name));
	putchar('*');
}

/* The rows of one place, each key with what it does. */
static void keys_of(const char *title, bool in_texts, bool in_lists)
{
	printf("## %s\n\n", title);
	for (int i = ACT_NONE + 1; i < ACT_MAX_; i++) {
		const struct act_row *row = &act_rows[i];

		if (in_texts != !!(row->views & ON_TEXT) || in_lists != !!(row->views & ON_LISTS))
			continue;
		key(row->key);
		if (row->key2) {
			printf(", ");
			key(row->key2);
		}
		printf("\n\t");
		text(row->help);
		printf("\n\n");
	}
}

static void ui_keys(void)
{
	keys_of("In lists", false, true);
	keys_of("In texts", true, false);
	keys_of("In both", true, true);
}

static int config(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(kinds) && !bg_streq(kinds[k].kind, keys[i].kind))
			k++;
		if (k == ARRAY_SIZE(kinds))
			return -EINVAL; /* a new kind: it needs a row above */
		printf("*%s* = _%s_\n\t", keys[i].name, kinds[k].value);
		text(keys[i].help);
		printf(". Default: %s", keys[i].standard && kinds[k].quoted ? "\"" : "");
		text(keys[i].standard ? keys[i].standard : "none");
		printf("%s\n\n", keys[i].standard && kinds[k].quoted ? "\"" : "");
	}
	return 0;
}

static const struct table *find_table(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (bg_streq(tables[i].name, name))
			return &tables[i];
	return NULL;
}

static int replace(char *line)
{
	const struct table *table;
	char *name;

	line[strcspn(line, "\n")] = 0;
	if (bg_streq(line, "@config"))
		return config();
	if (bg_streq(line, "@keys")) {
		ui_keys();
		return 0;
	}
	if (bg_streq(line, "@exits") || bg_streq(line, "@list")) {
		(bg_streq(line, "@exits") ? exits : list)();
		return 0;
	}
	name = strchr(line, ' ');
	table = name ? find_table(name + 1) : NULL;
	if (!table)
		return -EINVAL;
	*name = 0;
	if (bg_streq(line, "@synopsis"))
		synopses(table);
	else if (bg_streq(line, "@commands"))
		commands(table);
	else
		return -EINVAL;
	return 0;
}

static int copy(FILE *source)
{
	_free_ char *line = NULL;
	size_t room = 0;
	int r = 0;

	while (r >= 0 && getline(&line, &room, source) >= 0) {
		if (*line == '@')
			r = replace(line);
		else
			fputs(line, stdout);
	}
	return r < 0 || ferror(source) || fflush(stdout) || ferror(stdout) ? -EIO : 0;
}

int main(int argc, char **argv)
{
	FILE *source = argc == 2 ? fopen(argv[1], "re") : NULL;
	int r = source ? copy(source) : -ENOENT;

	if (source)
		fclose(source);
	if (r < 0)
		fprintf(stderr,
			"generate: %s: cannot be read, or a line that begins with @ is wrong\n",
			argc == 2 ? argv[1] : "usage: generate SOURCE");
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
