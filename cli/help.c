/* SPDX-License-Identifier: ISC */
/* help.c: Texts are laid out at the terminal's width. Nothing here knows a command by its name. */
#include "cli/help.h"

#include <assert.h>

enum { LEFT_WIDTH = 28, TEXT_WIDTH = 80 };

static const struct {
	const struct command *rows;
	const char *word, *title;
} groups[] = {
	{vm_commands, "vm", "Virtual machines"},
	{workspace_commands, "vm workspace", "Your checkout in a VM"},
	{image_commands, "image", "Images: what VMs are made of"},
	{kernel_commands, "kernel", "Kernels"},
	{op_commands, "op", "Operations: work under way"},
	{host_commands, "", "This machine"},
};

const struct command *const cli_commands[] = {vm_commands, workspace_commands, image_commands,
	kernel_commands, op_commands, host_commands, NULL};

static const struct {
	enum bg_exit status;
	const char *meaning;
} exits[] = {
	{BG_EXIT_OK, "done"},
	{BG_EXIT_FAILED, "it was tried and failed"},
	{BG_EXIT_USAGE, "the command line or a value is wrong"},
	{BG_EXIT_NOT_FOUND, "no such VM, image, kernel or operation"},
	{BG_EXIT_CONFLICT, "the name is taken, the thing is in use or in the wrong state"},
	{BG_EXIT_HOST, "this machine lacks a tool, a device, a right or room"},
	{BG_EXIT_TIMEOUT, "it did not become ready in time"},
	{BG_EXIT_DAEMON, "the daemon cannot be reached or started"},
	{BG_EXIT_EXEC_TIMEOUT, "vm exec: the command did not end in its --timeout"},
	{BG_EXIT_NO_EXEC, "vm exec: the user or folder is not there (126, 127: no such command)"},
	{BG_EXIT_CANCELLED, "interrupted"},
	{BG_EXIT_LOST, "vm exec: the session was lost before the command ended"},
};

static void title(const struct term *t, const char *text)
{
	fprintf(t->file, "\n%s%s%s\n", term_style(t, STYLE_BOLD), text, term_plain(t));
}

/* At the terminal's width (80 when it is none), indented by column. */
static void wrapped(const struct term *t, int column, const char *text)
{
	render_wrapped(t, column, t->width ? BG_MIN(t->width, 2 * TEXT_WIDTH) : TEXT_WIDTH, text);
	fputc('\n', t->file);
}

static void entry(const struct term *t, const char *left, const char *text)
{
	int n = fprintf(t->file, "  %s", left);

	if (n + 2 > LEFT_WIDTH)
		fprintf(t->file, "\n%*s", LEFT_WIDTH, "");
	else
		fprintf(t->file, "%*s", LEFT_WIDTH - n, "");
	wrapped(t, LEFT_WIDTH, text);
}

/* Arguments that must be there; flags and what is optional are left to --help. */
static int needed_length(const char *usage)
{
	return *usage == '-' ? 0 : (int)strcspn(usage, "[");
}

static void command_entry(const struct term *t, const struct command *c)
{
	int needed = needed_length(c->usage);
	char left[128], text[256];

	snprintf(left, sizeof(left), "%s%s%.*s", c->path, needed ? " " : "", needed, c->usage);
	snprintf(text, sizeof(text), "%s%s%s%s", c->summary, c->alias ? " (also: " : "",
		c->alias ? c->alias : "", c->alias ? ")" : "");
	entry(t, left, text);
}

const char *help_exit_status(size_t n, int *status)
{
	if (n >= ARRAY_SIZE(exits))
		return NULL;
	*status = (int)exits[n].status;
	return exits[n].meaning;
}

static void exit_statuses(const struct term *t)
{
	char left[16];

	title(t, "Exit status");
	for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
		snprintf(left, sizeof(left), "%d", exits[i].status);
		fprintf(t->file, "  %-4s ", left);
		wrapped(t, 7, exits[i].meaning);
	}
}

void help_all(const struct term *t)
{
	wrapped(t, 0,
		"banger keeps Linux VMs on your machine: made in one command, reached by name, "
		"kept until you delete them.");
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		title(t, groups[g].title);
		for (const struct command *c = groups[g].rows; c->path; c++)
			if (!c->hidden)
				command_entry(t, c);
	}
	exit_statuses(t);
	fprintf(t->file, "\n`banger COMMAND --help` tells more, with an example.\n");
}

const char *help_group_title(const char *word)
{
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
		if (bg_streq(groups[g].word, word))
			return groups[g].title;
	return "more commands";
}

bool help_group(const struct term *t, const char *word)
{
	bool found = false;
	size_t len = strlen(word);

	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		for (const struct command *c = groups[g].rows; c->path; c++) {
			if (strncmp(c->path, word, len) != 0 || c->path[len] != ' ')
				continue;
			if (!found)
				fprintf(t->file, "Commands of `banger %s`:\n\n", word);
			found = true;
			command_entry(t, c);
		}
	}
	if (found)
		fprintf(t->file, "\n`banger COMMAND --help` tells more, with an example.\n");
	return found;
}

static void flag_entry(const struct term *t, const struct flag *f)
{
	char left[64], letter[8] = "";

	if (f->letter)
		snprintf(letter, sizeof(letter), "-%c, ", f->letter);
	snprintf(left, sizeof(left), "%s%s%s%s", letter, f->name, f->value ? " " : "",
		f->value ? f->value : "");
	entry(t, left, f->help);
}

/* Each line of the example, indented. */
static void example(const struct term *t, const char *text)
{
	title(t, "Example");
	while (*text) {
		int len = (int)strcspn(text, "\n");

		fprintf(t->file, "  %.*s\n", len, text);
		text += len + (text[len] == '\n');
	}
}

void help_command(const struct term *t, const struct command *c)
{
	fprintf(t->file, "%sbanger %s%s: %s\n\n", term_style(t, STYLE_BOLD), c->path, term_plain(t),
		c->summary);
	fprintf(t->file, "Usage: banger %s%s%s%s\n", c->path, *c->usage ? " " : "", c->usage,
		c->flags->name ? " [flags]" : "");
	if (c->alias)
		fprintf(t->file, "Also:  banger %s\n", c->alias);
	if (c->details) {
		fputc('\n', t->file);
		wrapped(t, 0, c->details);
	}
	if (c->flags->name)
		title(t, "Flags");
	for (const struct flag *f = c->flags; f->name; f++)
		if (f->help)
			flag_entry(t, f);
	example(t, c->example);
}
